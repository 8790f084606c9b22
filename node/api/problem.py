"""Errors as `application/problem+json` (RFC 9457), with our `code`, `hint` and `trace_id`."""

import inspect
import re
from typing import Final

from aiohttp import web
from pydantic import Field, ValidationError

from identity.errors import PagiError
from node.api.errors import BodyTooLarge, HttpRefused, InvalidRequest, NoSuchRoute, Unauthorized, WrongMethod
from node.api.wire import Wire
from node.content.errors import BackendUnavailable
from node.errors import GitUnreachable
from node.inference.errors import (
    EngineMissing,
    GatewayError,
    GoalTooLong,
    InferenceUnavailable,
    ModelDamaged,
    ModelMissing,
    ModelTooLarge,
    ModelUnloadable,
)
from node.mind.errors import WorkStopped
from node.net.errors import NetError
from storage.errors import StorageFull

MEDIA_TYPE: Final = "application/problem+json"
_TYPE_BASE: Final = "https://pagi.ai/problems/"
_IN_WORDS: Final = {
    "model_type": "should be a JSON object",
    "string_pattern_mismatch": "does not have the form of such a value",
}
"""What pydantic says in terms of Python and of regular expressions."""

_REMOTE_STATUSES: Final = frozenset({502, 504})

_TOLD: Final = (
    *(NetError, BackendUnavailable, GitUnreachable, StorageFull),
    *(GatewayError, InferenceUnavailable, WorkStopped),
    *(ModelMissing, ModelDamaged, ModelUnloadable, ModelTooLarge, EngineMissing),
)
"""What is the owner's to mend: a room that is full, what this twin talks to and does not answer, no model that may be
asked or one that is none, stopped work."""

_OPENAI_PATHS: Final = ("/v1/chat/completions", "/v1/embeddings", "/v1/models")
_OPENAI_TYPES: Final = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


class OpenAiError(Wire):
    """The same as OpenAI's interface has it."""

    message: str
    type: str
    param: None = None
    code: str


class Problem(Wire):
    """What went wrong, and what to do next. `code` is stable; its first three digits are the status. `error` stands
    beside it where OpenAI's clients look for that."""

    type: str
    title: str
    status: int
    detail: str
    code: int
    hint: str
    trace_id: str
    error: OpenAiError | None = Field(default=None, exclude_if=lambda value: value is None)


def problem_of(error: PagiError, trace_id: str) -> Problem:
    """The error as a document. The detail of a fault of this machine stays in the log: it may name files."""
    status = error.code // 100
    own_fault = status >= 500 and status not in _REMOTE_STATUSES and not isinstance(error, _TOLD)
    summary = (inspect.getdoc(type(error)) or "").partition("\n")[0]
    return Problem(
        type=f"{_TYPE_BASE}{error.code}",
        title=title_of(type(error)),
        status=status,
        detail=summary if own_fault else str(error) or summary,
        code=error.code,
        hint=error.hint,
        trace_id=trace_id,
    )


def title_of(kind: type[PagiError]) -> str:
    """A class name as words: `NoSuchRoute` is "No such route"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).capitalize()


def response_of(problem: Problem, headers: dict[str, str] | None = None, *, path: str = "") -> web.Response:
    """The document as an answer to a request for `path`."""
    if path.startswith(_OPENAI_PATHS):
        problem = problem.model_copy(update={"error": openai_error(problem)})
    response = web.Response(
        status=problem.status, body=problem.model_dump_json().encode(), content_type=MEDIA_TYPE, headers=headers
    )
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="pagi"'
    return response


def openai_error(problem: Problem) -> OpenAiError:
    """The error as OpenAI's interface has it."""
    usual = "invalid_request_error" if problem.status < 500 else "server_error"
    return OpenAiError(
        message=f"{problem.detail.removesuffix('.')}. {problem.hint}",
        type=_OPENAI_TYPES.get(problem.status, usual),
        code="context_length_exceeded" if problem.code == GoalTooLong.code else str(problem.code),
    )


def from_http(error: web.HTTPException) -> PagiError:
    """What the HTTP library refused, as an error of ours."""
    match error.status:
        case 401:
            return Unauthorized(error.reason)
        case 404:
            return NoSuchRoute("nothing is served at this path")
        case 405:
            return WrongMethod("this path does not take this method")
        case 413:
            return BodyTooLarge("the request body is over its bound")
        case _:
            return HttpRefused(error.reason)


def from_validation(error: ValidationError, where: str) -> InvalidRequest:
    """The first fault of a document as one line that points at its member, such as `body: /ops/0/text: …`."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    pointer = "".join(f"/{part}" for part in first["loc"])
    text = _IN_WORDS.get(first["type"], first["msg"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return InvalidRequest(f"{where}: {pointer or '/'}: {text}{more}")
