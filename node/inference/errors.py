"""Errors of the inference room.

PagiError
└── InferenceError
    ├── GoalTooLong             41302  the prompt does not fit into the model's context
    ├── BudgetExhausted         42928  a limit of the owner's `[budget]` is used up, or nearly
    ├── RemoteInferenceError
    │   └── BadInferenceRequest 40030  a schema, stop list or limit that cannot be used
    ├── GatewayError            what the providers answered; shown to the owner as it is
    │   ├── RateLimited         42901  every provider that may be asked limits us
    │   ├── AllProvidersFailed  50302  each one's reason is in the message
    │   └── (providers/errors.py has those of one provider)
    └── LocalInferenceError
        ├── InferenceUnavailable 50301 no model runs here, or it has just been closed
        ├── InferenceFailed     50031  the model library gave an error instead of an answer
        ├── EmbedderUnavailable 50334  the embedder's library or files are not here, or cannot be loaded
        ├── EmbedderUnknown     40034  text that names no embedder
        ├── BadEmbedding        50034  the embedder gave something that is no vector of its kind
        ├── ModelMissing        50317  the model's file is not here and cannot be fetched
        ├── ModelDamaged        50032  the fetched file is not the one that was promised
        ├── ModelUnloadable     50033  the file is here but the library cannot load it
        │   └── NotAModel       42217  a file that is no GGUF model, or a damaged one
        ├── EngineMissing       50017  the library of the chosen engine is not installed
        ├── ModelUnknown        40417  no model of this name was added
        ├── ModelInUse          40917  the model answers now or is being loaded, so it is not removed
        ├── ModelBusy           42317  the model is being fetched now, so it is not removed
        ├── ModelNameTaken      40918  another model has this name
        ├── ModelNotNamed       40017  text that names no model, or several
        ├── ModelTooLarge       50717  the disk has no room for it
        ├── HubUnreachable      50217  the hub does not answer, or stopped while it sent
        └── HubRefused          40418  the hub has no such model, or does not give it to us
"""

from identity.errors import PagiError


class InferenceError(PagiError):
    """The model did not answer."""

    code = 50030
    hint = "Try again; `pagi doctor` shows whether the model is loaded."


class GoalTooLong(InferenceError):
    code = 41302
    hint = "Shorten the goal, or start the twin with a larger context."


class BudgetExhausted(InferenceError):
    """A limit of tokens, time or money that the owner set is used up, or nearly."""

    code = 42928
    hint = "`pagi budget` shows what was used; raise the limit in [budget] of config.toml, or wait for the next day."


class GatewayError(InferenceError):
    """A provider that the owner named did not answer as it should.

    `begun`: a part of an answer had come from it, for which it may want money.
    """

    begun: bool = False


class RateLimited(GatewayError):
    """The providers answer no more requests for a while."""

    code = 42901
    hint = "Wait and try again; a further provider (`pagi provider add`) or a local model takes over meanwhile."


class AllProvidersFailed(GatewayError):
    """No model answered: not one of the providers, and not the local one."""

    code = 50302
    hint = "`pagi provider list` shows each one's state and `pagi provider test NAME` asks it."


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
    hint = (
        "Start the twin with `--model bundled` or `--model PATH`, or let a provider see what is private:"
        " `pagi provider change NAME --sees private`. Without a model it answers from memory, degraded."
    )


class InferenceFailed(LocalInferenceError):
    code = 50031
    hint = "Try again; if it stays, start the twin with another model or with `--model none`."


class ModelMissing(LocalInferenceError):
    code = 50317
    hint = "Connect to the network once, name a GGUF file with `--model PATH`, or go without with `--model none`."


class ModelDamaged(LocalInferenceError):
    code = 50032
    hint = "Try again, and check the hash; if it stays, take it from elsewhere. Nothing of what came is used."


class ModelUnloadable(LocalInferenceError):
    code = 50033
    hint = "Use another one: `pagi model list` shows what is here; a start with `--model none` goes without."


class NotAModel(ModelUnloadable):
    code = 42217
    hint = "Take a file in the GGUF format, and fetch it again if it came by a broken download."


class EngineMissing(LocalInferenceError):
    code = 50017
    hint = "Install it with `pip install 'pagi-twin[llama-cpp]'`, or set [inference] engine = \"xllamacpp\"."


class ModelUnknown(LocalInferenceError):
    code = 40417
    hint = "`pagi model list` shows the models that are here; `pagi model add` brings another."


class ModelInUse(LocalInferenceError):
    code = 40917
    hint = "Use another one first: `pagi model use NAME`, `pagi model use bundled` or `pagi model use none`."


class ModelBusy(LocalInferenceError):
    code = 42317
    hint = "Stop the command that brings it (Ctrl-C), or wait for its end; then try again."


class ModelNameTaken(LocalInferenceError):
    code = 40918
    hint = "Give it another name with --name, or remove the one that has this name with `pagi model remove`."


class ModelNotNamed(LocalInferenceError):
    code = 40017
    hint = "Name a GGUF file, `bundled`, a hub's OWNER/REPO:FILE, or ipfs:CID."


class ModelTooLarge(LocalInferenceError):
    code = 50717
    hint = "Make room on the disk of the twin's home, then run the same command again: it goes on where it was."


class HubUnreachable(LocalInferenceError):
    code = 50217
    hint = "Run the same command again: it goes on where it was. [inference] hub names the hub."


class HubRefused(LocalInferenceError):
    code = 40418
    hint = "Check OWNER/REPO:FILE. A model with conditions needs a token of yours: [inference] hub_token_file."


class EmbedderUnavailable(LocalInferenceError):
    """The embedder's library is not installed, or its files are not there or cannot be loaded."""

    code = 50334
    hint = "Check `embedder` in [memory] of config.toml; `onnx:` needs `pip install 'pagi-twin[onnx]'`."


class EmbedderUnknown(LocalInferenceError):
    code = 40034
    hint = "Name it as `wordllama`, `wordllama:128` (or 64, 256), `onnx:FOLDER` or `gguf:PATH`."


class BadEmbedding(LocalInferenceError):
    """The embedder gave a vector of another length, with NaN in it, or of zeros for a text with words."""

    code = 50034
    hint = "The embedder or its files are damaged: fetch them again, or set another `embedder` in [memory]."
