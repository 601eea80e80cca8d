"""What a secret is, and how it is masked: by its name, by its shape, in URLs, by its value.

Whatever shows, tells or stores values asks this room. It knows no dlt: callers hand in what dlt
has looked up.
"""

from __future__ import annotations

from dlthub_project.secrets.known import KNOWN, LONG, KnownSecrets
from dlthub_project.secrets.masking import (
    MASK,
    PUBLIC_FIELDS,
    holds_token,
    is_secret_name,
    is_variable,
    looks_secret,
    masked_text,
    may_name_secret,
    names_secret_variable,
    public_url,
    uses_variable,
    without_parts,
)
from dlthub_project.secrets.redactor import Redactor, hidden_in_errors, hide_in_error, shown

__all__ = [
    "KNOWN",
    "LONG",
    "MASK",
    "PUBLIC_FIELDS",
    "KnownSecrets",
    "Redactor",
    "hidden_in_errors",
    "hide_in_error",
    "holds_token",
    "is_secret_name",
    "is_variable",
    "looks_secret",
    "masked_text",
    "may_name_secret",
    "names_secret_variable",
    "public_url",
    "shown",
    "uses_variable",
    "without_parts",
]
