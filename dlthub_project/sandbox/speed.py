"""All that exists for speed alone: `DLTHUB_PROJECT_SPEED=off` switches it off.

With it, a small run takes some 0.55 of its time. The tests of sandboxes pass without it, too
(`tox -e plain-speed`), because none of it may change what a test sees.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import dlt
from dlt.common.configuration.providers import EnvironProvider
from dlt.common.configuration.providers.provider import ConfigProvider

from dlthub_project.dlt_internals import (
    contexts,
    destinations,
    fast_settings,
    fault_points,
    pipelines,
)
from dlthub_project.sandbox.destinations import short_type
from dlthub_project.sandbox.settings import (
    SETTINGS,
    SPEED_VARIABLE,
    Sandbox,
    active_sandbox,
    lies_in,
)

ENVIRONMENT_VARIABLE = SPEED_VARIABLE

_SECRET_FILES = "/run/secrets"
_SET_BY_SANDBOX = "\n".join((*SETTINGS, ""))

# of what stands for a destination, which is for one sandbox and one pipeline: not for every run
_databases: weakref.WeakKeyDictionary[Any, str | None] = weakref.WeakKeyDictionary()


def is_on() -> bool:
    """Tell whether the code for speed is used."""
    return os.environ.get(ENVIRONMENT_VARIABLE) != "off"


class FastEnvironProvider(EnvironProvider):
    """Answers as dlt's own provider of environment variables does, in less time.

    dlt's provider decides for each of some 2,900 look-ups of a small run whether the value is a
    secret, only to look for a file in `/run/secrets`: a fifth of the run. Without that folder, this
    provider does not ask.
    """

    def __init__(self) -> None:
        # not with each look-up: containers have the folder from their start
        self._asks_dlt = os.path.isdir(_SECRET_FILES) or not is_on()

    def get_value(
        self, key: str, hint: type[Any], pipeline_name: str | None, *sections: str
    ) -> tuple[Any | None, str]:
        if self._asks_dlt:
            return super().get_value(key, hint, pipeline_name or "", *sections)
        parts = (*sections, key) if not pipeline_name else (pipeline_name, *sections, key)
        name = "__".join(part for part in parts[:-1] if part)
        name = f"{name}__{key}".upper() if name else key.upper()
        return os.environ.get(name), name

    def has_nothing(self, key: str, _section: str) -> bool:
        """Tell whether no variable ends with the name of a setting, wherever dlt looks for it."""
        end = key.upper()
        if self._asks_dlt or f"{end}\n" in _SET_BY_SANDBOX:
            return False
        return not fast_settings.may_end_a_variable(end)


def look_up_quickly(providers: Iterable[ConfigProvider] = ()) -> None:
    """Have dlt look up settings in less time, in the providers of a run context.

    A provider that can say that it has nothing is asked once in a look-up, and not at each place:
    nearly all look-ups of a run find nothing. What dlt finds out about types is remembered. With
    both, a small run makes 0.58 of its calls of functions.
    """
    fast_settings.remember_types(is_on=is_on())
    for provider in providers:
        has_nothing = getattr(provider, "has_nothing", None)
        if has_nothing is not None:
            fast_settings.ask_at_once(provider, has_nothing)


def reads_through_twins() -> bool:
    """Tell whether a test that only reads a copy of a database does so through its original.

    DuckDB takes 8 ms to open a file, of some 30 of such a test: with this and quicker look-ups it
    costs a fifteenth of what it does by hand, and without them a ninth, in one run. Not on Windows,
    which does not tell at once when a file was written to, and deletes none that is open.
    """
    return is_on() and os.name == "posix"


def look_up_as_dlt() -> None:
    """Have dlt look up settings as it does without a sandbox."""
    fast_settings.remember_types(is_on=False)


def is_second_initialization(providers: list[Any], earlier: Any) -> bool:
    """Tell whether dlt sets up its logging and HTTP client once more, with the same providers.

    dlt does so for each run context, 0.6 ms, in case providers were added: seldom are any.
    """
    return is_on() and contexts.is_setting_up_context() and providers == earlier


def configuration_for_capabilities(destination: Any, config: Any) -> Any:
    """Return a configuration without values where the capabilities do not depend on it.

    dlt resolves one some ten times in a run, for nothing.
    """
    if config is None and is_on() and not destinations.capabilities_take_configuration(destination):
        return destination.spec()
    return config


@contextmanager
def prepared_run(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Keep the DuckDB file of a run open, and do not restore from a database that is new.

    dlt opens and closes it many times in a run; DuckDB shares what one process has open.
    """
    path = _database_of(pipeline) if is_on() else None
    if path is None:
        yield
        return
    if not os.path.exists(path) and not fault_points.is_sync_awaited():
        pipelines.skip_restore(pipeline)
    import duckdb

    os.makedirs(os.path.dirname(path), exist_ok=True)
    with duckdb.connect(path):
        yield


def _database_of(pipeline: dlt.Pipeline) -> str | None:
    """Return the file of a run's DuckDB in the sandbox; None where it has none."""
    destination = pipeline.destination
    sandbox = active_sandbox()
    if sandbox is None or short_type(destination) != "duckdb":
        return None
    bound = destination.config_params.get("credentials")
    if isinstance(bound, str) and os.path.isabs(bound) and sandbox.is_local_path(bound):
        return bound
    if destination in _databases:
        return _databases[destination]
    found = _databases[destination] = _resolved_database(destination, sandbox)
    return found


def _resolved_database(destination: Any, sandbox: Sandbox) -> str | None:
    config = destination.configuration(destination.spec(), accept_partial=True)
    if destinations.is_open_already(config) or getattr(config.credentials, "read_only", False):
        return None
    path = destinations.local_path(config)
    # one of a sandbox around this one is that one's to make
    return path if path is not None and lies_in(path, sandbox.folder) else None
