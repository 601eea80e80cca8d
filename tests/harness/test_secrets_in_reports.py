"""No secret leaves a test: one in every place that keeps one, told in every way of pytest's."""

from __future__ import annotations

import json
import re
import secrets
import textwrap
from collections.abc import Callable, Iterator

import pytest

RunTests = Callable[..., pytest.RunResult]

# by where each is kept
LAYERS = (
    "environment",
    "secrets_toml",
    "long",
    "config_toml",
    "azure",
    "profile_toml",
    "manifest",
    "variable",
    "nested_variable",
    "dlt_config",
    "accessor",
    "spec_field",
    "url_password",
    "explicit",
    "destination",
    "destination_sig",
    "import_time",
    "quoted",
    "in_list",
    "in_mapping",
    "vault",
    "private_key",
    "passphrase",
)

SOURCE = """
from typing import Any

import dlt
from dlt.common.configuration import configspec
from dlt.common.configuration.specs import CredentialsConfiguration, ConnectionStringCredentials
from dlt.common.configuration.specs import GcpServiceAccountCredentials
from dlt.common.typing import TSecretStrValue


@configspec
class Account(CredentialsConfiguration):
    user: str = None
    card: TSecretStrValue = None


@dlt.source
def leaky(
    pin: str = dlt.secrets.value,
    badge: str = dlt.secrets.value,
    long: str = dlt.secrets.value,
    api_key: str = dlt.config.value,
    place: str = dlt.config.value,
    gate: str = dlt.secrets.value,
    door: TSecretStrValue = dlt.secrets.value,
    access_token: str = dlt.secrets.value,
    client: dict[str, Any] = dlt.config.value,
    hatch: TSecretStrValue = dlt.secrets.value,
    umlaut: str = dlt.secrets.value,
    account: Account = dlt.secrets.value,
    database: ConnectionStringCredentials = dlt.secrets.value,
    given_by_code: TSecretStrValue = dlt.secrets.value,
    many: list[str] = dlt.secrets.value,
    mapping: dict[str, Any] = dlt.secrets.value,
    vaulted: str = dlt.secrets.value,
    google: GcpServiceAccountCredentials = dlt.secrets.value,
    phrase: TSecretStrValue = None,
):
    return dlt.resource([{
        "environment": pin,
        "secrets_toml": badge,
        "long": long,
        "config_toml": api_key,
        "azure": place,
        "profile_toml": gate,
        "manifest": door,
        "variable": access_token,
        "nested_variable": client["auth"]["token"],
        "dlt_config": hatch,
        "accessor": dlt.secrets["misc.lock"],
        "spec_field": account.card,
        "url_password": database.to_native_representation(),
        "explicit": given_by_code,
        "quoted": umlaut,
        "in_list": many[0],
        "in_mapping": mapping["nested"]["a"],
        "vault": vaulted,
        "private_key": google.private_key,
        "passphrase": phrase,
    }], name="values")
"""

TESTS = """
import base64, json, logging, os, subprocess, sys, textwrap, warnings
from urllib.parse import quote

import dlt
import pytest
from dlt.common.configuration.providers import CustomLoaderDocProvider
from planted import PLANTED
from sources.leaky import leaky

OF_IMPORT = dlt.secrets["misc.early"]


@pytest.fixture(scope="session")
def dlt_destinations():
    return {
        "lake": "postgresql://u:" + PLANTED["destination"] + "@db.invalid/x?sig="
        + PLANTED["destination_sig"]
    }


@pytest.fixture
def told(dlt_config):
    dlt_config["sources.leaky.hatch"] = PLANTED["dlt_config"]
    vault = {"sources": {"leaky": {"vaulted": PLANTED["vault"]}}}
    dlt.config.register_provider(CustomLoaderDocProvider("vault", lambda: vault, True))
    (row,) = leaky(given_by_code=PLANTED["explicit"])
    if not all(PLANTED[layer] in str(value) for layer, value in row.items()):
        pytest.skip("not found")
    return {
        **row,
        "import_time": OF_IMPORT,
        "destination": dlt.secrets["destination.lake.credentials"],
    }


@pytest.fixture(scope="session")
def fails_early():
    raise RuntimeError(dlt.secrets["sources.leaky.badge"] + dlt.secrets["sources.leaky.pin"])


@pytest.fixture
def fails_in_setup(told):
    raise RuntimeError(str(told))


@pytest.fixture
def fails_in_teardown(told):
    yield
    print(told)
    raise RuntimeError(str(told))


def test_early(fails_early):
    pass


def test_setup(fails_in_setup):
    pass


def test_teardown(fails_in_teardown):
    pass


def test_text(told):
    raise RuntimeError(" ".join(map(str, told.values())))


def test_assertion(told):
    assert told == {}


@pytest.mark.parametrize("name", ["long", "quoted", "azure", "url_password"])
def test_each_asserted(told, name):
    value = told[name]
    assert value == "x" + name
    assert 0


@pytest.mark.parametrize("value", [OF_IMPORT, OF_IMPORT + "2"])
def test_id(value):
    assert value == 1


@pytest.mark.parametrize("value", [1], ids=[OF_IMPORT])
def test_given_id(value, dlt_isolated):
    pass


def test_output(told, record_property, record_xml_attribute, record_testsuite_property):
    print(told)
    print(json.dumps(told))
    print(told, file=sys.stderr)
    os.write(1, repr(told).encode())
    logging.getLogger("shop").error("log %s", told)
    logging.getLogger("dlt").error("log %s", told)
    record_property("told", str(told))
    record_testsuite_property("told", str(told))
    subprocess.run([sys.executable, "-c", "import sys; print(sys.argv[1])", str(told)])
    warnings.warn("warned " + str(told))
    warnings.warn(DeprecationWarning("a", told))
    assert 0


def test_passes(told, record_property):
    print(told)
    record_property("told", str(told))


def test_skipped(told):
    pytest.skip(str(told))


def test_xfailed(told):
    pytest.xfail(str(told))


def test_xfails(told, request):
    request.applymarker(pytest.mark.xfail(reason=str(told)))
    raise ValueError(told)


def test_fail(told):
    pytest.fail(str(told))


def test_chained(told):
    try:
        raise KeyError(str(told))
    except KeyError as error:
        later = ValueError(repr(told))
        if sys.version_info >= (3, 11):
            later.add_note(str(told))
        raise later from error


@pytest.mark.skipif(sys.version_info < (3, 11), reason="no groups")
def test_group(told):
    raise ExceptionGroup(str(told), [ValueError(told), KeyError(*told.values())])


def test_encoded(told):
    text = "".join(
        quote(str(value)) + " " + base64.b64encode(("ada:" + str(value)).encode()).decode() + " "
        + json.dumps(value) + " " + repr(value) + " "
        for value in told.values()
    )
    raise RuntimeError(text)


def test_wrapped(told):
    for value in told.values():
        print(textwrap.fill(str(value), 30), value.encode().hex(), repr(value.encode()))
    raise RuntimeError("\\n".join(textwrap.wrap(str(told), 50)))


def test_parts(told):
    raise RuntimeError(" ".join(str(value)[3:40] for value in told.values()))


def test_fails_in_pipeline(dlt_run, told):
    @dlt.resource
    def broken():
        print(told)
        raise RuntimeError(str(told))
        yield

    dlt_run(broken())


def test_destination_is_built(dlt_isolated):
    dlt.pipeline("p", destination="lake").run([1], table_name="t")


class TestOfUnittest:
    def test_fails(self, told):
        self.told = told
        assert self.told == 1
"""

# what hooks print goes past the capture
CONFTEST = """
import json, pathlib, sys

import dlt


def told():
    return dlt.secrets["misc.early"] + " " + dlt.secrets["sources.leaky.long"]


def pytest_report_header():
    return told()


# as pytest-reportlog
def pytest_addoption(parser):
    parser.addoption("--report-log", default=None)


def pytest_sessionfinish(session):
    print(told())
    print(told(), file=sys.stderr)
    if not hasattr(session.config, "workerinput"):
        pathlib.Path(session.config.option.report_log).write_text(json.dumps(told()))


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(told())
    terminalreporter.section(told())
"""


@pytest.fixture
def planted(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A project with a secret in every layer: the secrets by layer."""
    found = {layer: f"{secrets.token_hex(4)}Zq{secrets.token_hex(9)}" for layer in LAYERS}
    found["long"] = secrets.token_hex(225)
    found["quoted"] = (
        f"{secrets.token_hex(4)}'ö\\\\\"{secrets.token_hex(4)}/+ {secrets.token_hex(9)}"
    )
    lines = "\n".join(secrets.token_urlsafe(48) for _ in range(3))
    found["private_key"] = f"-----BEGIN KEY-----\n{lines}\n-----END KEY-----\n"
    found["passphrase"] = " ".join(secrets.token_hex(3) for _ in range(5))
    folder = pytester.path
    files = {
        "dlt.yml": f"""
            sources:
              leaky:
                type: leaky.leaky
                door: {found["manifest"]}
                access_token: "{{env.GITHUBVAR}}"
                client: {{auth: {{token: "{{env.OTHERVAR}}"}}}}
            destinations:
              lake: {{type: postgres}}
            """,
        ".dlt/secrets.toml": f"""
            [sources.leaky]
            badge = "{found["secrets_toml"]}"
            long = "{found["long"]}"
            umlaut = {json.dumps(found["quoted"], ensure_ascii=False)}
            database = "mysql://ada:{found["url_password"]}@db.invalid/shop"
            many = ["{found["in_list"]}"]
            phrase = "{found["passphrase"]}"
            [sources.leaky.mapping]
            nested = {{a = "{found["in_mapping"]}"}}
            [sources.leaky.google]
            project_id = "of-the-shop"
            client_email = "ada@of-the-shop.invalid"
            private_key = {json.dumps(found["private_key"])}
            [sources.leaky.account]
            user = "ada"
            card = "{found["spec_field"]}"
            [misc]
            lock = "{found["accessor"]}"
            early = "{found["import_time"]}"
            """,
        ".dlt/config.toml": f"""
            [sources.leaky]
            api_key = "{found["config_toml"]}"
            place = "https://shop.blob.invalid/c?sv=1&sig={found["azure"]}&se=2"
            """,
        ".dlt/tests.secrets.toml": f"""
            [sources.leaky]
            gate = "{found["profile_toml"]}"
            """,
        "sources/leaky.py": SOURCE,
        "planted.py": f"PLANTED = {found!r}",
        "test_it.py": TESTS,
        "conftest.py": CONFTEST,
        "test_broken.py": """
            import dlt
            print(dlt.secrets["misc.early"])
            raise RuntimeError(dlt.secrets["misc.early"])
            """,
        "test_skipped.py": """
            import dlt, pytest
            pytest.skip(dlt.secrets["misc.early"], allow_module_level=True)
            """,
        "pytest.ini": "[pytest]\npythonpath = .\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    monkeypatch.setenv("SOURCES__LEAKY__PIN", found["environment"])
    monkeypatch.setenv("GITHUBVAR", found["variable"])
    monkeypatch.setenv("OTHERVAR", found["nested_variable"])
    return found


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "workers",
    [pytest.param([], id="alone"), pytest.param(["-n1"], id="xdist", marks=pytest.mark.slow)],
)
def test_no_secret_leaves_a_test(
    run_pytest: RunTests,
    pytester: pytest.Pytester,
    planted: dict[str, str],
    workers: list[str],
) -> None:
    before = {path for path in pytester.path.rglob("*") if path.is_file()}

    result = run_pytest(
        "-vv",
        "-rA",
        "--showlocals",
        "--continue-on-collection-errors",
        "--junitxml=report.xml",
        "--report-log=report.jsonl",
        "-ojunit_logging=all",
        "--log-file=tests.log",
        "--log-file-level=DEBUG",
        "-olog_cli=true",
        "--setup-show",
        "--durations=0",
        "--color=yes",
        *workers,
    )

    outcomes = result.parseoutcomes()
    # all the ways were gone, and none ended before
    assert outcomes["passed"] >= 2, outcomes
    assert outcomes["xfailed"] == 2
    assert "not found" not in str(result.stdout)
    assert outcomes["errors"] == 4
    written = {path for path in pytester.path.rglob("*") if path.is_file()} - before
    # the byte code of the modules that hold them
    written = {path for path in written if path.parent.name != "__pycache__"}
    texts = {str(path.relative_to(pytester.path)): path.read_bytes() for path in written}
    texts["stdout"] = str(result.stdout).encode()
    texts["without colours"] = re.sub(r"\x1b\[[0-9;]*m", "", str(result.stdout)).encode()
    texts["stderr"] = str(result.stderr).encode()
    assert {"report.xml", "report.jsonl"} <= texts.keys()
    assert "tests.log" in texts or workers
    leaks = {
        (layer, name, part)
        for layer, secret in planted.items()
        for name, text in texts.items()
        if (part := next(_parts_in(secret, text), None))
    }
    assert leaks == set()


GET = 'import dlt, pytest\nTOLD = dlt.secrets["misc.lock"]\n'
TEST = "@pytest.fixture(params=[TOLD])\ndef given(request): pass\n\n\ndef test_it(given): "
TEE = """
COPY = open("copy.txt", "w")


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    writer = config.get_terminal_writer()
    write = writer.write
    writer.write = lambda text, **more: (write(text, **more), COPY.write(text))


def pytest_unconfigure():
    COPY.close()
"""
LATE_ID = """
import dlt, pytest

@pytest.mark.parametrize("value", ["SECRET"])
def test_it(value):
    dlt.secrets["misc.lock"]
    assert 0
"""


@pytest.mark.parametrize(
    ("conftest", "test", "arguments", "masks"),
    [
        pytest.param("raise RuntimeError(TOLD)", "", [], 1, id="conftest fails"),
        pytest.param("pytest.exit(TOLD)", "", [], 1, id="conftest exits"),
        pytest.param("raise pytest.UsageError(TOLD)", "", [], 1, id="conftest is misused"),
        pytest.param("def pytest_configure(): pytest.exit(TOLD)", "", [], 1, id="configure exits"),
        pytest.param(
            "def pytest_configure(): raise pytest.UsageError(TOLD)", "", [], 1, id="usage error"
        ),
        pytest.param(
            "def pytest_sessionstart(): pytest.exit(TOLD)", "", [], 2, id="sessionstart exits"
        ),
        pytest.param(
            "def pytest_runtest_logfinish(): raise RuntimeError(TOLD)", "", [], 1, id="internal"
        ),
        pytest.param("", "pytest.exit(TOLD)", [], 1, id="exit"),
        pytest.param(TEE, "pytest.exit(TOLD)", [], 1, id="copied as by --pastebin"),
        pytest.param("", "raise KeyboardInterrupt(TOLD)", [], 1, id="interrupt"),
        pytest.param("", "print(TOLD)", ["-s"], 1, id="no capture"),
        pytest.param("", "0", ["--setup-plan"], 1, id="setup plan"),
        pytest.param("", "0\ngiven.__doc__ = TOLD", ["--collect-only"], 1, id="collect only"),
        pytest.param("", f"print(TOLD){LATE_ID}", ["-v", "--durations=0"], 3, id="late"),
    ],
)
def test_no_secret_leaves_a_session_that_ends_early(
    run_pytest: RunTests,
    pytester: pytest.Pytester,
    conftest: str,
    test: str,
    arguments: list[str],
    masks: int,
) -> None:
    secret = secrets.token_hex(8)
    for name, text in {
        "dlt.yml": "",
        ".dlt/secrets.toml": f'[misc]\nlock = "{secret}"\n',
        "conftest.py": GET + conftest,
        "test_it.py": GET + TEST + (test or "0").replace("SECRET", secret),
    }.items():
        path = pytester.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    result = run_pytest(*arguments)

    told = f"{result.stdout}{result.stderr}"
    assert told.count("***") >= masks
    assert secret not in told
    cache = pytester.path / ".pytest_cache"
    assert [
        path for path in cache.rglob("*") if path.is_file() and secret in path.read_text()
    ] == []


def test_no_secret_leaves_a_plain_suite(
    run_tests: RunTests, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin, badge, gate = (secrets.token_hex(12) for _ in range(3))
    (pytester.path / ".dlt").mkdir()
    (pytester.path / ".dlt" / "secrets.toml").write_text(f'[sources.shop]\nbadge = "{badge}"\n')
    monkeypatch.setenv("SOURCES__SHOP__PIN", pin)
    # nobody but a subprocess asks for it, and it has no name of a secret
    monkeypatch.setenv("SOURCES__SHOP__GATE", gate)

    result = run_tests(
        """
        import subprocess, sys
        import dlt
        import pytest

        AT_IMPORT = dlt.secrets["sources.shop.badge"]
        CODE = '''
        import dlt

        @dlt.source
        def shop(gate: str = dlt.secrets.value, badge: str = dlt.secrets.value):
            print(gate, badge)
            return dlt.resource([1], name="seen")

        shop.with_args(section="shop", name="shop")()
        '''

        @pytest.fixture(scope="session")
        def fails_early():
            raise ValueError(dlt.secrets["sources.shop.pin"] + AT_IMPORT)

        def test_early(fails_early):
            pass

        @pytest.mark.parametrize("value", [AT_IMPORT])
        def test_id(value):
            assert value == 1

        def test_subtests(request):
            if hasattr(pytest, "Subtests"):
                subtests = request.getfixturevalue("subtests")
                with subtests.test(AT_IMPORT, badge=AT_IMPORT):
                    assert AT_IMPORT == 1

        def test_child(dlt_isolated):
            subprocess.run([sys.executable, "-c", CODE], check=True)
            assert 0

        def test_run(dlt_run):
            @dlt.resource
            def shop(pin: str = dlt.secrets.value):
                raise RuntimeError(pin)
                yield
            dlt_run(shop())
        """,
        "-rA",
        "--showlocals",
    )

    outcomes = result.parseoutcomes()
    # subtests are there from pytest 9 on
    assert (outcomes["failed"], outcomes["errors"]) in ((3, 1), (5, 1))
    assert str(result.stdout).count("***") > 5
    for secret in (pin, badge, gate):
        assert list(_parts_in(secret, str(result.stdout).encode())) == []


def _parts_in(secret: str, text: bytes) -> Iterator[str]:
    for start in range(len(secret) - 11):
        if secret[start : start + 12].encode() in text:
            yield secret[start : start + 12]
