"""Sessions that record, replay, compare and check what the sources of their tests yield."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

RunTests = Callable[..., pytest.RunResult]

# the API is a file, which a test can take away; a session is a process of its own to it
API = """
import json
from pathlib import Path

import dlt
import pytest

API = Path(__file__).with_name("api.json")


@dlt.source
def shop(token: str = dlt.secrets.value):
    @dlt.resource(primary_key="id", write_disposition="merge")
    def orders():
        assert token == "a-real-token"
        for page in json.loads(API.read_text()):
            yield page

    return orders
"""
TOKEN = "SOURCES__TEST_IT__SHOP__TOKEN"
ROWS = '[[{"id": 1, "email": "ada@shop.invalid"}], [{"id": 2, "email": null}]]'


@pytest.fixture
def api(pytester: pytest.Pytester) -> Path:
    """The file that the source reads."""
    path = pytester.path / "api.json"
    path.write_text(ROWS)
    return path


def test_story_of_a_recording(
    run_tests: RunTests, api: Path, monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester
) -> None:
    code = f"""{API}
@pytest.mark.dlt_recorded
class TestShop:
    @pytest.mark.parametrize("n", ["a/b"])
    def test_orders(self, dlt_run, n):
        run = dlt_run(shop)
        assert run.row_counts == {{"orders": 2}}
        assert run.next().row_counts == {{"orders": 2}}
"""
    result = run_tests(code)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*RecordingMissing*", "*test_orders*a/b*--dlt-record"])
    assert not (pytester.path / "recordings").exists()

    # a path behind the option is none of its values
    monkeypatch.setenv(TOKEN, "a-real-token")
    result = run_tests(code, "--dlt-record", "test_it.py", "-q")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*`orders`: 2 pages, 2 rows", "*look personal*orders.email*"])
    (record,) = pytester.path.glob("recordings/test_it/*/recording.yml")
    assert record.parent.name.startswith("TestShop.test_orders[a_b]-")
    assert sorted(path.name for path in record.parent.iterdir()) == [
        "orders.jsonl",
        "orders.run2.jsonl",
        "recording.yml",
    ]

    # neither token nor API, and the check of CI
    monkeypatch.delenv(TOKEN)
    api.rename(api.with_name("gone.json"))
    result = run_tests(code, "--dlt-record-check")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*orders.email: looks personal*"])


@pytest.mark.slow
def test_nightly_comparison_and_a_recording_made_anew(
    run_tests: RunTests, api: Path, monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester
) -> None:
    code = f"""{API}
@pytest.mark.dlt_recorded
def test_orders(dlt_run):
    run = dlt_run(shop)
    assert run.row_counts == {{"orders": 2}}
    assert run.next().row_counts == {{"orders": 2}}
"""
    monkeypatch.setenv(TOKEN, "a-real-token")
    run_tests(code, "--dlt-record").assert_outcomes(passed=1)
    (record,) = pytester.path.glob("recordings/test_it/*/recording.yml")
    api.write_text(ROWS.replace('"id": 2', '"id": "two", "new": 1').replace("]]", "], [], []]"))
    before = record.read_bytes()
    result = run_tests(code, "--dlt-record=compare")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*the source has changed since*was recorded on*",
            "*new column orders.id__v_text: text",
            "*new column orders.new: bigint",
        ]
    )
    assert record.read_bytes() == before

    # what is masked is no person any more
    pytester.makeini("[pytest]\ndlt_record_mask = email")
    api.write_text(ROWS)
    run_tests(code, "--dlt-record=all").assert_outcomes(passed=1)
    assert "shop.invalid" not in "".join(p.read_text() for p in record.parent.glob("*.jsonl"))
    run_tests(code, "--dlt-record-check", "--dlt-record=compare").assert_outcomes(passed=2)


def test_runs_of_the_users_own_code_are_recorded_too_and_a_test_of_none_is_an_error(
    run_tests: RunTests, api: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"""{API}
def main():
    pipeline = dlt.pipeline("own", destination="duckdb")
    pipeline.run(shop())


@pytest.mark.dlt_recorded
def test_main(dlt_runs):
    main()
    assert dlt_runs.last.row_counts == {{"orders": 2}}


@pytest.mark.dlt_recorded
def test_rows_alone(dlt_run):
    dlt_run([{{"id": 1}}], table_name="rows")


@pytest.mark.dlt_recorded
def test_that_fails_tells_its_own_failure():
    assert 0


@pytest.mark.dlt_recorded(record="everything")
def test_mark(): ...
"""
    monkeypatch.setenv(TOKEN, "a-real-token")
    result = run_tests(code, "--dlt-record")
    result.assert_outcomes(passed=2, failed=1, errors=2)
    result.stdout.fnmatch_lines(
        [
            "*test_rows_alone: this test is marked dlt_recorded, but has run nothing*",
            '*dlt_recorded: the mark takes record="transformers"*',
        ]
    )
    api.unlink()
    result = run_tests(code, "-k", "main")
    result.assert_outcomes(passed=1)


def test_what_is_loaded_once_is_recorded_once_and_loaded_anew_when_the_recording_changes(
    run_tests: RunTests,
    api: Path,
    monkeypatch: pytest.MonkeyPatch,
    pytester: pytest.Pytester,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    code = f"""{API}
pytestmark = pytest.mark.dlt_load(source=shop, given="recorded")


@pytest.mark.parametrize("n", range(2))
def test_orders(dlt_loaded, n):
    assert dlt_loaded.row_counts == {{"orders": 2}}
"""
    result = run_tests(code, "--dlt-reuse")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*RecordingMissing*"])
    monkeypatch.setenv(TOKEN, "a-real-token")
    result = run_tests(code, "--dlt-reuse", "--dlt-record")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*dlt_load.shop: recorded: `orders`*", "1 template built*"])
    monkeypatch.delenv(TOKEN)
    api.unlink()
    run_tests(code, "--dlt-reuse").assert_outcomes(passed=2)

    (rows,) = pytester.path.glob("recordings/test_it/dlt_load.shop/orders.jsonl")
    rows.write_text(rows.read_text() + '\n{"id": 3}\n')
    run_tests(code, "--dlt-reuse").assert_outcomes(failed=2)


def test_recording_is_given_by_its_path(
    run_tests: RunTests, api: Path, monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester
) -> None:
    code = f"""{API}
def test_recorded(dlt_run):
    dlt_run(shop, given="recorded")


def test_given(dlt_run):
    path = "recordings/test_it/test_recorded/orders.jsonl"
    run = dlt_run(shop, given={{"orders": path}})
    assert run.row_counts == {{"orders": 2}}
    with pytest.raises(TypeError, match="record="):
        run.next(record="transformers")


def test_fixture_of_wider_scope_has_no_name(dlt_items):
    from dlthub_project.sandbox import Sandbox, active_sandbox, isolated
    from pytest_dlthub import DltItems
    from dataclasses import replace

    sandbox = active_sandbox()
    with isolated(replace(sandbox, folder=sandbox.folder + "-wider")):
        with pytest.raises(pytest.UsageError, match="runs of a test"):
            DltItems()(shop, given="recorded")
"""
    monkeypatch.setenv(TOKEN, "a-real-token")

    run_tests(code, "--dlt-record").assert_outcomes(passed=3)


@pytest.mark.slow
def test_workers_record_and_replay(
    run_tests: RunTests, api: Path, monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester
) -> None:
    code = f"""{API}
@pytest.mark.dlt_recorded
@pytest.mark.parametrize("n", range(4))
def test_orders(dlt_run, n):
    assert dlt_run(shop).row_counts == {{"orders": 2}}
"""
    monkeypatch.setenv(TOKEN, "a-real-token")
    # each worker runs all tests, so that two write each recording
    run_tests(code, "--dlt-record", "-n2", "--dist=each").assert_outcomes(passed=8)
    left = {path.name for path in (pytester.path / "recordings" / "test_it").iterdir()}
    assert left == {f"test_orders[{n}]" for n in range(4)}
    monkeypatch.delenv(TOKEN)
    api.unlink()
    result = run_tests(code, "-n2")
    result.assert_outcomes(passed=4)


@pytest.mark.slow
def test_cassettes_and_sockets_that_are_forbidden_go_well_beside_it(
    run_tests: RunTests, api: Path, monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester
) -> None:
    code = f"""{API}
@pytest.mark.vcr
@pytest.mark.dlt_recorded
def test_orders(dlt_run):
    assert dlt_run(shop).row_counts == {{"orders": 2}}
"""
    monkeypatch.setenv(TOKEN, "a-real-token")
    run_tests(code, "--dlt-record", "--record-mode=once").assert_outcomes(passed=1)
    result = run_tests(code, "--disable-socket", "--block-network")
    result.assert_outcomes(passed=1)


def test_recording_is_replayed_in_the_processes_that_a_crash_kills(
    run_tests: RunTests, api: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"""{API}
from hypothesis import HealthCheck, given, settings, strategies


@pytest.mark.dlt_crash(points=["commit"])
@pytest.mark.dlt_recorded
def test_killed(dlt_run):
    assert dlt_run(shop, runner=True).row_counts == {{"orders": 2}}


@pytest.mark.dlt_recorded
def test_crashed(dlt_run):
    dlt_run.crashed(shop, points="commit")


@pytest.mark.dlt_recorded
@settings(max_examples=1, database=None, suppress_health_check=[*HealthCheck])
@given(n=strategies.integers())
def test_examples(dlt_run, n):
    dlt_run(shop)
"""
    monkeypatch.setenv(TOKEN, "a-real-token")
    result = run_tests(code, "--dlt-record")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines_random(
        ["*recordings are not replayed here*", "*a recording has each run only once*"]
    )

    monkeypatch.delenv(TOKEN)
    api.unlink()
    result = run_tests(code, "-k", "test_killed")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*test_killed: dlt_run: a kill at 1 point"])
