"""Errors of the inference room.

PagiError
└── InferenceError
    ├── GoalTooLong             41302  the prompt does not fit into the model's context
    ├── RemoteInferenceError
    │   └── BadInferenceRequest 40030  a schema, stop list or limit that cannot be used
    └── LocalInferenceError
        ├── InferenceUnavailable 50301 no model runs here, or it has just been closed
        ├── InferenceFailed     50031  the model library gave an error instead of an answer
        ├── ModelMissing        50302  the model's file is not here and cannot be fetched
        ├── ModelDamaged        50032  the fetched file is not the one that was promised
        └── ModelUnloadable     50033  the file is here but the library cannot load it
"""

from identity.errors import PagiError


class InferenceError(PagiError):
    """The model did not answer."""

    code = 50030
    hint = "Try again; `pagi doctor` shows whether the model is loaded."


class GoalTooLong(InferenceError):
    code = 41302
    hint = "Shorten the goal, or start the twin with a larger context."


class RemoteInferenceError(InferenceError):
    """What the caller asked for cannot be done."""

    code = 40031
    hint = "Correct the request."


class BadInferenceRequest(RemoteInferenceError):
    code = 40030
    hint = "Check the JSON Schema, the stop list and the limits of the request."


class LocalInferenceError(InferenceError):
    """This twin's own model cannot be used."""


class InferenceUnavailable(LocalInferenceError):
    code = 50301
    hint = "Start the twin with `--model bundled` or `--model PATH`. Without a model it answers from memory, degraded."


class InferenceFailed(LocalInferenceError):
    code = 50031
    hint = "Try again; if it stays, start the twin with another model or with `--model none`."


class ModelMissing(LocalInferenceError):
    code = 50302
    hint = "Connect to the network once, name a GGUF file with `--model PATH`, or go without with `--model none`."


class ModelDamaged(LocalInferenceError):
    code = 50032
    hint = "Try again; if it stays, name a GGUF file with `--model PATH`, or go without with `--model none`."


class ModelUnloadable(LocalInferenceError):
    code = 50033
    hint = (
        "Name a GGUF file that this version of llama.cpp can read with `--model PATH`, or go without: `--model none`."
    )
