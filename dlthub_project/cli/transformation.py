"""`dlt transformation` and `dlt cache`: their steps, one by one or all of them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from dlthub_project.cli.arguments import (
    activate,
    add_format_argument,
    named_entity,
    names_to_list,
)
from dlthub_project.cli.command import EntityCommand, Operation
from dlthub_project.cli.output import Facts, Table, confirm, show, working

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dlthub_project.transformations import Cache, CacheInfo, Flushed, Transformation

_WRITES = "Writing the tables of {}"


def _list_transformations(args: argparse.Namespace) -> None:
    declared = activate(args).project.manifest.section("transformations")
    entries = [
        {
            "name": name,
            "engine": declared[name].get("engine") or "python",
            "cache": declared[name].get("cache"),
        }
        for name in names_to_list(args, "transformation", declared)
    ]
    rows = [tuple(entry.values()) for entry in entries]
    show(args, entries, Table(("transformation", "engine", "cache"), rows))


def _list_caches(args: argparse.Namespace) -> None:
    from dlthub_project import current

    activate(args)
    entities = current.entities()
    infos = [
        entities.get_cache(name).info()
        for name in names_to_list(args, "cache", entities.list_caches())
    ]
    rows = [(info.name, info.inputs, info.outputs, info.holds) for info in infos]
    documents = [_cache_document(info) for info in infos]
    show(args, documents, Table(("cache", "inputs", "outputs", "holds"), rows))


def _transformation_info(args: argparse.Namespace) -> None:
    info = _transformation(args).info()
    document = {
        "name": info.name,
        "engine": info.engine,
        "tables": list(info.tables),
        "cache": _cache_document(info.cache),
    }
    show(args, document, str(info))


def _cache_info(args: argparse.Namespace) -> None:
    info = _cache(args).info()
    show(args, _cache_document(info), str(info))


def _run(args: argparse.Namespace) -> None:
    transformation = _transformation(args)
    _flush(args, transformation.name, f"Running {transformation.name}", transformation.run)


def _populate_transformation(args: argparse.Namespace) -> None:
    transformation = _transformation(args)
    with working(f"Filling {transformation.cache.name}"):
        transformation.populate()
    _show_held(args, transformation.cache)


def _populate_cache(args: argparse.Namespace) -> None:
    cache = _cache(args)
    with working(f"Filling {cache.name}"):
        cache.populate()
    _show_held(args, cache)


def _transform(args: argparse.Namespace) -> None:
    transformation = _transformation(args)
    with working(f"Making the tables of {transformation.name}"):
        transformation.transform()
    _show_held(args, transformation.cache)


def _flush_transformation(args: argparse.Namespace) -> None:
    transformation = _transformation(args)
    _flush(args, transformation.name, _WRITES.format(transformation.name), transformation.flush)


def _flush_cache(args: argparse.Namespace) -> None:
    cache = _cache(args)
    _flush(args, cache.name, _WRITES.format(cache.name), cache.flush)


def _verify_inputs(args: argparse.Namespace) -> None:
    transformation = _transformation(args)
    transformation.verify_inputs()
    _show_verified(args, transformation, "inputs", "All inputs can be read.")


def _verify_outputs(args: argparse.Namespace) -> None:
    transformation = _transformation(args)
    transformation.verify_outputs()
    _show_verified(args, transformation, "outputs", "The cache holds all tables to write.")


def _drop(args: argparse.Namespace) -> None:
    cache = _cache(args)
    held = list(cache.info().holds)
    # a populate that was killed may have left the file without a plan
    is_there = bool(held) or cache.path.exists()
    if is_there:
        confirm(f"Drop cache `{cache.name}` ({cache.path}) with {', '.join(held) or 'no tables'}?")
    cache.drop()
    document = {"name": cache.name, "dropped": held}
    told = "Dropped cache `{}`." if is_there else "Cache `{}` holds nothing."
    show(args, document, told.format(cache.name))


def _transformation(args: argparse.Namespace) -> Transformation:
    from dlthub_project import current

    activate(args)
    entities = current.entities()
    name = named_entity(args, "transformation", entities.list_transformations())
    return entities.get_transformation(name)


def _cache(args: argparse.Namespace) -> Cache:
    from dlthub_project import current

    activate(args)
    entities = current.entities()
    return entities.get_cache(named_entity(args, "cache", entities.list_caches()))


def _cache_document(info: CacheInfo) -> Mapping[str, Any]:
    return {
        "name": info.name,
        "path": info.path,
        "inputs": list(info.inputs),
        "outputs": list(info.outputs),
        "holds": list(info.holds),
    }


def _show_held(args: argparse.Namespace, cache: Cache) -> None:
    held = list(cache.info().holds)
    show(
        args,
        {"cache": cache.name, "holds": held},
        Facts({"cache": cache.name, "holds": held})
        if held
        else f"{cache.name}: nothing to do, no load is new",
    )


def _flush(
    args: argparse.Namespace, name: str, activity: str, flush: Callable[[], Flushed]
) -> None:
    with working(activity):
        flushed = flush()
    rows = [
        (dataset, table, count)
        for dataset, counts in flushed.rows.items()
        for table, count in sorted(counts.items())
    ]
    document = {
        "name": name,
        "load_ids": {dataset: info.loads_ids for dataset, info in flushed.loads.items()},
        "rows": flushed.rows,
    }
    empty = "nothing to do, no load is new"
    show(args, document, Table(("dataset", "table", "rows"), rows, name, empty))


def _show_verified(
    args: argparse.Namespace, transformation: Transformation, what: str, told: str
) -> None:
    show(args, {"name": transformation.name, what: "ok"}, told)


class TransformationCommand(EntityCommand):
    """Adds `dlt transformation`."""

    command = "transformation"
    help_string = "List and run the transformations of a project, or single steps of them"
    takes_name = True
    operations = (
        Operation("list", "List the transformations", _list_transformations, add_format_argument),
        Operation(
            "info", "Show its engine, tables and cache", _transformation_info, add_format_argument
        ),
        Operation("run", "Populate, transform and flush", _run, add_format_argument),
        Operation(
            "populate",
            "Fill its cache with what is new",
            _populate_transformation,
            add_format_argument,
        ),
        Operation("transform", "Make its tables in the cache", _transform, add_format_argument),
        Operation(
            "flush",
            "Write its tables to their datasets",
            _flush_transformation,
            add_format_argument,
        ),
        Operation(
            "verify-inputs",
            "Check that all inputs can be read",
            _verify_inputs,
            add_format_argument,
        ),
        Operation(
            "verify-outputs",
            "Check that the cache holds what is to be written",
            _verify_outputs,
            add_format_argument,
        ),
    )


class CacheCommand(EntityCommand):
    """Adds `dlt cache`."""

    command = "cache"
    help_string = "List, fill, write and drop the caches of transformations"
    takes_name = True
    operations = (
        Operation("list", "List the caches", _list_caches, add_format_argument),
        Operation("info", "Show its inputs, outputs and tables", _cache_info, add_format_argument),
        Operation("populate", "Fill it with what is new", _populate_cache, add_format_argument),
        Operation("flush", "Write its tables to their datasets", _flush_cache, add_format_argument),
        Operation("drop", "Remove its database; asks first", _drop, add_format_argument),
    )
