"""Isolated folders, replaced destinations, restored state: what the harness switches on.

It stands in the runtime, because a test's subprocess has dlt and no pytest. One environment
variable switches it on; nothing here imports dlt before dlt itself asks.
"""

from dlthub_project.sandbox.isolation import isolated
from dlthub_project.sandbox.settings import ENVIRONMENT_VARIABLE, Sandbox, active_sandbox

__all__ = ["ENVIRONMENT_VARIABLE", "Sandbox", "active_sandbox", "isolated"]
