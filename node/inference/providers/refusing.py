"""What a provider says instead of an answer, as an error of ours that is fit to be shown and logged.

Pure. No error repeats the key, nor words of the prompt.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from node.inference.errors import BadInferenceRequest, GoalTooLong, InferenceError
from node.inference.providers.errors import ProviderFailed, ProviderLimited, ProviderRefused
from protocols.errors import RemoteProtocolError
from protocols.jsonguard import parse_json
from protocols.limits import MAX_PROVIDER_DEPTH, MAX_PROVIDER_ERROR_BYTES

MAX_RETRY_AFTER_S: Final = 3600.0
"""What a provider may ask for; the breaker has a bound of its own."""

_REASON_CHARS: Final = 200
_ECHO_CHARS: Final = 24
"""So many characters of the prompt in a row are no chance."""
_SHORTEST_CHARS: Final = 4
"""A shorter text of the prompt, such as `hi`, stands in any message by chance."""

_UNSUPPORTED: Final = re.compile(
    r"(?:not|isn't|un)[ -]?(?:supported|recognized|permitted|known)|deprecated|cannot both be", re.IGNORECASE
)
"""How providers say that they do not take a parameter."""

_SECRET: Final = re.compile(r"\b(?:(?:sk|pk|key)[-_]|Bearer )[\w.*-]{4,}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a provider says instead of an answer. `param` is the member of the request that it names, if it does."""

    message: str
    kind: str = ""
    param: str = ""


def error_of(status: int, kind: str, message: str, retry_after_s: float | None = None) -> InferenceError:
    """The error of a status, or of an error in the middle of a stream, which has the status that it would have had."""
    if kind in ("insufficient_quota", "billing_error"):
        return ProviderRefused(message)
    if kind in ("context_length_exceeded", "request_too_large") or status == 413:
        return GoalTooLong(message)
    if status == 429:
        return ProviderLimited(message, retry_after_s)
    if status in (400, 422):
        too_long = re.search(r"context (?:length|window)|prompt is too long|too many tokens", message)
        return (GoalTooLong if too_long else BadInferenceRequest)(message)
    if status in (408, 409, 425) or status >= 500:
        return ProviderFailed(message)
    return ProviderRefused(message)


def unsupported_in(refusal: Refusal, optional: Collection[str], sent: Collection[str]) -> str | None:
    """The parameter that a refusal says the model does not take, among those that can be left out and were sent."""
    if not (refusal.kind.startswith("unsupported_") or _UNSUPPORTED.search(refusal.message)):
        return None
    words = set(re.findall(r"\w+", refusal.message))
    return next((name for name in optional if name in sent and (name == refusal.param or name in words)), None)


def fit_to_show(refusal: Refusal, *, key: str | None, prompt: Collection[str]) -> str:
    """What the provider said, as `: ` and one short line; its kind alone where it repeats one of the texts of the
    prompt; or nothing."""
    whole = " ".join(refusal.message.split())
    if key:
        whole = whole.replace(key, "[key]")
    whole = _SECRET.sub("[key]", whole)
    text = whole[:_REASON_CHARS]  # not before: a part of a key would not be known as one
    ours = [" ".join(said.split()) for said in prompt]
    parts = {text[at : at + _ECHO_CHARS] for at in range(len(text) - _ECHO_CHARS + 1)}
    echoed = any(part in said for said in ours for part in parts)
    echoed = echoed or any(said in whole for said in ours if len(said) >= _SHORTEST_CHARS)
    if echoed or not text.isprintable():
        text = refusal.kind if re.fullmatch(r"[\w.-]{1,64}", refusal.kind) and refusal.kind != key else ""
    return f": {text}" if text else ""


def refusal_in(document: object) -> Refusal:
    """What `{"error": {...}}` says; both wire formats have it."""
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, str):
        return Refusal(error)
    if not isinstance(error, dict):
        return Refusal("")
    texts = [error.get(name) for name in ("message", "code", "type", "param")]
    message, code, kind, param = (text if isinstance(text, str) else "" for text in texts)
    return Refusal(message, code or kind, param)


def read_refusal(data: bytes) -> Refusal:
    """What the body of an error says; nothing where it is not in the wire format."""
    try:
        return refusal_in(parse_json(data, max_bytes=MAX_PROVIDER_ERROR_BYTES, max_depth=MAX_PROVIDER_DEPTH))
    except RemoteProtocolError:
        return Refusal("")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds (RFC 9110, section 10.2.3); a date is taken as not said."""
    try:
        seconds = float(headers.get("Retry-After", ""))
    except ValueError:
        return None
    return min(seconds, MAX_RETRY_AFTER_S) if seconds >= 0 else None
