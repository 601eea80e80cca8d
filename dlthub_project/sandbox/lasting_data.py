"""Takes out of databases that outlive a test what the test has loaded into them.

These are remote destinations that are allowed, and databases in memory that tests share, because a
module or fixture holds the connection. Each test finds the rows that the module or fixture has put
there, and none of other tests.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dlt.common.destination import Destination

from dlthub_project.dlt_internals import datasets
from dlthub_project.dlt_internals.memory_databases import given_database, save_in_memory
from dlthub_project.errors import ProjectError
from dlthub_project.sandbox.destinations import short_type
from dlthub_project.sandbox.settings import Sandbox


@dataclass
class _Datasets:
    known: dict[str, Any] = field(default_factory=dict)
    made: list[Any] = field(default_factory=list)


# by the folder of the sandbox: the end of an inner one keeps what an outer one has loaded
_datasets: dict[str, _Datasets] = {}
# by the folder of the sandbox: the functions that restore a database, by the given connection
_saved: dict[str, dict[int, tuple[Any, Callable[[], None] | None]]] = {}


@dataclass(frozen=True)
class _Record:
    """The record of a dataset that a subprocess has made, by which the process above finds it.

    There are no credentials in it; the place is told by a digest.
    """

    destination: str
    type: str
    dataset: str
    naming: str
    place: str


def remember_remote(client: Any, destination: Destination[Any, Any], sandbox: Sandbox) -> None:
    """Have the dataset of `client` dropped after the test, unless it exists already.

    A dataset that was there before is the user's own. A subprocess leaves a record for the process
    that ends the sandbox: the test may be about to read what it loaded.
    """
    if not getattr(client.config, "dataset_name", None):
        return
    of_sandbox = _datasets.setdefault(sandbox.folder, _Datasets())
    place = _place(client, destination)
    if place in of_sandbox.known:
        return
    of_sandbox.known[place] = client
    with client:
        if client.is_storage_initialized():
            return
    if sandbox.is_inherited:
        _leave_record(client, destination, place, sandbox)
    else:
        of_sandbox.made.append(client)


def drop_remote(sandbox: Sandbox) -> None:
    """Drop the datasets that were made in `sandbox`, also by subprocesses.

    If one cannot be dropped, the others still are. A warning names one that is not found.
    """
    left: list[str] = []
    with contextlib.ExitStack() as all_of_them:
        for file in sorted(Path(sandbox.remote_dir).glob("*.json")):
            record = _Record(**json.loads(file.read_text(encoding="utf-8")))
            file.unlink()
            client, problem = _find(record, sandbox)
            if problem:
                left.append(problem)
            else:
                all_of_them.callback(_drop, client)
        for client in _datasets.pop(sandbox.folder, _Datasets()).made:
            all_of_them.callback(_drop, client)
    for problem in left:
        warnings.warn(problem, stacklevel=2)


def _drop(client: Any) -> None:
    with client:
        if client.is_storage_initialized():
            client.drop_storage()


def _place(client: Any, destination: Destination[Any, Any]) -> str:
    """Return a digest of where the dataset of `client` is.

    dlt's fingerprint covers only the host. The printed configuration also has the database, and no
    password.
    """
    shown = f"{destination.destination_name} {client.config} {_dataset_name(client)}"
    return hashlib.sha256(f"{client.config.fingerprint()} {shown}".encode()).hexdigest()


def _dataset_name(client: Any) -> str:
    """Return the name at the destination: normalized, and with the schema if there are several."""
    of_sql = getattr(client, "sql_client", client)
    return str(getattr(of_sql, "dataset_name", None) or client.config.dataset_name)


def _leave_record(
    client: Any, destination: Destination[Any, Any], place: str, sandbox: Sandbox
) -> None:
    record = _Record(
        destination=destination.destination_name,
        type=short_type(destination),
        dataset=_dataset_name(client),
        naming=client.schema.to_dict()["normalizers"]["names"],
        place=place,
    )
    folder = Path(sandbox.remote_dir)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(record))
    # written as a whole: nobody may read half a record
    written = folder / f"{uuid.uuid4().hex}.part"
    written.write_text(text, encoding="utf-8")
    written.rename(written.with_suffix(".json"))


def _find(record: _Record, sandbox: Sandbox) -> tuple[Any, str]:
    """Return a client of a dataset that a subprocess made, or why there is none.

    If code gave the credentials, it is a client that this process has used itself.
    """
    known = _datasets.get(sandbox.folder, _Datasets()).known
    used = known.get(record.place)
    # if dlt shows no place, another dataset may have the same digest
    if used is not None and str(used.config):
        return used, ""
    reason = "this process has other credentials for it"
    try:
        destination = Destination.from_reference(record.type, destination_name=record.destination)
        assert destination is not None
        client = datasets.open_dataset(destination, record.dataset, record.naming)
        if str(client.config) and _place(client, destination) == record.place:
            return client, ""
    except Exception as error:
        # without its text: there may be credentials in it
        reason = f"this process cannot connect to it ({type(error).__name__})"
    return None, (
        f"The dataset `{record.dataset}` at destination `{record.destination}` ({record.type}) was "
        f"made by a subprocess of this test and is left there: {reason}. Give the destination its "
        "credentials in the configuration, and not in code, or drop the dataset in the test."
    )


def save_in_memory_once(config: Any, sandbox: Sandbox) -> None:
    """Note what is in a database in memory, before this sandbox uses it for the first time."""
    given = given_database(config)
    known = _saved.setdefault(sandbox.folder, {})
    if given is not None and id(given) not in known:
        # kept alive, so that no other object gets its id
        known[id(given)] = (given, save_in_memory(given))


def restore_in_memory(sandbox: Sandbox) -> None:
    """Put back the databases that a sandbox has used, which ends now.

    Raises:
        ProjectError: One cannot be put back: another test would find what this one has loaded.
    """
    with contextlib.ExitStack() as all_of_them:
        for _, put_back in _saved.pop(sandbox.folder, {}).values():
            if put_back is not None:
                all_of_them.callback(_restore, put_back)


def _restore(put_back: Callable[[], None]) -> None:
    try:
        put_back()
    except Exception as error:
        raise ProjectError(
            "A database in memory, to which code of a module or fixture has the connection, "
            f"cannot be emptied after this test ({type(error).__name__}): the next one would "
            "find its rows.",
            "End the transaction that is open there, or make the connection in the test.",
        ) from error
