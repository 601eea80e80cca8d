"""What the functions of resources yield, in files that a person can read.

A folder holds a file for each resource and run, `orders.jsonl`, or Parquet for frames and Arrow
tables, and `recording.yml`, which says what they are recorded of.
"""

from dlthub_project.recordings.files import (
    RECORD,
    RecordedResource,
    RecordedRun,
    Recording,
    files_of,
    is_recorded,
    of_today,
    read_recorded_file,
    safe_name,
)
from dlthub_project.recordings.functions import HIDDEN, arguments_of, function_of, place_of
from dlthub_project.recordings.masks import Masks, holds_secret
from dlthub_project.recordings.pages import FRAMES, Pages, as_table
from dlthub_project.recordings.sources import HINTS, Plan, extractables_in, plan_of
from dlthub_project.recordings.stand_ins import looks_personal, stand_in
from dlthub_project.recordings.taps import Tap, tapped
from dlthub_project.recordings.typed_values import to_json

__all__ = [
    "FRAMES",
    "HIDDEN",
    "HINTS",
    "RECORD",
    "Masks",
    "Pages",
    "Plan",
    "RecordedResource",
    "RecordedRun",
    "Recording",
    "Tap",
    "arguments_of",
    "as_table",
    "extractables_in",
    "files_of",
    "function_of",
    "holds_secret",
    "is_recorded",
    "looks_personal",
    "of_today",
    "place_of",
    "plan_of",
    "read_recorded_file",
    "safe_name",
    "stand_in",
    "tapped",
    "to_json",
]
