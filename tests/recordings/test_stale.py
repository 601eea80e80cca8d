"""A recording that is not of what a test runs is an error, and never a green that lies."""

# without postponed annotations: dlt finds no incremental in them
import importlib
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import dlt
import pytest
import yaml
from dlt.common.utils import chunks
from dlt.pipeline.exceptions import PipelineStepFailed

from dlthub_project.errors import ProjectError, RecordingStale
from pytest_dlthub import DltItems, DltRun
from pytest_dlthub.recordings.recorder import Recorder

Recording = Callable[..., AbstractContextManager[Recorder]]

SOURCE = '''
import dlt

def page(number):
    return [{"id": number}]

@dlt.resource
def orders(country="de"):
    """Orders."""
    for number in range(3):
        yield page(number)  # one
'''


@pytest.fixture
def write_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Write a module with a source, and return its resource `orders`."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(*changes: tuple[str, str]) -> Any:
        text = SOURCE
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "recorded_shop.py").write_text(text)
        sys.modules.pop("recorded_shop", None)
        importlib.invalidate_caches()
        import linecache

        linecache.clearcache()
        return importlib.import_module("recorded_shop").orders

    yield write
    sys.modules.pop("recorded_shop", None)


@pytest.mark.parametrize(
    ("old", "new"),
    [("range(3)", "range(4)"), ('{"id": number}', '{"id": str(number)}')],
    ids=["its function", "a function that it calls"],
)
def test_changed_function_makes_a_recording_stale(
    recording: Recording, folder: Path, write_source: Callable[..., Any], old: str, new: str
) -> None:
    with recording(mode="new"):
        DltItems()(write_source(), given="recorded")
    orders = write_source((old, new))
    with recording(), pytest.raises(RecordingStale, match=r"recorded_shop\.orders") as raised:
        DltItems()(orders, given="recorded")

    # the way out, where one knows better
    code = str(raised.value).partition("`code: ")[2].partition("`")[0]
    record = folder / "recording.yml"
    known = yaml.safe_load(record.read_text())["runs"][0]["resources"]["orders"]["code"]
    record.write_text(record.read_text().replace(known, code))
    with recording():
        assert len(DltItems()(orders, given="recorded")) == 3


def test_comments_layout_and_documentation_make_no_recording_stale(
    recording: Recording, write_source: Callable[..., Any]
) -> None:
    with recording(mode="new"):
        DltItems()(write_source(), given="recorded")
    orders = write_source(
        ("  # one", ""),
        ('"""Orders."""', '"""All orders."""'),
        ("range(3)", "range(\n        3,\n    )"),
    )
    with recording():
        assert len(DltItems()(orders, given="recorded")) == 3


def test_other_argument_makes_a_recording_stale(
    recording: Recording, write_source: Callable[..., Any]
) -> None:
    orders = write_source()
    with recording(mode="new"):
        DltItems()(orders(country="de"), given="recorded")

    with recording(), pytest.raises(RecordingStale, match="country was de, is fr"):
        DltItems()(orders(country="fr"), given="recorded")


def test_what_a_source_closes_over_is_an_argument(recording: Recording) -> None:
    @dlt.source
    def shop(country: str, token: str = dlt.secrets.value) -> Any:
        @dlt.resource
        def orders() -> Any:
            yield [{"country": country, "token": bool(token)}]

        return orders

    with recording(mode="new"):
        DltItems()(shop("de", token="a-secret-value"), given="recorded")
    with recording():
        # a secret is no argument: in CI there is none
        DltItems()(shop("de", token="another"), given="recorded")
    with recording(), pytest.raises(RecordingStale, match="country was de, is fr"):
        DltItems()(shop("fr", token="a-secret-value"), given="recorded")


def test_configured_argument_makes_a_recording_stale(recording: Recording, dlt_config: Any) -> None:
    @dlt.resource
    def orders(country: str = dlt.config.value) -> Any:
        yield [{"country": country}]

    dlt_config["country"] = "de"
    with recording(mode="new"):
        DltItems()(orders, given="recorded")
    dlt_config["country"] = "fr"
    with recording(), pytest.raises(RecordingStale, match="country was de, is fr"):
        DltItems()(orders, given="recorded")


def test_other_limit_makes_a_recording_stale(
    recording: Recording, write_source: Callable[..., Any]
) -> None:
    orders = write_source()
    with recording(mode="new"):
        assert len(DltItems()(orders, given="recorded", limit=2)) == 2
    with recording():
        assert len(DltItems()(orders, given="recorded", limit=2)) == 2
    with recording(), pytest.raises(RecordingStale, match="add_limit"):
        DltItems()(orders, given="recorded")


def test_other_profile_makes_a_recording_stale(
    recording: Recording, write_source: Callable[..., Any]
) -> None:
    orders = write_source()
    with recording(mode="new", profile="tests"):
        DltItems()(orders, given="recorded")
    with recording(profile="ci"), pytest.raises(RecordingStale, match="recorded on tests"):
        DltItems()(orders, given="recorded")


@dlt.source
def two(names: tuple[str, ...]) -> Any:
    def rows(name: str) -> Any:
        yield [{"name": name}]

    return [dlt.resource(rows, name=name)(name) for name in names]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("a", "renamed"), "`renamed` is not recorded"),
        (("a", "b", "c"), "`c` is not recorded"),
        (("a",), "`b` is recorded, but not run"),
    ],
)
def test_resource_that_is_renamed_new_or_gone_makes_a_recording_stale(
    recording: Recording, names: tuple[str, ...], told: str
) -> None:
    with recording(mode="new"):
        DltItems()(two(("a", "b")), given="recorded")
    with recording(), pytest.raises(RecordingStale, match=told):
        DltItems()(two(names), given="recorded")


def test_cursor_that_asks_from_elsewhere_makes_a_recording_stale(recording: Recording) -> None:
    @dlt.resource
    def orders(at: Any = dlt.sources.incremental("at")) -> Any:
        yield [{"id": 1, "at": 5}]

    def two_days(last: int) -> None:
        items = DltItems()
        items(orders, given={"orders": [{"id": 0, "at": last}]})
        items(orders, given="recorded")

    with recording(mode="new"):
        two_days(3)
    with recording():
        two_days(3)
    with (
        recording(),
        pytest.raises(RecordingStale, match=r"orders.at: recorded from 3, run from 4"),
    ):
        two_days(4)


def test_masked_cursor_is_not_compared_and_one_whose_name_ends_like_it_is(
    recording: Recording,
) -> None:
    @dlt.resource(name="orders")
    def masked(at: Any = dlt.sources.incremental("at")) -> Any:
        yield [{"id": 1, "at": "Ada"}]

    @dlt.resource(name="reorders")
    def shown(at: Any = dlt.sources.incremental("at")) -> Any:
        yield [{"id": 1, "at": 5}]

    @dlt.source
    def shop() -> Any:
        return masked, shown

    def two_days(of_masked: str, of_shown: int) -> None:
        items = DltItems()
        given = {"orders": [{"id": 0, "at": of_masked}], "reorders": [{"id": 0, "at": of_shown}]}
        items(shop(), given=given)
        items(shop(), given="recorded")

    with recording(mode="new", masks=["orders.at"]):
        two_days("A", 3)
    with recording(masks=["orders.at"]):
        two_days("B", 3)
    with (
        recording(masks=["orders.at"]),
        pytest.raises(RecordingStale, match=r"reorders.at: recorded from 3, run from 4"),
    ):
        two_days("A", 4)


def test_secret_that_is_not_there_where_a_test_is_replayed_makes_no_recording_stale(
    recording: Recording,
) -> None:
    @dlt.resource
    def orders(token: str | None = None) -> Any:
        yield [{"id": 1}]

    with recording(mode="new"):
        DltItems()(orders("a-secret-value"), given="recorded")
    with recording():
        assert DltItems()(orders(None), given="recorded") == [{"id": 1}]


def test_function_of_a_library_in_place_of_ones_own_makes_a_recording_stale(
    recording: Recording, write_source: Callable[..., Any]
) -> None:
    with recording(mode="new"):
        DltItems()(write_source(), given="recorded")
    of_dlt: Any = dlt.resource(chunks, name="orders")
    with recording(), pytest.raises(RecordingStale, match=r"of another function, recorded_shop"):
        DltItems()(of_dlt([{"id": 9}], 1), given="recorded")


def test_run_that_was_not_recorded_is_an_error(
    recording: Recording, write_source: Callable[..., Any]
) -> None:
    orders = write_source()
    with recording(mode="new"):
        DltItems()(orders, given="recorded")
    with recording():
        DltItems()(orders, given="recorded")
        with pytest.raises(RecordingStale, match="has 1 run of pipeline `dlt_items`"):
            DltItems()(orders, given="recorded")


def test_recorded_run_that_is_not_run_any_more_is_an_error(
    recording: Recording, write_source: Callable[..., Any]
) -> None:
    orders = write_source()
    with recording(mode="new"):
        DltItems()(orders, given="recorded")
        DltItems()(orders, given="recorded")
    with pytest.raises(AssertionError, match="runs that this test has not run: 2"), recording():
        DltItems()(orders, given="recorded")


def test_what_is_cut_off_is_told_whenever_it_is_replayed(
    recording: Recording, write_source: Callable[..., Any]
) -> None:
    orders = write_source()
    with recording(mode="new", pages=2) as recorded:
        assert len(DltItems()(orders, given="recorded")) == 2
    with recording() as replayed:
        assert len(DltItems()(orders, given="recorded")) == 2
    with recording(mode="all", pages=3) as whole:
        assert len(DltItems()(orders, given="recorded")) == 3

    assert "2 pages, 2 rows, cut off there: more followed" in recorded.notes[0]
    assert replayed.notes == ["test_it: `orders` is cut off after 2 pages: more followed"]
    assert "cut off" not in "".join(whole.notes)


def test_day_2_without_news_is_told(recording: Recording) -> None:
    @dlt.resource
    def orders(at: Any = dlt.sources.incremental("at")) -> Any:
        # an API filters by the cursor
        yield [row for row in [{"id": 1, "at": 5}] if row["at"] > (at.last_value or 0)]

    with recording(mode="new") as recorded:
        items = DltItems()
        items(orders, given="recorded")
        items(orders, given="recorded")

    assert any("The source has nothing new yet" in note for note in recorded.notes)


def test_nothing_is_written_of_a_test_whose_extraction_has_failed(
    recording: Recording, folder: Path
) -> None:
    @dlt.resource
    def first() -> Any:
        yield [{"id": 1}]

    @dlt.resource
    def broken() -> Any:
        yield [{"id": 1}]
        raise ConnectionError("cut off in the middle")

    with recording(mode="new") as recorder:
        DltItems()(first, given="recorded")
        with pytest.raises(PipelineStepFailed):
            DltRun()(broken, given="recorded")

    assert not folder.exists()
    assert "has failed" in recorder.notes[0]


def test_value_that_no_file_holds_is_refused_and_nothing_written(
    recording: Recording, folder: Path
) -> None:
    @dlt.resource
    def objects() -> Any:
        yield [{"id": 1, "client": object()}]

    with recording(mode="new"), pytest.raises(ProjectError, match=r"builtins\.object"):
        DltItems()(objects, given="recorded")

    assert not folder.exists()


def test_line_that_is_broken_by_hand_is_told_with_its_place(
    recording: Recording, folder: Path, write_source: Callable[..., Any]
) -> None:
    orders = write_source()
    with recording(mode="new"):
        DltItems()(orders, given="recorded")
    (folder / "orders.jsonl").write_text('{"id": 1}\n{"id": {"$decimul": "1"}}\n')
    with recording(), pytest.raises(Exception, match=r"orders.jsonl:2: .*\$decimul"):
        DltItems()(orders, given="recorded")


@pytest.mark.parametrize("text", ["", "runs: 1", "format: 9\nruns: []", "format: 1\nruns: [{}]"])
def test_broken_record_is_an_error(
    recording: Recording, folder: Path, write_source: Callable[..., Any], text: str
) -> None:
    folder.mkdir(parents=True)
    (folder / "recording.yml").write_text(text)
    with recording(), pytest.raises(ProjectError, match="no recording that can be read"):
        DltItems()(write_source(), given="recorded")


def test_rows_that_are_given_are_not_taken_for_recorded(
    recording: Recording, folder: Path, write_source: Callable[..., Any]
) -> None:
    orders = write_source()
    with recording(mode="new") as recorder, recorder.recording_runs(recorder_sandbox()):
        given = DltItems()(orders, given={"orders": [{"id": 9}]})
        asked = DltItems()(orders)

    assert (given, len(asked)) == ([{"id": 9}], 3)
    assert (folder / "orders.jsonl").read_text().count("id") == 3


def recorder_sandbox() -> Any:
    from dlthub_project.sandbox import active_sandbox

    return active_sandbox()
