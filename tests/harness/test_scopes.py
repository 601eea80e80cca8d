"""Whose sandbox code is in: fixtures of each scope, and examples of Hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sessions import run_session_apart

RunTests = Callable[..., pytest.RunResult]

ETL = """
import dlt

@dlt.resource(primary_key="id")
def items(since=dlt.sources.incremental("id")):
    yield [{"id": 1}, {"id": 2}]

def run():
    pipeline = dlt.pipeline("etl", destination="duckdb", dataset_name="data")
    pipeline.run(items())
    return pipeline

def main():
    pipeline = run()
    return len(pipeline.dataset()["items"].fetchall())
"""


@pytest.fixture
def plain(pytester: pytest.Pytester) -> pytest.Pytester:
    """A plain suite beside a module `etl`, whose incremental `main` loads two rows once."""
    pytester.makepyfile(etl=ETL)
    pytester.makeini("[pytest]\npythonpath = .\n")
    return pytester


@pytest.mark.slow
def test_the_sandbox_of_a_test_is_there_before_its_other_fixtures(
    plain: pytest.Pytester, home: Path
) -> None:
    plain.makeconftest("""
        import etl, pytest
        @pytest.fixture(autouse=True)
        def of_conftest(): assert etl.main() == 2
    """)
    plain.makepyfile(
        test_it="""
        import dlt, etl, pytest, unittest

        @pytest.fixture
        def first(): return etl.main()

        @pytest.fixture
        def asks(dlt_run): return dlt_run

        def test_argument_before_ours(first, dlt_run, dlt_isolated):
            assert first == 2
            working_dir = dlt.pipeline("etl", destination="duckdb").working_dir
            assert working_dir.startswith(dlt_isolated.folder)

        def test_ours_in_a_fixture(first, asks, tmp_path):
            assert first == 2

        @pytest.mark.usefixtures("dlt_isolated")
        class TestMarked:
            def setup_method(self): self.rows = etl.main()
            def test_it(self, first): assert self.rows == first == 2

        @pytest.mark.usefixtures("dlt_isolated")
        class TestUnit(unittest.TestCase):
            def setUp(self): self.rows = etl.main()
            def test_it(self): self.assertEqual(self.rows, 2)
        """
    )

    run_session_apart(plain).assert_outcomes(passed=4)

    assert not list(plain.path.glob("*.duckdb"))


HYPOTHESIS = """
    import dlt, etl, pytest
    from hypothesis import HealthCheck, given, settings, strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

    examples = settings(
        max_examples=3, deadline=None, database=None, stateful_step_count=2,
        suppress_health_check=list(HealthCheck),
    )
    counts = []
"""


@pytest.mark.slow
def test_each_example_of_hypothesis_starts_with_an_empty_sandbox(plain: pytest.Pytester) -> None:
    plain.makepyfile(
        test_it=HYPOTHESIS
        + """
    @examples
    @given(ids=st.sets(st.integers(0, 9), min_size=1))
    def test_run(dlt_run, ids):
        run = dlt_run([{"id": i} for i in ids], table_name="items")
        counts.append(1)
        assert len(run.rows("items")) == len(ids)

    @pytest.mark.usefixtures("dlt_isolated")
    class TestIt:
        @examples
        @given(number=st.integers(0, 9))
        def test_code_of_the_user(self, number):
            assert etl.main() == 2

    def test_there_were_some(): assert len(counts) > 1

    @pytest.fixture
    def pages(): dlt.config["shop.pages"] = 2

    @examples
    @given(number=st.integers(0, 9))
    def test_setting_of_a_fixture(dlt_run, pages, number):
        assert (dlt.config["shop.pages"], dlt.config.get("shop.own")) == (2, None)
        dlt.config["shop.own"] = 1

    def test_function_within(dlt_run):
        whole = dlt_run([{"id": 100}], table_name="items")
        tried = []

        @examples
        @given(st.integers(0, 9))
        def inner(number):
            tried.append(etl.main())
            run = dlt_run([{"id": number}], table_name="items")
            assert run.rows("items") == [{"id": number}]
            # what the test itself has loaded can be read
            assert whole.rows("items") == [{"id": 100}]

            @settings(examples, max_examples=1)
            @given(st.integers(0, 9))
            def innermost(_):
                assert etl.main() == 2
            innermost()
            assert run.rows("items") == [{"id": number}]

        inner()
        assert tried == [2, 2, 2]

    class Machine(RuleBasedStateMachine):
        @initialize()
        def begin(self): assert etl.main() == 2

        @rule()
        def go_on(self): assert etl.main() == 2

    @pytest.mark.usefixtures("dlt_isolated")
    class TestMachine(Machine.TestCase):
        settings = examples

    def test_it_is_as_before(dlt_run):
        assert dlt_run([{"id": 1}], table_name="items").rows("items") == [{"id": 1}]
    """
    )

    run_session_apart(plain, "-W", "error").assert_outcomes(passed=7)


def test_a_fixture_that_is_made_once_for_all_examples_is_refused(plain: pytest.Pytester) -> None:
    plain.makepyfile(
        test_it=HYPOTHESIS
        + """
    @examples
    @given(number=st.integers(0, 9))
    def test_settings(dlt_config, number):
        dlt_config["sources.etl.number"] = number

    def test_settings_of_a_function_within(dlt_config):
        @examples
        @given(number=st.integers(0, 9))
        def inner(number): pass
        inner()
    """
    )

    result = run_session_apart(plain)

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*dlt_config: Hypothesis runs this test many times*"])


WIDER = """
    import dlt, etl, os, pytest, unittest

    @pytest.fixture(scope="module")
    def loaded():
        os.environ["SET_BY_A_FIXTURE"] = "yes"
        rows = etl.main()
        yield rows
        # what is torn down is torn down where it was set up
        assert etl.main() == rows

    def test_of_module(loaded):
        assert loaded == 2
        assert os.environ["SET_BY_A_FIXTURE"] == "yes"

    def test_a_test_has_a_sandbox_of_its_own(loaded):
        assert etl.main() == 2

    class TestClass:
        @classmethod
        def setup_class(cls): cls.rows = etl.main()
        def test_it(self): assert self.rows == 2

    class TestSetUp(unittest.TestCase):
        @classmethod
        def setUpClass(cls): cls.pipeline = etl.run()
        def test_it(self):
            self.assertEqual(len(self.pipeline.dataset()["items"].fetchall()), 2)

    def setup_module(module): module.ROWS = etl.main()
    def test_set_up(): assert ROWS == 2
"""

PARAMETERS = """
    import etl, pytest

    @pytest.fixture(scope="module", params=["a", "b"])
    def loaded(request): return etl.run().last_trace.last_normalize_info.row_counts

    @pytest.fixture(scope="module")
    def other(): return etl.main()

    @pytest.fixture(scope="module")
    def loaded_again(loaded): return etl.run().last_trace.last_normalize_info.row_counts

    def test_the_next_parameter_starts_anew(loaded, other, loaded_again):
        assert loaded["items"] == 2
        assert other == 2
        assert "items" not in loaded_again
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [(), pytest.param(("-p", "no:randomly", "-n", "2"), marks=pytest.mark.slow)],
    ids=["one", "two"],
)
def test_fixtures_of_wider_scope_have_a_sandbox_of_their_scope(
    pytester: pytest.Pytester, arguments: tuple[str, ...]
) -> None:
    pytester.makepyfile(etl=ETL, test_one=WIDER, test_two=WIDER, test_three=PARAMETERS)
    pytester.makeini("[pytest]\npythonpath = .\ndlt_isolation = on\n")

    run_session_apart(pytester, *arguments).assert_outcomes(passed=12)

    assert not list(pytester.path.glob("*.duckdb"))


SCOPES = """
import pytest

@pytest.fixture(scope="class")
def loaded(dlt_run): return dlt_run([{"id": 1}], table_name="t")

@pytest.fixture(scope="module")
def configured(request): request.getfixturevalue("dlt_config")["a"] = 1

@pytest.fixture(scope="module")
def of_pytest(monkeypatch): "Not ours."

class TestLoaded:
    def test_of_class(self, loaded): pass

def test_of_module(configured): pass
def test_of_pytest(of_pytest): pass
"""


def test_error_when_a_fixture_of_wider_scope_asks_for_ours_says_what_does(
    run_tests: RunTests, pytester: pytest.Pytester
) -> None:
    result = run_tests(SCOPES)
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(
        [
            "ScopeMismatch: `dlt_run` belongs to one test, but a fixture of scope class uses it.",
            "*mark them with `@pytest.mark.dlt_load(source=my_source)`. It runs once, and each*",
            "Asked for by:",
            "*test_it.py:*def loaded(dlt_run)",
            "ScopeMismatch: `dlt_config` belongs to one test, but a fixture of scope module uses*",
            "In the fixture, set `dlt.config[[]...[]] = ...`: that holds for all of its tests.",
            "ScopeMismatch: You tried to access the function scoped fixture monkeypatch*",
        ]
    )

    pytester.path.joinpath("dlt.yml").write_text("sources: {}")
    result = run_tests(SCOPES.replace("dlt_run", "dlt_project"))
    result.stdout.fnmatch_lines(
        [
            "ScopeMismatch: `dlt_project` belongs to one test*",
            '*`@pytest.mark.dlt_load("my_pipeline")`*',
            "In a fixture of scope class, write `with dlt_project_factory() as project:`.",
        ]
    )


def test_what_a_fixture_of_wider_scope_has_run_is_told_to_a_test_that_looks_for_it(
    pytester: pytest.Pytester, run_tests: Callable[..., pytest.RunResult]
) -> None:
    pytester.makepyfile(etl=ETL)
    pytester.makeini("[pytest]\npythonpath = .\ndlt_isolation = on\n")
    result = run_tests(
        """
        import dlt, etl, pytest

        @pytest.fixture(scope="module")
        def loaded(): return etl.run()

        @pytest.fixture(scope="class")
        def lower(loaded): return dlt.attach("etl")

        def test_attaches(loaded): dlt.attach("etl")

        def test_opens(loaded):
            dataset = dlt.pipeline("etl", destination="duckdb", dataset_name="data").dataset()
            assert dataset["items"].fetchall()

        class TestLower:
            def test_it(self, lower): assert len(lower.dataset()["items"].fetchall()) == 2

        def test_is_given_it(loaded):
            assert len(loaded.dataset()["items"].fetchall()) == 2
            assert not "told"
        """
    )

    result.assert_outcomes(failed=3, passed=1)
    told = [line for line in result.outlines if line.startswith("pipeline etl: a fixture of wider")]
    assert len(told) == 2
    assert "Return the pipeline or its dataset from the fixture" in told[0]


FROM_EACH_OTHER = """
    import dlt, etl, pytest

    def load(*ids):
        pipeline = dlt.pipeline("etl", destination="duckdb", dataset_name="data")
        pipeline.run([{"id": number} for number in ids], table_name="items")
        return pipeline

    def ids(pipeline):
        return sorted(row[0] for row in pipeline.dataset()["items"].select("id").fetchall())

    @pytest.fixture(scope="module")
    def first():
        pipeline = load(1)
        yield pipeline
        # nobody who went on from here has changed it
        assert ids(pipeline) == [1]

    @pytest.fixture(scope="module")
    def second(): return load(2)

    @pytest.fixture(scope="module")
    def after_first(first): return load(3)

    @pytest.fixture(scope="module")
    def after_both(first, after_first): return load(4)

    @pytest.fixture(scope="session")
    def of_session(): return load(10)

    @pytest.fixture(scope="session")
    def also_of_session(): return load(11)

    @pytest.fixture(scope="session")
    def after_session(of_session): return load(12)

    @pytest.fixture(scope="module")
    def of_module_after_session(of_session): return load(13)

    @pytest.fixture(scope="module")
    def asks(request):
        request.getfixturevalue("first")
        return load(9)

    @pytest.fixture(scope="module")
    def of_two(first, second): return load(5)

    class TestOne:
        @pytest.fixture(scope="class")
        def lower(self, first): return load(6)

        def test_it(self, lower): assert ids(lower) == [1, 6]

    class TestTwo:
        @pytest.fixture(scope="class")
        def lower(self, first): return dlt.attach("etl")

        def test_it(self, lower): assert ids(lower) == [1]

    def test_of_module(first, second, after_first, after_both, asks, of_two):
        assert [ids(first), ids(second)] == [[1], [2]]
        assert [ids(after_first), ids(after_both)] == [[1, 3], [1, 3, 4]]
        assert ids(asks) == [1, 9]
        # each has a database of this name, and half of them would be neither's
        assert ids(of_two) == [5]
        # a test starts anew
        assert ids(load(8)) == [8]

    def test_of_session(of_session, also_of_session, after_session, of_module_after_session):
        assert [ids(of_session), ids(also_of_session)] == [[10], [11]]
        assert [ids(after_session), ids(of_module_after_session)] == [[10, 12], [10, 13]]
"""

AUTOMATIC = """
    import dlt, pytest

    def setup_module():
        pipeline = dlt.pipeline("etl", destination="duckdb", dataset_name="data")
        pipeline.run([{"id": 1}], table_name="items")

    class TestIt:
        @classmethod
        def setup_class(cls):
            cls.rows = dlt.attach("etl").dataset()["items"].fetchall()

        def test_it(self): assert len(self.rows) == 1
"""


@pytest.mark.parametrize("order", ["", pytest.param("reversed", marks=pytest.mark.slow)])
def test_fixtures_of_wider_scope_go_on_from_those_that_they_ask_for_and_from_no_other(
    pytester: pytest.Pytester, run_tests: RunTests, order: str
) -> None:
    pytester.makepyfile(etl=ETL, test_automatic=AUTOMATIC)
    pytester.makeini("[pytest]\npythonpath = .\ndlt_isolation = on\n")
    if order:
        pytester.makeconftest("def pytest_collection_modifyitems(items): items.reverse()")

    run_tests(FROM_EACH_OTHER).assert_outcomes(passed=5)


IN_TMP_PATH = """
    import dlt, duckdb, etl, pytest

    @pytest.fixture(scope="session")
    def folder_of_another(): return "others"

    @pytest.fixture(scope="session")
    def tmp_path_factory(tmp_path_factory, folder_of_another): return tmp_path_factory

    def load(folder, *ids):
        path = folder / "mine.duckdb"
        pipeline = dlt.pipeline(
            "mine", destination=dlt.destinations.duckdb(str(path)), dataset_name="data"
        )
        pipeline.run([{"id": number} for number in ids], table_name="items")
        return path, pipeline

    def ids(loaded):
        path, pipeline = loaded
        of_pipeline = sorted(pipeline.dataset()["items"].select("id").fetchall())
        with duckdb.connect(str(path), read_only=True) as connection:
            assert sorted(connection.sql("SELECT id FROM data.items").fetchall()) == of_pipeline
        return [row[0] for row in of_pipeline]

    @pytest.fixture(scope="session")
    def of_session(tmp_path_factory): return load(tmp_path_factory.mktemp("session"), 1)

    @pytest.fixture(scope="module")
    def of_module(tmp_path_factory): return load(tmp_path_factory.mktemp("module"), 2)

    class TestIt:
        @pytest.fixture(scope="class")
        def of_class(self, tmp_path_factory): return load(tmp_path_factory.mktemp("class"), 3)

        def test_is_read(self, of_session, of_module, of_class):
            assert [ids(of_session), ids(of_module), ids(of_class)] == [[1], [2], [3]]

        def test_goes_on(self, of_class):
            of_class[1].run([{"id": 4}], table_name="items")
            assert ids(of_class) == [3, 4]

    def test_of_a_test(tmp_path): assert ids(load(tmp_path, 5)) == [5]
"""


def test_what_fixtures_of_each_scope_load_into_tmp_path_is_there_for_their_tests(
    plain: pytest.Pytester, run_tests: RunTests
) -> None:
    plain.makeini("[pytest]\npythonpath = .\ndlt_isolation = on\n")

    run_tests(IN_TMP_PATH).assert_outcomes(passed=3)
