"""The types of credentials that are ours: each has a context, and a JSON Schema (2020-12) in this folder."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

import jsonschema_rs
import orjson

from identity.credentials import bounds
from identity.credentials.errors import MalformedCredential, SchemaMismatch

SCHEMA_BASE: Final = "https://pagi.ai/schemas/"

REPUTATION: Final = "PAGIReputationCredential"

OURS: Final[Mapping[str, str]] = {
    REPUTATION: "reputation-v1.json",
    "CapabilityCredential": "capability-v1.json",
    "PAGISuccessionCredential": "succession-v1.json",
    "PAGITaskReceipt": "task-receipt-v1.json",
}
"""Each type of ours and its schema's file."""


def schema_bytes(name: str) -> bytes:
    """A schema's file. Raises KeyError for a name that is none of ours."""
    if name not in OURS.values():
        raise KeyError(name)
    return resources.files(__package__).joinpath(name).read_bytes()


def schema_url(kind: str) -> str | None:
    """The URL of the schema of a type of ours, or None."""
    return SCHEMA_BASE + OURS[kind] if kind in OURS else None


def check_schema(document: Mapping[str, Any], url: str, schema: bytes | None = None) -> None:
    """Check a credential against the schema at `url`, one of ours or given as `schema`.

    Raises SchemaMismatch, MalformedCredential if the schema is none, KeyError if it is neither ours nor given.
    """
    validator = _ours(url.removeprefix(SCHEMA_BASE)) if schema is None else _compiled(schema)
    mistakes = [
        f"{'.'.join(str(part) for part in error.instance_path) or 'credential'}: {error.message[:200]}"
        for error, _ in zip(validator.iter_errors(document), range(bounds.MAX_SCHEMA_MISTAKES), strict=False)
    ]
    if mistakes:
        raise SchemaMismatch("; ".join(mistakes))


def is_ours(url: str) -> bool:
    """Whether a schema's URL names one of this folder."""
    return url.startswith(SCHEMA_BASE) and url.removeprefix(SCHEMA_BASE) in OURS.values()


@cache
def _ours(name: str) -> jsonschema_rs.Validator:
    return _compiled(schema_bytes(name))


def _compiled(schema: bytes) -> jsonschema_rs.Validator:
    """Compile: nothing is fetched, no pattern backtracks, and messages do not quote values."""
    if len(schema) > bounds.MAX_SCHEMA_BYTES:
        raise MalformedCredential(f"a schema of {len(schema)} bytes; {bounds.MAX_SCHEMA_BYTES} are allowed")
    try:
        return jsonschema_rs.validator_for(
            orjson.loads(schema), offline=True, mask="the value", pattern_options=jsonschema_rs.RegexOptions()
        )
    except (ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise MalformedCredential(f"not a usable JSON Schema: {reason}") from error
