"""Errors of the HTTP interface itself. What the rooms raise is shown as it is.

PagiError
└── ApiError
    ├── InvalidRequest   40010  the body, the query or the path does not fit the route
    ├── Unauthorized     40180  no token, or not ours
    ├── ForbiddenHost    40380  a Host header that is not this machine (DNS rebinding)
    ├── NoSuchRoute      40480
    ├── NoSuchItem       40481  a job, memory, … with that id does not exist
    ├── ModelUnknown     40429  no model has the name that a request gives
    ├── WrongMethod      40580
    ├── BodyTooLarge     41380
    ├── HttpRefused      40080  anything else that the HTTP library refuses
    ├── CannotServe      50081  the address cannot be listened on
    └── Unexpected       50082  a defect of ours; the log has it
"""

from identity.errors import PagiError


class ApiError(PagiError):
    """The request cannot be answered."""

    code = 40080
    hint = "Look at GET /v1/openapi.json for what this interface takes."


class InvalidRequest(ApiError):
    """The request does not fit the route."""

    code = 40010
    hint = "Correct the field that the detail names; GET /v1/openapi.json has the schema."


class Unauthorized(ApiError):
    """The request has no valid token."""

    code = 40180
    hint = "Send 'Authorization: Bearer <token>' with the text of the file api-token in the twin's home."


class ForbiddenHost(ApiError):
    """The request was made to a name that is not this machine's."""

    code = 40380
    hint = "Use http://127.0.0.1 or http://localhost with the twin's port."


class NoSuchRoute(ApiError):
    """Nothing is served at this path."""

    code = 40480
    hint = "GET /v1/openapi.json lists every route."


class NoSuchItem(ApiError):
    """The path is right, but nothing has this id."""

    code = 40481
    hint = "List the items first; it may be gone."


class ModelUnknown(ApiError):
    """No model has the name that the request gives."""

    code = 40429
    hint = "GET /v1/models lists them; 'twin' and 'default' are always there."


class WrongMethod(ApiError):
    """The path is right, but not with this method."""

    code = 40580
    hint = "The Allow header names the methods that this path takes."


class BodyTooLarge(ApiError):
    """The request body is over its bound."""

    code = 41380
    hint = "Send less at once; large content belongs into POST /v1/ipfs/add."


class HttpRefused(ApiError):
    """The HTTP library refused the request."""


class CannotServe(ApiError):
    """The HTTP interface cannot listen on its address."""

    code = 50081
    hint = "Name an address of this machine, such as --api 127.0.0.1:8888."


class Unexpected(ApiError):
    """Something failed that should not have; the log has it under the trace id."""

    code = 50082
    hint = "Look at the log for the trace id, and report it with what you did."
