"""What a destination is in a sandbox: decided once, for its name and for objects of it."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dlt
from dlt.common.configuration.providers.provider import ConfigProvider, get_key_name
from dlt.common.destination import Destination
from dlt.common.destination.reference import DestinationReference

from dlthub_project.dlt_internals import destinations as dlt_destinations
from dlthub_project.dlt_internals import normalization
from dlthub_project.errors import ManifestError
from dlthub_project.sandbox import replacements, report_notes
from dlthub_project.sandbox.at_import import is_import_running
from dlthub_project.sandbox.replacements import TYPE
from dlthub_project.sandbox.settings import Sandbox, active_sandbox, has_ended
from dlthub_project.secrets import public_url

AnyDestination = Destination[Any, Any]

_PLACE_ARGUMENTS = ("credentials", "bucket_url", "destination_callable", "lance_uri", "warehouse")
_RECORD = "_dlthub_record"


@dataclass(frozen=True)
class Decision:
    """What stands for a destination in a sandbox.

    Attributes:
        declared_type: Its type in production; empty when a variable of production says it.
        settings: Its configuration here, with `destination_type`; empty when it stays as it is.
        is_recorded: It is a function whose items are recorded.
    """

    declared_type: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_recorded: bool = False


@dataclass
class _Record:
    """What this package knows of a destination that code has made, or of its stand-in.

    Attributes:
        sandbox: The sandbox of a stand-in; None for a destination that code has made.
        original: The destination that a stand-in stands for.
        is_made_at_import: Whether a module made it while it was imported.
        declared_type: The type of the original in production.
        change: The line of the report about a stand-in.
        sent: The recorded items of a stand-in, by table; None if it records nothing.
        stand_in: The last stand-in that was made for it.
    """

    sandbox: Sandbox | None = None
    original: AnyDestination | None = None
    is_made_at_import: bool = False
    declared_type: str | None = None
    change: str | None = None
    sent: dict[str, list[Any]] | None = None
    stand_in: AnyDestination | None = None


def short_type(destination: AnyDestination) -> str:
    """Return the type of a destination without the module of dlt's own ones."""
    return destination.destination_type.removeprefix("dlt.destinations.")


def has_place(destination: AnyDestination) -> bool:
    """Tell whether code gave this destination its place, such as a URL."""
    return any(destination.config_params.get(key) is not None for key in _PLACE_ARGUMENTS)


class TemporaryDestinations(ConfigProvider):
    """Answers before any other provider where a destination is, and what it is.

    Each destination has files of its own in the sandbox, under its own name, and no credentials
    that are set elsewhere are read. Destinations that tests configure are left to the
    configuration.
    """

    def __init__(self, sandbox: Sandbox, configured_for_tests: Iterable[str] = ()) -> None:
        """Make the provider.

        Args:
            sandbox: Where the files go, and what the session says about destinations.
            configured_for_tests: Destinations that the test profile itself configures.
        """
        self._made_in = sandbox
        self._configured_for_tests = frozenset(configured_for_tests)
        given = list(sandbox.destinations.values())
        self._answered = frozenset((TYPE, "credentials", "bucket_url")).union(*given)
        is_nested = any(isinstance(value, Mapping) for one in given for value in one.values())
        self._depths = (2, 3) if is_nested or sandbox.is_replaced_by_plugins else (2,)

    @property
    def _sandbox(self) -> Sandbox:
        """The sandbox as it is now: its destinations may be moved for a while."""
        active = active_sandbox()
        is_same = active is not None and active.folder == self._made_in.folder
        return active if active is not None and is_same else self._made_in

    @property
    def name(self) -> str:
        return "Temporary destinations"

    @property
    def supports_secrets(self) -> bool:
        return True

    @property
    def supports_sections(self) -> bool:
        return True

    def get_value(
        self, key: str, hint: type[Any], pipeline_name: str | None, *sections: str
    ) -> tuple[Any | None, str]:
        # this is called on every look-up, and a decision takes some further look-ups
        if len(sections) not in self._depths or sections[0] != "destination":
            return None, key
        full_key = get_key_name(key, ".", *((pipeline_name,) if pipeline_name else ()), *sections)
        if len(sections) == 3:
            # dlt asks for each value of a mapping
            values = self.decide(sections[1]).settings.get(sections[2])
            return (values.get(key) if isinstance(values, Mapping) else None), full_key
        # a plugin may give any setting
        if key not in self._answered and not self._made_in.is_replaced_by_plugins:
            return None, full_key
        return self.decide(sections[1]).settings.get(key), full_key

    @staticmethod
    def get_key_name(key: str, *sections: str) -> str:
        """Return the name of a setting without an answer; the first section is a pipeline."""
        pipeline_name, *others = sections
        if len(others) != 2 or others[0] != "destination":
            return key
        return get_key_name(key, ".", *((pipeline_name,) if pipeline_name else ()), *others)

    def has_nothing(self, key: str, section: str) -> bool:
        """Tell whether a setting has no answer at any place that begins with a section."""
        if section != "destination":
            return True
        is_of_plugins = self._made_in.is_replaced_by_plugins
        return self._depths == (2,) and not is_of_plugins and key not in self._answered

    def decide(self, name: str, made: AnyDestination | None = None) -> Decision:
        """Decide what stands for a destination here.

        Args:
            name: Its name.
            made: The object that code made of it; None when only its name is known.
        """
        sandbox = self._sandbox
        if made is None:
            declared_type, is_placed = self._declared_type(name), False
        else:
            declared_type, is_placed = short_type(made), has_place(made)
            if dlt_destinations.is_custom_destination(made) and name not in sandbox.allowed:
                return Decision("custom function", is_recorded=True)
        if is_placed and name not in sandbox.owned:
            return Decision(declared_type)
        if self._is_of_each_pipeline(name, made):
            return Decision(declared_type)
        if made is not None and not is_placed:
            by_name = self.decide(name)
            if by_name.settings.get(TYPE) == declared_type:
                # the name alone was enough to have an object of that type made
                return by_name
        if name in sandbox.destinations:
            settings = sandbox.destinations[name]
            settings = {**replacements.files_of(sandbox, name, settings[TYPE]), **settings}
        elif name in (*sandbox.allowed, *self._configured_for_tests):
            return Decision(declared_type)
        elif made is None and dlt_destinations.is_custom_reference(declared_type):
            # its function is replaced when an object of it is made
            return Decision(declared_type)
        else:
            settings = replacements.settings_in_place_of(sandbox, name, declared_type)
        return Decision(declared_type, settings)

    def _is_of_each_pipeline(self, name: str, made: AnyDestination | None) -> bool:
        """Tell whether this is a DuckDB without name and path: then each pipeline has a file.

        dlt chooses the file, in the local folder of the sandbox.
        """
        sandbox = self._sandbox
        is_other = sandbox.every_type not in (None, "duckdb") or "duckdb" in sandbox.destinations
        if name != "duckdb" or is_other or name in self._configured_for_tests:
            return False
        if made is not None and (made.configured_name or short_type(made) != "duckdb"):
            return False
        if (
            self._declared(TYPE, name) is not None
            or self._declared("credentials", name) is not None
        ):
            return False
        return not replacements.is_moved_by_plugin(sandbox, name, "duckdb")

    def declared_bucket(self, name: str) -> str:
        """Ask the other providers for the URL of a bucket; empty when they do not tell."""
        return self._declared("bucket_url", name) or ""

    def _declared_type(self, name: str) -> str:
        """Ask the other providers for the type; without an answer the name is the type.

        Empty when it depends on a variable of production.
        """
        declared = self._declared(TYPE, name)
        return name if declared is None else declared.removeprefix("dlt.destinations.")

    def _declared(self, key: str, name: str) -> str | None:
        for provider in dlt_destinations.providers():
            if provider is self:
                continue
            try:
                declared, _ = provider.get_value(key, str, "", "destination", name)
            except ManifestError:
                # it uses a variable of production
                return ""
            if declared:
                return str(declared)
        return None


def in_sandbox(destination: AnyDestination, sandbox: Sandbox) -> AnyDestination:
    """Return the stand-in for `destination` in `sandbox`; always the same for one object.

    A stand-in is returned as it is, even one of another sandbox: a fixture of wider scope reads in
    the sandboxes of its tests. A stand-in that a module or an ended test has made is replaced: code
    may keep it in a cache.
    """
    here, record = destination, _record_of(destination)
    made_in = record.sandbox
    is_of_others = made_in is None or record.is_made_at_import or has_ended(made_in)
    if is_of_others or (made_in is not None and _is_earlier(made_in, sandbox)):
        here = rebound(destination, sandbox)
    if change := _record_of(here).change:
        report_notes.note(sandbox.folder, change)
    return here


def rebound(destination: AnyDestination, sandbox: Sandbox) -> AnyDestination:
    """Return the stand-in for `destination` in this sandbox, and in no other.

    It is never the object itself: a pipeline binds its destination to its folders, and an object of
    a module would carry the folders of the first test to the next.
    """
    if _is_for(destination, sandbox):
        return destination
    original = original_of(destination)
    earlier = _record_of(original).stand_in
    # a copy of `original` may share its record
    if earlier and _record_of(earlier).original is original and _is_for(earlier, sandbox):
        return earlier
    made = _stand_in(original)
    record = _record_of(made)
    record.sandbox, record.original = sandbox, original
    record.is_made_at_import, _record_of(original).stand_in = is_import_running(), made
    return made


def original_of(destination: AnyDestination) -> AnyDestination:
    """Return the object that code made."""
    return _record_of(destination).original or destination


def sandbox_of(destination: AnyDestination, otherwise: Sandbox) -> Sandbox:
    """Return the sandbox that `destination`, which stands for another, was made in."""
    return _record_of(destination).sandbox or otherwise


def change_of(destination: AnyDestination) -> str | None:
    """Return what the report says of a destination that stands for another, or None."""
    return _record_of(destination).change


def is_replaced(destination: AnyDestination) -> bool:
    """Tell whether `destination` stands for one of another type."""
    return declared_type(destination) != short_type(destination)


def declared_type(destination: AnyDestination) -> str:
    """Return the type of what `destination` stands for; empty when it cannot be told."""
    declared = _record_of(destination).declared_type
    return short_type(destination) if declared is None else declared


def is_recording(destination: AnyDestination) -> bool:
    """Tell whether `destination` records what it is given."""
    return _record_of(destination).sent is not None


def sent_to(destination: AnyDestination) -> dict[str, list[Any]]:
    """Return the items that a recording destination was given, by table."""
    return dict(_record_of(destination).sent or {})


def _record_of(destination: AnyDestination) -> _Record:
    record: _Record = vars(destination).setdefault(_RECORD, _Record())
    return record


def _is_for(destination: AnyDestination, sandbox: Sandbox) -> bool:
    made_in = _record_of(destination).sandbox
    if made_in is None or made_in.folder != sandbox.folder:
        return False
    return not _is_earlier(made_in, sandbox)


def _is_earlier(made_in: Sandbox, sandbox: Sandbox) -> bool:
    """Tell whether `made_in` is `sandbox` before its destinations were moved."""
    return made_in.folder == sandbox.folder and made_in.destinations != sandbox.destinations


def _stand_in(original: AnyDestination) -> AnyDestination:
    name = original.destination_name
    temporary = temporary_destinations()
    decision = temporary.decide(name, original) if temporary else Decision(short_type(original))
    if decision.is_recorded:
        return _recording(original)
    settings = decision.settings
    if temporary is None or not settings:
        return _own_copy(original)
    if settings[TYPE] == short_type(original):
        made = _own_copy(original)
    else:
        factory = DestinationReference.find(settings[TYPE])
        made = factory(destination_name=name, **_naming_of(original))
    # bound now, and not when it is used: a fixture of wider scope reads in many sandboxes
    arguments = {key: value for key, value in settings.items() if key != TYPE}
    made.config_params = {**made.config_params, **arguments}
    # names are shortened as in production
    limits = normalization.limits_of_names(decision.declared_type, original)
    made.caps_params = {**limits, **made.caps_params}
    bucket = temporary.declared_bucket(name) if decision.declared_type == "filesystem" else ""
    record = _record_of(made)
    record.declared_type = decision.declared_type
    record.change = _change(name, decision.declared_type, bucket, made)
    return made


def temporary_destinations() -> TemporaryDestinations | None:
    """Return the provider of the active run context; None where that is of no sandbox."""
    found = (p for p in dlt_destinations.providers() if isinstance(p, TemporaryDestinations))
    return next(found, None)


def _change(name: str, declared_type: str, bucket: str, made: AnyDestination) -> str:
    """Say what became of a destination, as `lake (filesystem s3://bucket) -> <path>`."""
    # without a declaration, the name says it all
    before = [declared_type] if declared_type not in ("", name) else []
    if bucket:
        before = [declared_type, public_url(bucket)]
    after = short_type(made)
    if after == "duckdb":
        place = made.config_params.get("credentials")
        if isinstance(place, str):
            after = f"DuckDB {public_url(place)}"
    elif after == "filesystem":
        place = public_url(str(made.config_params.get("bucket_url") or ""))
        after = place if declared_type == after else f"{after} {place}"
    return f"{name} ({' '.join(before)}) -> {after}" if before else f"{name} -> {after}"


def _own_copy(original: AnyDestination) -> AnyDestination:
    made = copy.copy(original)
    vars(made)[_RECORD] = _Record()
    made.config_params = dict(original.config_params)
    return made


def _naming_of(original: AnyDestination) -> dict[str, Any]:
    naming = original.caps_params.get("naming_convention")
    return {"naming_convention": naming} if naming else {}


def _recording(original: AnyDestination) -> AnyDestination:
    """Return a custom destination like `original` whose function records and sends nothing."""
    sent: dict[str, list[Any]] = defaultdict(list)

    def record(items: Any, table: Any) -> None:
        rows = items if isinstance(items, list) else [items]
        sent[table["name"]].extend(rows)

    kept = ("batch_size", "loader_file_format", "skip_dlt_columns_and_tables", "max_table_nesting")
    arguments = {key: original.config_params[key] for key in kept if key in original.config_params}
    name = original.destination_name
    made = dlt.destinations.destination(
        record, destination_name=name, **arguments, **_naming_of(original)
    )
    known = _record_of(made)
    known.sent, known.change = sent, f"{name} (custom function) -> recorder"
    return made
