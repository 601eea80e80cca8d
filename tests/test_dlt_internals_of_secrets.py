"""Contracts with dlt: how secrets are learned, narrowed, and told to be missing."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.configuration import resolve_configuration
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.common.configuration.specs import ConnectionStringCredentials

from dlthub_project.context import ensure_project
from dlthub_project.dlt_internals import configuration, contexts, files_of_runs, resources
from dlthub_project.secrets import KNOWN


@dlt.source
def shop(
    pin: str = dlt.secrets.value, colour: str = dlt.config.value, limit: int = 3
) -> dlt.sources.DltResource:
    return dlt.resource([{"pin": pin}], name="seen")


def in_thread(pin: str) -> None:
    thread = threading.Thread(target=lambda: dlt.secrets["sources.shop.pin"])
    thread.start()
    thread.join()


@pytest.mark.parametrize(
    "use",
    [
        lambda pin: shop(colour="red"),
        lambda pin: shop(pin, "red"),
        lambda pin: dlt.secrets["sources.shop.pin"],
        lambda pin: dlt.secrets.get("sources.shop.pin"),
        in_thread,
        lambda pin: resolve_configuration(
            ConnectionStringCredentials(), explicit_value=f"postgresql://ada:{pin}@db.invalid/x"
        ),
        lambda pin: dlt.destinations.postgres(f"postgresql://ada:{pin}@h/x").configuration(
            dlt.destinations.postgres().spec()._bind_dataset_name("data")
        ),
    ],
    ids=["argument", "explicit", "accessor", "get", "thread", "credentials", "destination"],
)
@pytest.mark.leans_on(
    "dlt.common.configuration.utils:TraceLogContext",
    "dlt.common.configuration.specs.base_configuration:BaseConfiguration.resolve",
)
def test_a_secret_is_known_once_dlt_has_it(use: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration.register_secrets()
    configuration.register_secrets()
    monkeypatch.setenv("SOURCES__SHOP__PIN", "pin-4711")

    use("pin-4711")

    assert KNOWN.masked("pin-4711 red db.invalid") == "*** red db.invalid"


@pytest.mark.parametrize(
    ("secrets", "seen"),
    [
        ("all", {"pin": "of-secrets", "own": None, "variable": "4711", "colour": "red"}),
        ("ci.secrets.toml", {"pin": None, "own": "of-ci", "variable": "4711", "colour": "red"}),
        ("no.secrets.toml", {"pin": None, "own": None, "variable": "4711", "colour": "red"}),
        ("none", {"pin": None, "own": None, "variable": None, "colour": "red"}),
    ],
)
@pytest.mark.leans_on(
    "dlt.common.configuration.providers:EnvironProvider.get_value",
    "dlt.common.configuration.providers.toml:SettingsTomlProvider",
)
def test_providers_have_the_secrets_that_are_left(
    secrets: str, seen: dict[str, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / ".dlt"
    settings.mkdir()
    (settings / "secrets.toml").write_text('pin = "of-secrets"')
    (settings / "ci.secrets.toml").write_text('own = "of-ci"')
    (settings / "config.toml").write_text('colour = "red"')
    monkeypatch.setenv("VARIABLE", "4711")

    providers = contexts.PlainRunContext(str(tmp_path)).initial_providers()
    contexts.narrow_secrets(providers, str(settings), secrets)

    def found(key: str) -> Any:
        hint = dlt.config.default_type if key == "colour" else dlt.secrets.default_type
        values = (provider.get_value(key, hint, "")[0] for provider in providers)
        return next((value for value in values if value is not None), None)

    assert {key: found(key) for key in seen} == seen
    # what dlt says of missing values lists the places of every provider
    assert all(provider.locations is not None for provider in providers)


@pytest.mark.leans_on("dlt.common.configuration.exceptions:ConfigFieldMissingException")
def test_what_dlt_did_not_find_is_told_with_its_hint() -> None:
    with pytest.raises(ConfigFieldMissingException) as raised:
        shop()

    module = __name__
    assert [(one.path, one.is_secret) for one in configuration.missing_settings(raised.value)] == [
        (("sources", module, "pin"), True),
        (("sources", module, "colour"), False),
    ]
    with pytest.raises(ConfigFieldMissingException) as raised:
        dlt.secrets["a.b.c"]
    (secret,) = configuration.missing_settings(raised.value)
    with pytest.raises(ConfigFieldMissingException) as raised:
        dlt.config["a.b.c"]
    (setting,) = configuration.missing_settings(raised.value)
    assert secret.path == setting.path == ("a", "b", "c")
    assert (secret.is_secret, setting.is_secret) == (True, False)
    assert setting.variables == ("A__B__C",)


@pytest.mark.leans_on("dlt.pipeline.trace:save_trace", "dlt.pipeline.trace:load_trace")
def test_a_trace_is_written_again_without_secrets(tmp_path: Path) -> None:
    pipeline = dlt.pipeline("p", pipelines_dir=str(tmp_path / "pipelines"), destination="duckdb")

    @dlt.resource
    def broken() -> Any:
        raise ValueError("sent pin-4711")
        yield

    with pytest.raises(Exception, match="4711"):
        pipeline.run(broken())
    file = Path(pipeline.working_dir, files_of_runs.TRACE_FILE)
    assert b"4711" in file.read_bytes()

    files_of_runs.rewrite_trace(file, lambda trace: trace._replace(steps=[]))

    assert b"4711" not in file.read_bytes()
    assert files_of_runs.load_trace(str(file.parent)).transaction_id


@pytest.mark.leans_on("dlt.extract.reference:SourceReference.find")
def test_the_code_of_a_source_says_which_arguments_are_secrets(
    write_project: Any,
) -> None:
    code = """
        import dlt
        @dlt.source
        def s(pin: str = dlt.secrets.value, colour: str = "red"):
            return []
        """
    write_project("", {"sources/code_of_secrets.py": code, "sources/broken_code.py": "1 / 0"})
    ensure_project()

    assert resources.secret_arguments("code_of_secrets.s") == {"pin"}
    assert resources.secret_arguments("broken_code.s") is None
    assert resources.secret_arguments("nowhere.s") is None
