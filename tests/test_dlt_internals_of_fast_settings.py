"""Contracts with dlt: a sandbox looks settings up in less time, with the same answers and notes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Optional, Union

import dlt
import pytest
from dlt.common import validation
from dlt.common.configuration import configspec, resolve, resolve_configuration
from dlt.common.configuration.container import Container
from dlt.common.configuration.exceptions import (
    ConfigFieldMissingException,
    InvalidNativeValue,
    flatten_traces,
)
from dlt.common.configuration.specs import (
    AwsCredentials,
    BaseConfiguration,
    ConnectionStringCredentials,
    RuntimeConfiguration,
)
from dlt.common.configuration.specs.config_section_context import ConfigSectionContext
from dlt.common.configuration.utils import get_resolved_traces
from dlt.common.exceptions import DictValidationException
from dlt.common.pipeline import PipelineContext
from dlt.common.schema.typing import TStoredSchema, TTableSchema
from dlt.common.typing import TSecretStrValue
from dlt.destinations.impl.duckdb.configuration import DuckDbClientConfiguration

from dlthub_project.sandbox import Overrides, Sandbox, isolated, speed


@configspec
class Settings(BaseConfiguration):
    number: int = 3
    text: str | None = None
    token: TSecretStrValue = None
    credentials: ConnectionStringCredentials | None = None


PLACES: list[tuple[tuple[str, ...], str | None]] = [
    ((), None),
    (("sources", "shop", "orders"), None),
    (("sources", "a", "a"), "load"),
    (("destination", "warehouse"), None),
    (("destination", "warehouse"), "load"),
    (("destination", "warehouse", "credentials"), "load"),
    (("normalize", "data_writer"), "load"),
]
VARIABLES = (
    *("NUMBER", "LOAD__SOURCES__A__NUMBER", "SOURCES__ORDERS__TOKEN", "CREDENTIALS"),
    *("DESTINATION__WAREHOUSE__CREDENTIALS__HOST", "LOAD__DESTINATION__WAREHOUSE__TEXT"),
    *("XNUMBER", "EXTRACT__FUTURES_POLL_INTERVAL", "TEXT"),
)


def looked_up(sections: tuple[str, ...], pipeline: str | None) -> tuple[Any, ...]:
    """Return what dlt finds, what it notes of it, and what it tells to be missing."""
    get_resolved_traces().clear()
    found = Settings()
    missing: Any = None
    context = ConfigSectionContext(pipeline_name=pipeline)
    with Container().injectable_context(context):
        try:
            resolve_configuration(found, sections=sections)
        except ConfigFieldMissingException as error:
            missing = [(name, flatten_traces(nested)) for name, nested in error.traces.items()]
        except InvalidNativeValue:
            # the file of a temporary destination is no connection string
            missing = "invalid"
    noted = [(t.key, t.value, t.hint, list(t.sections), t.provider_name) for t in all_traces()]
    return found.number, found.text, found.token, str(found.credentials), missing, noted


def all_traces() -> list[Any]:
    return list(get_resolved_traces().all_traces)


@contextmanager
def sandboxed(folder: Path, monkeypatch: pytest.MonkeyPatch, speed_is: str) -> Iterator[Sandbox]:
    monkeypatch.setenv(speed.ENVIRONMENT_VARIABLE, speed_is)
    with isolated(Sandbox(str(folder / "sandbox"), None, str(folder))) as sandbox:
        dlt.current.run_context()
        yield sandbox


@pytest.mark.leans_on(
    "dlt.common.configuration.resolve:resolve_single_provider_value",
    "dlt.common.configuration.resolve:_build_section_lookup_paths",
)
def test_what_is_found_noted_and_missing_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers() -> list[tuple[Any, ...]]:
        told = [looked_up(*place) for place in PLACES]
        for variable in VARIABLES:
            with monkeypatch.context() as patched:
                is_url = variable.endswith("CREDENTIALS")
                patched.setenv(variable, "postgres://u:p@server.invalid/d" if is_url else "17")
                told += [looked_up(*place) for place in PLACES]
        return told

    with sandboxed(tmp_path, monkeypatch, "off"):
        by_dlt = answers()
    with sandboxed(tmp_path, monkeypatch, "on"):
        ours = answers()

    # what a test would see in errors
    assert sum(missing is not None for *_, missing, _ in by_dlt) > len(PLACES)
    assert len({number for number, *_ in by_dlt}) == 2
    assert ours == by_dlt


@pytest.mark.leans_on("dlt.common.configuration.resolve:_resolve_single_value")
def test_what_is_set_after_a_look_up_is_found_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sandboxed(tmp_path, monkeypatch, "on") as sandbox:
        found = [looked_up(("sources", "shop"), "load")[0]]
        monkeypatch.setenv("SHOP__NUMBER", "1")
        monkeypatch.setenv("LOAD__SOURCES__SHOP__NUMBER", "4")
        found.append(looked_up(("sources", "shop"), "load")[0])
        Overrides(sandbox)["sources.shop.number"] = 5
        found.append(looked_up(("sources", "shop"), "load")[0])
        Overrides(sandbox)["sources.shop.number"] = None
        found.append(looked_up(("sources", "shop"), "load")[0])
        Overrides(sandbox).clear()
        monkeypatch.delenv("LOAD__SOURCES__SHOP__NUMBER")
        found.append(looked_up(("sources", "shop"), "load")[0])
        dlt.config["sources.shop.number"] = 6
        found.append(looked_up(("sources", "shop"), "load")[0])

    assert found == [3, 4, 5, 3, 3, 6]


HINTS: list[Any] = [
    *(int, str, Any, dict, list[str], int | None, Optional[dict[str, Any]]),  # noqa: UP045
    *(TSecretStrValue, ConnectionStringCredentials, ConnectionStringCredentials | None),
    *(str | int, int | str, Union[int, str], Union[str, int], Literal["a", "b"]),  # noqa: UP007
    *(Final[int], ClassVar[int], Annotated[int | None, "note"], RuntimeConfiguration),
    *(PipelineContext, Union[AwsCredentials, str], Callable[..., Any]),  # noqa: UP007
    *(Literal["a"] | None, type(None)),
]


@pytest.mark.leans_on(
    "dlt.common.configuration.specs.base_configuration:extract_inner_hint",
    "dlt.common.configuration.specs.base_configuration:is_context_inner_hint",
    "dlt.common.configuration.specs.base_configuration:is_hint_not_resolvable",
    "dlt.common.typing:is_union_type",
)
def test_what_dlt_works_out_of_types_is_remembered_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (
        *("extract_inner_hint", "is_base_configuration_inner_hint", "is_context_inner_hint"),
        *("is_hint_not_resolvable", "is_optional_type", "is_union_type"),
    )
    of_dlt: Any = resolve
    with sandboxed(tmp_path, monkeypatch, "on"):
        # the second time from memory
        for hint in [*HINTS, *HINTS]:
            for name in names:
                function = getattr(of_dlt, name)
                assert function(hint) == function.__wrapped__(hint), (name, hint)
            for more in ({"preserve_literal": True}, {"preserve_annotated": True}):
                function = of_dlt.extract_inner_hint
                assert function(hint, **more) == function.__wrapped__(hint, **more), hint


@pytest.mark.leans_on("dlt.common.validation:validate_dict")
def test_what_kind_of_type_a_part_of_a_schema_has_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (
        *("is_callable_type", "is_dict_generic_type", "is_list_generic_type", "is_literal_type"),
        *("is_optional_type", "is_typeddict", "is_union_type"),
    )
    of_dlt: Any = validation
    with sandboxed(tmp_path, monkeypatch, "on"):
        for hint in [*HINTS, TTableSchema, dict[str, TTableSchema]] * 2:
            for name in names:
                function = getattr(of_dlt, name)
                assert function(hint) == function.__wrapped__(hint), (name, hint)


@pytest.mark.leans_on("dlt.common.validation:validate_dict")
def test_hints_of_schemas_are_those_that_dlt_takes_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_dlt: Any = validation
    schema = dlt.Schema("shop").to_dict()
    with sandboxed(tmp_path, monkeypatch, "on"):
        for spec in (TStoredSchema, TTableSchema) * 2:
            assert of_dlt.get_type_hints(spec) == of_dlt.get_type_hints.__wrapped__(spec)
        with pytest.raises(DictValidationException, match="unexpected fields"):
            validation.validate_dict(TStoredSchema, {**schema, "colour": 1}, "schema")


@pytest.mark.leans_on(
    "dlt.common.configuration.container:Container.__getitem__",
    "dlt.common.configuration.container:Container._thread_context",
)
def test_each_thread_has_contexts_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sandboxed(tmp_path, monkeypatch, "on"):
        container = Container()
        with container.injectable_context(ConfigSectionContext(pipeline_name="main")):
            found = [container[ConfigSectionContext].pipeline_name]
            in_thread = threading.Thread(
                target=lambda: found.append(container[ConfigSectionContext].pipeline_name)
            )
            in_thread.start()
            in_thread.join()
        found.append(container[ConfigSectionContext].pipeline_name)
        assert found == ["main", None, None]
        with pytest.raises(KeyError, match="is not a context"):
            container[str]  # type: ignore[type-var]  # it is none


@configspec
class Empty(BaseConfiguration):
    pass


@pytest.mark.leans_on("dlt.common.configuration.specs.base_configuration:BaseConfiguration.__len__")
def test_a_configuration_is_true_where_it_has_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = (Settings, Empty, DuckDbClientConfiguration, ConfigSectionContext, AwsCredentials)
    with sandboxed(tmp_path, monkeypatch, "on"):
        for kind in kinds * 2:
            assert bool(kind()) == (len(kind()) > 0), kind
        assert not Empty()


@pytest.mark.leans_on(
    "dlt.common.configuration.specs.base_configuration:BaseConfiguration.__iter__"
)
def test_a_configuration_has_the_fields_of_its_class_as_they_are_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(Empty):
        number: int = 1

    class Counted(Settings):
        def __iter__(self) -> Iterator[str]:
            return iter(())

    with sandboxed(tmp_path, monkeypatch, "on"):
        assert Settings()
        assert not Counted()
        # before its decorator it has those of its base
        assert not Late()
        assert configspec(Late)()


@pytest.mark.leans_on("dlt.common.configuration.resolve:resolve_single_provider_value")
def test_outside_of_sandboxes_and_switched_off_dlt_does_it_all_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_dlt: Any = resolve
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "outside"))

    cells = of_dlt.extract_inner_hint.__closure__
    (known,) = [one.cell_contents for one in cells if isinstance(one.cell_contents, dict)]

    def remembers() -> bool:
        of_test = type("OfTest", (), {})
        assert of_dlt.extract_inner_hint(of_test) is of_test
        return any(hint is of_test for hint, _ in known.values())

    with sandboxed(tmp_path, monkeypatch, "on"):
        assert remembers()
    dlt.current.run_context()
    assert not remembers()
    with sandboxed(tmp_path, monkeypatch, "off"):
        assert not remembers()
