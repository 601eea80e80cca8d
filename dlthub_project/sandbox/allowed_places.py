"""Checks that a destination is at the place that is allowed: where tests have configured it."""

from __future__ import annotations

from typing import Any

from dlt.common.destination import Destination

from dlthub_project.dlt_internals import contexts, destinations, remote_places
from dlthub_project.sandbox import at_import, placed_variables, replacements
from dlthub_project.sandbox.destinations import AnyDestination, original_of, short_type
from dlthub_project.sandbox.settings import Sandbox

# settings that a pipeline adds to a destination, and settings that do not change the place
_LEADS_NOWHERE = {
    "destination_name",
    "environment",
    "legacy_db_path",
    "local_dir",
    "pipeline_name",
    "pipeline_working_dir",
}

# the place in the test profile, by the folder of the sandbox and the name of the destination:
# noted when another profile is entered
_of_test_profile: dict[tuple[str, str], str] = {}


def is_among_them(
    destination: AnyDestination, config: Any, sandbox: Sandbox, *, is_given: bool
) -> bool:
    """Tell whether a destination is where tests have configured it.

    Args:
        destination: A remote one.
        config: Its configuration, as dlt has resolved it.
        sandbox: In which it is allowed.
        is_given: Code gave credentials to the client itself.
    """
    here = remote_places.remote_place(config)
    if any(remote_places.leads_into(here, place) for place in sandbox.allowed if "://" in place):
        return True
    name, destination_type = destination.destination_name, short_type(destination)
    if name in sandbox.owned:
        # a database that was made for the test, on a server whose place is allowed
        return True
    by_type = sandbox.every_type == destination_type and destination_type in sandbox.allowed
    if name not in sandbox.allowed and not by_type:
        return False
    if destinations.is_custom_destination(destination):
        # nobody knows where a function sends its items: whoever allows it trusts it
        return True
    given = {*original_of(destination).config_params} - _LEADS_NOWHERE
    is_of_tests = name in sandbox.destinations or destination_type in sandbox.destinations
    is_of_tests = is_of_tests or bool(replacements.placed_by_plugin(sandbox, name))
    is_elsewhere = is_other_profile(sandbox) and not is_of_tests
    # a place that modules have set is that of production
    is_of_modules = not is_of_tests and (
        at_import.may_place_destinations() or placed_variables.may_place_destinations()
    )
    if not (given or is_given or is_elsewhere or is_of_modules):
        return True
    if is_elsewhere:
        expected = _of_test_profile.get((sandbox.folder, name), "")
    elif is_of_modules:
        with contexts.initial_providers_alone(), placed_variables.without_them():
            expected = _configured(destination, sandbox)
    else:
        expected = _configured(destination, sandbox)
    return bool(expected) and remote_places.leads_into(here, expected)


def is_other_profile(sandbox: Sandbox) -> bool:
    """Tell whether the active run context is on another profile than the tests."""
    if sandbox.profile is None:
        return False
    active = getattr(contexts.active_run_context(), "profile", None)
    return active is not None and active != sandbox.profile


def remember(sandbox: Sandbox) -> None:
    """Note where the test profile has the allowed destinations; another profile is entered next."""
    if sandbox.profile is None or not sandbox.allowed or is_other_profile(sandbox):
        return
    for name in sandbox.allowed:
        if "://" in name:
            continue
        try:
            found = Destination.from_reference(name)
        except Exception:  # a use of it raises the error; an unknown place is blocked
            continue
        if found is not None:
            _of_test_profile[sandbox.folder, name] = _configured(found, sandbox)


def forget(folder: str) -> None:
    """Drop what is remembered of a sandbox that has ended."""
    for key in [key for key in _of_test_profile if key[0] == folder]:
        del _of_test_profile[key]


def _configured(destination: AnyDestination, sandbox: Sandbox) -> str:
    """Return where the configuration of the tests has a destination; empty when it does not say."""
    name, destination_type = destination.destination_name, short_type(destination)
    settings = (
        {} if name in sandbox.destinations else sandbox.destinations.get(destination_type, {})
    )
    arguments = {key: value for key, value in settings.items() if key != "destination_type"}
    fresh = type(destination)(destination_name=name, **arguments)
    try:
        return remote_places.remote_place(fresh.configuration(fresh.spec(), accept_partial=True))
    except Exception:
        # an unknown place is not allowed
        return ""
