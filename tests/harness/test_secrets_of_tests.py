"""Which secrets a test sees: ini option `dlt_secrets`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RunTests = Callable[..., pytest.RunResult]

SOURCE = """
import dlt

@dlt.source
def shop(
    real: str = dlt.secrets.value,
    own: str = dlt.secrets.value,
    variable: str = dlt.secrets.value,
    given: str = dlt.secrets.value,
):
    @dlt.resource
    def seen():
        yield {"real": real, "own": own, "variable": variable, "given": given}
    return seen
"""

TESTS = """
import subprocess, sys
import dlt
import pytest
from shop_code import shop

CHILD = '''
import dlt
print(dlt.secrets.get("sources.shop.real"), dlt.secrets.get("sources.shop.own"))
'''

AT_IMPORT = dlt.secrets.get("sources.shop.real")

def test_seen(dlt_config, dlt_isolated):
    dlt_config["sources.shop.given"] = "by-the-test"
    names = ("real", "own", "variable", "given")
    seen = [dlt.secrets.get(f"sources.shop.{name}") for name in names]
    command = [sys.executable, "-c", CHILD]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    print("SEEN", *[{None: "no"}.get(value, "yes") for value in seen])
    print("CHILD", *[{"None": "no"}.get(value, "yes") for value in child.stdout.split()])
    print("OTHER", dlt.config.get("sources.shop.colour"), "yes" if AT_IMPORT else "no")

def test_placeholders(dlt_run):
    run = dlt_run(shop, given={"seen": [{"id": 1}]})
    assert run.row_counts == {"seen": 1}

def test_missing(dlt_run):
    dlt_run(shop())
"""

FILES = {
    ".dlt/secrets.toml": '[sources.shop]\nreal = "of-the-developer"\n',
    ".dlt/tests.secrets.toml": '[sources.shop]\nown = "of-the-tests"\n',
    ".dlt/config.toml": '[sources.shop]\ncolour = "red"\n',
    "shop_code.py": SOURCE,
    "test_it.py": TESTS,
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("kind", "mode", "seen", "child"),
    [
        ("project", "all", "yes yes yes yes", "yes yes"),
        ("project", "tests", "no yes yes yes", "no yes"),
        ("workspace", "tests", "no yes yes yes", "no yes"),
        ("plain", "tests", "no yes yes yes", "no yes"),
        ("project", "none", "no no no yes", "no no"),
        ("plain", "none", "no no no yes", "no no"),
    ],
)
def test_which_secrets_a_test_sees(
    run_pytest: RunTests,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    mode: str,
    seen: str,
    child: str,
) -> None:
    place = {"project": {"dlt.yml": ""}, "workspace": {".dlt/.workspace": ""}, "plain": {}}[kind]
    for name, text in {**FILES, **place}.items():
        path = pytester.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv("SOURCES__SHOP__VARIABLE", "of-the-environment")

    result = run_pytest("-rA", f"-odlt_secrets={mode}", "-opythonpath=.")

    result.assert_outcomes(passed=2, failed=1)
    at_import = seen.partition(" ")[0]
    expected = [f"SEEN {seen}", f"CHILD {child}", f"OTHER red {at_import}"]
    result.stdout.fnmatch_lines(expected)
    if kind != "plain":
        said = {"tests": "tests (tests.secrets.toml, environment)"}.get(mode, mode)
        result.stdout.fnmatch_lines([f"dlt: * · secrets {said} · sandbox *"])


def test_error_when_the_ini_option_names_no_such_choice(run_pytest: RunTests) -> None:
    result = run_pytest("-odlt_secrets=some")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: dlt_secrets: all, tests or none is expected, not 'some'"])


@pytest.mark.parametrize(("mode", "is_there"), [("tests", True), ("none", False)])
def test_a_variable_of_the_manifest_is_there_as_the_environment_is(
    run_tests: RunTests,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    is_there: bool,
) -> None:
    (pytester.path / "dlt.yml").write_text(
        'sources:\n  shop: {type: a.b, pin: "{env.SHOP_PIN}", own: of-all, '
        'auth: {token: "{env.SHOP_PIN}"}}\n'
    )
    monkeypatch.setenv("SHOP_PIN", "of-the-developer")

    result = run_tests(
        """
        import dlt

        def read(look_up):
            try:
                return look_up()
            except KeyError:
                return None
            except Exception as error:
                assert "ini option dlt_secrets" in str(error)

        def test_seen():
            seen = (
                read(lambda: dlt.secrets["sources.shop.pin"]),
                read(lambda: dlt.config["sources.shop.auth"]["token"]),
            )
            assert [value is not None for value in seen] == [IS_THERE] * 2
            assert dlt.secrets["sources.shop.own"] == "of-all"
        """.replace("IS_THERE", str(is_there)),
        f"-odlt_secrets={mode}",
    )

    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("mode", ["all", "tests", "none"])
def test_a_missing_setting_is_told_in_two_lines(
    run_tests: RunTests, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    (pytester.path / ".dlt").mkdir()
    (pytester.path / ".dlt" / "secrets.toml").write_text('[hidden]\nplace = "4711"\n')
    monkeypatch.setenv("HIDDEN__PIN", "4711")

    result = run_tests(
        """
        import dlt
        import pytest
        from dlt.sources.credentials import ConnectionStringCredentials

        @dlt.source
        def shop(
            pin: str = dlt.secrets.value,
            badge: str = dlt.secrets.value,
            place: str = dlt.config.value,
        ):
            return dlt.resource([1], name="seen")

        @dlt.resource
        def one(token: str = dlt.secrets.value):
            yield {"id": 1}

        def test_several(dlt_run):
            dlt_run(shop())

        def test_given(dlt_run):
            dlt_run(shop, given={"seen": [{"id": 1}]})

        def test_in_a_pipeline(dlt_run):
            dlt_run(one())

        def test_by_name(dlt_isolated):
            dlt.secrets["api.token"]

        def test_setting_by_name(dlt_isolated):
            dlt.config["sources.shop.colour"]

        @dlt.source
        def of_database(credentials: ConnectionStringCredentials = dlt.secrets.value):
            return dlt.resource([1], name="seen")

        def test_credentials(dlt_run):
            dlt_run(of_database())

        def test_in_file(dlt_isolated):
            assert dlt.secrets["hidden.place"]

        def test_in_environment(dlt_isolated):
            assert dlt.secrets["hidden.pin"]

        def test_in_code_of_the_user(dlt_run):
            try:
                dlt_run(one())
            except Exception:
                raise RuntimeError("no shop") from None
        """,
        f"-odlt_secrets={mode}",
    )

    hidden = {"all": 0, "tests": 1, "none": 2}[mode]
    result.assert_outcomes(failed=7 + hidden, passed=2 - hidden)
    failures = str(result.stdout).partition("short test summary")[0].split("\n____")[1:]
    told = [[line for line in text.splitlines() if line.startswith("E  ")] for text in failures]
    several, given, pipeline, name, setting, database, *hides, _ = (
        [
            line[1:].strip()
            for line in lines
            if "is missing" in line or "are missing" in line or "dlt_config[" in line
        ]
        for lines in told
    )
    assert all(len(lines) <= 5 for lines in told), told
    assert "Temporary destinations" not in str(result.stdout)
    file = {
        "all": "; for all tests: .dlt/secrets.toml",
        "tests": "; for all tests: .dlt/tests.secrets.toml, or the environment",
        "none": "",
    }[mode]
    rows = "; or give rows instead of the source's own, without secrets: given="
    error = "dlt.common.configuration.exceptions.ConfigFieldMissingException"
    way, of_pin = "For this test: dlt_config", "sources.test_it.pin"
    what = f"{of_pin} and sources.test_it.badge (secrets) and sources.test_it.place are missing."
    both = f"{file}; other settings: .dlt/config.toml{rows}"
    assert several == [f"{error}: {what}", f'{way}["{of_pin}"] = "..."{both}']
    place = f'{way}["sources.test_it.place"] = "..."; for all tests: .dlt/config.toml'
    assert given == [f"{error}: sources.test_it.place is missing.", place]
    token = f'{way}["sources.test_it.token"] = "..."{file}{rows}'
    failed = "dlt.pipeline.exceptions.PipelineStepFailed"
    assert pipeline == [f"{failed}: sources.test_it.token (a secret) is missing.", token]
    assert name == [
        f"{error}: api.token (a secret) is missing.",
        f'{way}["api.token"] = "..."{file}',
    ]
    colour = f'{way}["sources.shop.colour"] = "..."; for all tests: .dlt/config.toml'
    assert setting == [f"{error}: sources.shop.colour is missing.", colour]
    driver = "sources.test_it.credentials.drivername"
    assert database[0] == f"{error}: {driver} is missing."
    places = [".dlt/secrets.toml", "the environment (HIDDEN__PIN)"][:hidden]
    assert [told[0].partition(" It is in ")[2] for told in hides] == [
        f"{place}, which dlt_secrets = {mode} hides from tests." for place in places
    ]
    # who hides dlt's error has it told below
    assert "sources.test_it.token (a secret) is missing." in failures[-1].partition("- dlt -")[2]
