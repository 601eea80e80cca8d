"""What the functions of resources yield, in files that a person can read.

A folder holds a file for each resource and run: `orders.jsonl`, or Parquet for frames and Arrow
tables. Its `recording.yml` says what was recorded, and from which code.
"""

from dlthub_project.recordings.files import (
    RECORD,
    RecordedResource,
    RecordedRun,
    Recording,
    files_of,
    folder_beside,
    is_recorded,
    name_of_file,
    of_today,
    read_recorded_file,
)
from dlthub_project.recordings.functions import HIDDEN, arguments_of, function_of, location_in_code
from dlthub_project.recordings.masks import Masks, holds_secret
from dlthub_project.recordings.pages import (
    FRAMES,
    ITEMS,
    Pages,
    as_table,
    kind_of_table,
    line_of,
    tables_by_schema,
)
from dlthub_project.recordings.personal_values import looks_personal, stand_in
from dlthub_project.recordings.sources import HINTS, Plan, extractables_in, plan_of
from dlthub_project.recordings.taps import Tap, tapped
from dlthub_project.recordings.typed_values import NotRecordable, to_json

__all__ = [
    "FRAMES",
    "HIDDEN",
    "HINTS",
    "ITEMS",
    "RECORD",
    "Masks",
    "NotRecordable",
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
    "folder_beside",
    "function_of",
    "holds_secret",
    "is_recorded",
    "kind_of_table",
    "line_of",
    "location_in_code",
    "looks_personal",
    "name_of_file",
    "of_today",
    "plan_of",
    "read_recorded_file",
    "stand_in",
    "tables_by_schema",
    "tapped",
    "to_json",
]
