"""Everything of dlt that a sandbox wraps: what, why, its basis in dlt, and what would replace it.

A wrapper does nothing outside of a sandbox, but for those that note what modules set. All are
installed when the first sandboxed run context is opened, in this process or a subprocess. What
learns dlt's secrets is wrapped in projects, too: `TraceLogContext.log` and
`BaseConfiguration.resolve`, see `configuration.register_secrets`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from inspect import isfunction
from typing import Any

import dlt
from dlt.common.destination import Destination
from dlt.extract import DltResource

from dlthub_project.dlt_internals import (
    clients,
    configuration,
    contexts,
    datasets,
    destinations,
    http_client,
    normalization,
    sql_clients,
)
from dlthub_project.sandbox import (
    at_import,
    extract_and_normalize,
    own_connections,
    pipelines,
    report_notes,
    wrappers,
    wrapping,
)
from dlthub_project.sandbox import clients as kept_clients
from dlthub_project.sandbox.background_work import POOLS, hand_on_to_pools


@dataclass(frozen=True)
class Patch:
    """One member of a class of dlt that is wrapped.

    Attributes:
        owner: The class.
        name: The member.
        wrapper: Called with the sandbox, dlt's own function, and the arguments of the call.
        why: What would be wrong without it.
        leans_on: The file of dlt whose way of working it relies on.
        until: What dlt would have to offer to make it unnecessary.
        is_everywhere: Whether the wrapper is called outside of sandboxes, too, with None.
    """

    owner: type
    name: str
    wrapper: Callable[..., Any]
    why: str
    leans_on: str
    until: str
    is_everywhere: bool = False


_EMBEDDED = sql_clients.sql_clients()


def _of_clients(owner: type) -> list[Patch]:
    """Return what is wrapped of a class of clients of SQL, which may be imported at any time."""
    # that of embedded ones is wrapped below
    names = ["open_connection"] if owner in _EMBEDDED else ["open_connection", "execute_query"]
    return [
        Patch(
            owner,
            name,
            wrappers.connection,
            why="Code keeps clients in modules and caches: each sandbox has them as its own.",
            leans_on=f"{owner.__module__.replace('.', '/')}.py: `with client:` opens it.",
            until="A client resolves its place when it connects.",
        )
        for name in names
        if name in vars(owner)
    ]


def _of_tokens(owner: type) -> Patch:
    """Return what is wrapped of a class that obtains tokens, which may be imported at any time."""
    return Patch(
        owner,
        "__call__",
        wrappers.token,
        why="Code keeps it in a module: the API of another test has given it the token.",
        leans_on="dlt/sources/helpers/rest_client/auth.py: each request asks it for its header.",
        until="Tokens are kept by a run context.",
    )


PATCHES = (
    Patch(
        Destination,
        "from_reference",
        wrappers.from_reference,
        why="An object of code is shared by all tests: each sandbox has one of its own instead.",
        leans_on="dlt/common/destination/reference.py: names, classes and objects all go through.",
        until="A hook that plugins answer with a destination.",
    ),
    Patch(
        Destination,
        "client",
        wrappers.client,
        why="Nothing remote is opened unless tests may reach it.",
        leans_on="dlt/common/destination/reference.py: whatever connects asks for a client first.",
        until="A hook before a client is made.",
    ),
    Patch(
        Destination,
        "configuration",
        wrappers.configuration,
        why="A file or folder outside of the sandbox is put into it, by the place that counts.",
        leans_on="dlt/common/destination/reference.py: each client is made of what it returns.",
        until="The run context says where local files are, also those with an absolute path.",
    ),
    Patch(
        destinations.file_jobs(),
        "make_remote_path",
        wrappers.path_of_file,
        why="A function among the placeholders of a layout may lead out of the bucket.",
        leans_on="dlt/destinations/impl/filesystem/filesystem.py: each job asks for its path.",
        until="dlt refuses paths outside of the bucket.",
    ),
    *(
        Patch(
            owner,
            "execute_query",
            wrappers.statement,
            why="`ATTACH`, `COPY ... TO` and `EXPORT` write to any file.",
            leans_on=f"{owner.__module__.replace('.', '/')}.py: all SQL of users goes through it.",
            until="A hook on statements.",
        )
        for owner in _EMBEDDED
    ),
    Patch(
        Destination,
        "capabilities",
        wrappers.capabilities,
        why="Speed alone: dlt resolves a configuration ten times a run to read nothing of it.",
        leans_on="dlt/common/destination/reference.py: only some classes override the adjustment.",
        until="dlt resolves it once.",
    ),
    *(
        Patch(
            owner,
            "__call__",
            wrappers.wait_of_attempt,
            why="A request that fails five times waits 15 s in all. The attempts are production's.",
            leans_on="dlt/sources/helpers/requests/retry.py: each session asks one of the two.",
            until="A setting for the waits that clients with arguments of their own take, too.",
        )
        for owner in http_client.WAITS
    ),
    Patch(
        DltResource,
        "compute_table_schema",
        extract_and_normalize.compute_table_schema,
        why="A table format or merge strategy of production may be missing here.",
        leans_on="dlt/extract/hints.py: extract computes each table with it.",
        until="A hook on tables of resources.",
    ),
    Patch(
        normalization.Normalize,
        "map_single",
        extract_and_normalize.normalize_package,
        why="Speed alone: rows are tried as Parquet, and inserted when a value would change.",
        leans_on="dlt/normalize/normalize.py: a package may be normalized again until it returns.",
        until="DuckDB inserts rows as fast as it reads Parquet.",
    ),
    Patch(
        normalization.LoadItemStorage,
        "write_data_item",
        extract_and_normalize.write_rows,
        why="Speed alone: it sees the rows that are tried as Parquet.",
        leans_on="dlt/common/storages/data_item_storage.py: all rows of a package go through it.",
        until="DuckDB inserts rows as fast as it reads Parquet.",
    ),
    Patch(
        dlt.Pipeline,
        "__init__",
        wrappers.init_pipeline,
        why="`pipelines_dir=` and the folders of schemas may lead out of the sandbox.",
        leans_on="dlt/pipeline/pipeline.py: the folder is made and `state.json` written there.",
        until="Folders of pipelines come from the run context alone.",
    ),
    Patch(
        dlt.Pipeline,
        "_create_pipeline_instance_id",
        wrappers.instance_id,
        why="`dev_mode` names datasets by the second: two pipelines made within one share it.",
        leans_on="dlt/pipeline/pipeline.py: the constructor asks for the suffix.",
        until="The suffix is unique.",
    ),
    Patch(
        dlt.Pipeline,
        "_set_destinations",
        wrappers.set_destinations,
        why="What stands for a warehouse may know no staging area.",
        leans_on="dlt/pipeline/pipeline.py: constructor, `run` and `load` set both with it.",
        until="A public way to say that a staging area is not used.",
    ),
    Patch(
        dlt.Pipeline,
        "extract",
        wrappers.extract,
        why="As all members of a pipeline; tables are computed for what stands in its place, and "
        "a source that a module made forgets what earlier tests have loaded with it.",
        leans_on="dlt/pipeline/pipeline.py: `run` extracts with it.",
        until="See `compute_table_schema`.",
    ),
    Patch(
        dlt.Pipeline,
        "normalize",
        wrappers.normalize,
        why="As all members of a pipeline; many rows are loaded as Parquet, three times faster.",
        leans_on="dlt/pipeline/pipeline.py: `run` normalizes with it.",
        until="The file format can be set for a pipeline.",
    ),
    Patch(
        dlt.Pipeline,
        "dataset",
        wrappers.dataset,
        why="As all members of a pipeline; a dataset that code keeps follows its pipeline.",
        leans_on="dlt/pipeline/pipeline.py: a dataset has the destination of its pipeline.",
        until="A dataset resolves its destination when it is read.",
    ),
    Patch(
        dlt.Dataset,
        "ibis",
        wrappers.ibis,
        why="Code keeps it in a module or a cache: it would read the rows of another test.",
        leans_on="dlt/dataset/dataset.py: it gives the connection of a client away.",
        until="A backend resolves its place when it connects.",
    ),
    *(
        Patch(
            dlt.Pipeline,
            name,
            wrappers.run,
            why="As all members of a pipeline; observers are told of each run. Not by "
            "`TRACKING_MODULES`: that is silent without `enable_runtime_trace`, and tells before "
            "`last_trace` is that of the run.",
            leans_on="dlt/pipeline/pipeline.py: `run` loads with `load`.",
            until="dlt tells of the end of each run, traced or not.",
        )
        for name in ("run", "load")
    ),
    *(
        Patch(
            owner,
            name,
            at_import.preserved if name == "preserve" else at_import.set_in_document,
            why="What a module sets at import is of the process: each sandbox has it.",
            leans_on=f"{owner.__module__.replace('.', '/')}.py: `dlt.config[...] = ...` calls it.",
            until="Settings of code outlive a run context.",
            is_everywhere=True,
        )
        for owner in configuration.providers_with_documents()
        for name in ("set_value", "set_fragment", "preserve")
        # `dlt.config.values` came with dlt 1.31
        if name in vars(owner)
    ),
    Patch(
        contexts.ConfigProvidersContainer,
        "add_provider",
        at_import.add_provider,
        why="What a module registers at import is of the process: each sandbox has it.",
        leans_on="dlt/common/configuration/specs/config_providers_context.py: the only public way.",
        until="Providers of code outlive a run context.",
        is_everywhere=True,
    ),
    Patch(
        contexts.PluggableRunContext,
        "add_extras",
        at_import.add_extras,
        why="A run context that dlt makes in a sandbox, or after it, has what modules have set.",
        leans_on="dlt/common/configuration/container.py: it marks the context after the first one.",
        until="Settings of code outlive a run context.",
        is_everywhere=True,
    ),
)
"""The members that are wrapped one by one; `is_brought_along` has the rule for the others."""

ATTRIBUTES = (
    "dataset_name",
    "default_schema_name",
    "first_run",
    "initial_cwd",
    "last_run_context",
    "pipelines_dir",
    "schema_names",
    "working_dir",
)
"""What a pipeline has set on itself and another sandbox would see."""

LEFT_ALONE = {
    "deactivate": "ends its use",
    "runtime_config": "says nothing of one sandbox",
    "encryption_seed": "says nothing of one sandbox",
}
"""Public members of a pipeline that do not bring it into a sandbox, and why."""

_installed = False
_wrapped: set[type] = set()
_is_noting = False
_is_observing = False


def install() -> None:
    """Wrap all of it, once; a later call wraps classes of clients and tokens imported since."""
    global _installed
    own_connections.lead_into_sandboxes()
    late = {owner: _of_clients(owner) for owner in clients.classes_of_connections()}
    late.update((owner, [_of_tokens(owner)]) for owner in http_client.classes_of_tokens())
    for owner in late.keys() - _wrapped:
        _wrapped.add(owner)
        for patch in late[owner]:
            wrapping.wrap(patch.owner, patch.name, patch.wrapper)
    if _installed:
        return
    _installed = True
    note_settings()
    for module in POOLS:
        importlib.import_module(module)
    hand_on_to_pools()
    for name, member in list(vars(dlt.Pipeline).items()):
        if is_brought_along(name, member):
            # dlt keeps a pipeline in the folders that it was made in, and a module makes it once
            if isinstance(member, property):
                wrapping.wrap_property(name, member)
            else:
                wrapping.wrap(dlt.Pipeline, name, wrappers.bring_along)
    for name in ATTRIBUTES:
        setattr(dlt.Pipeline, name, wrapping.Attribute(name, pipelines.bring_into))
    for name in datasets.ATTRIBUTES_OF_PLACE:
        # code keeps datasets, and relations of them, in modules and caches
        setattr(dlt.Dataset, name, wrapping.OfDataset(name, pipelines.bring_dataset_into))
    columns = datasets.ATTRIBUTE_OF_COLUMNS
    setattr(dlt.Relation, columns, wrapping.Attribute(columns, pipelines.bring_relation_into))
    for name in clients.ATTRIBUTES_OF_FILES:
        setattr(clients.client_of_files(), name, wrapping.Attribute(name, kept_clients.bring_into))
    # also outside of sandboxes, see there
    configuration.register_secrets()
    report_notes.note_secrets_in_subprocesses()
    for patch in PATCHES:
        if not patch.is_everywhere:
            wrapping.wrap(patch.owner, patch.name, patch.wrapper)


def note_settings() -> None:
    """Wrap only what notes the settings of modules, for code that runs before any sandbox."""
    global _is_noting
    if _is_noting:
        return
    _is_noting = True
    for patch in PATCHES:
        if patch.is_everywhere:
            wrapping.wrap(patch.owner, patch.name, patch.wrapper, is_everywhere=True)


def observe_everywhere() -> None:
    """Wrap `run` and `load` so that observers are told of runs outside of sandboxes, too."""
    global _is_observing
    if _is_observing:
        return
    _is_observing = True
    for name in ("run", "load"):
        wrapping.wrap(dlt.Pipeline, name, wrappers.run_outside, is_everywhere=True)


def is_brought_along(name: str, member: Any) -> bool:
    """Tell whether a member of `dlt.Pipeline` first makes the pipeline anew in this sandbox.

    The rule: each public method and property does, unless it is wrapped for itself or left alone.
    """
    if name.startswith("_") or name in LEFT_ALONE:
        return False
    if any(patch.owner is dlt.Pipeline and patch.name == name for patch in PATCHES):
        return False
    return isfunction(member) or isinstance(member, property)
