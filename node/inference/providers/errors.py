"""Errors of providers.

InferenceError (node.inference.errors)
├── GatewayError
│   ├── ProviderFailed   50228  it broke off, gave an error of its own, or answered what is no answer
│   ├── ProviderSilent   50428  no first piece or no further piece in time
│   ├── ProviderRefused  50328  it does not take our key, or does not know the model
│   ├── ProviderLimited  42929  it limits us; carries how long it wants to be left alone
│   ├── AnswerCutOff     50229  it failed after a part of its answer had been given on
│   └── KeyUnreadable    50329  its key was sealed for another twin, or is damaged
├── ProviderUnknown      40428
├── ProviderExists       40928
└── ProviderInvalid      40028  settings that cannot be used
"""

from typing import Final

from node.inference.errors import GatewayError, InferenceError


class ProviderFailed(GatewayError):
    """The provider did not give a whole answer."""

    code = 50228
    hint = "Try again; if it stays, `pagi provider test NAME` shows what it answers."


class ProviderSilent(GatewayError):
    """The provider did not answer in time."""

    code = 50428
    hint = "Check that it runs and can be reached; `first_piece_s` and `stall_s` in [inference] say how long we wait."


class ProviderRefused(GatewayError):
    """The provider does not take our key, or does not know the model."""

    code = 50328
    hint = "Correct its key or model with `pagi provider change NAME`."


class ProviderLimited(GatewayError):
    """The provider limits how much it is asked. `retry_after_s` is how long it wants to be left alone, if it says."""

    code = 42929
    hint = "Wait and try again; a further provider takes over meanwhile."

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s: Final = retry_after_s


class AnswerCutOff(GatewayError):
    """The provider failed in the middle of its answer. Nobody else was asked: a part had been shown already."""

    code = 50229
    hint = "Ask again: the part that came is not the whole answer."


class KeyUnreadable(GatewayError):
    """The provider's key cannot be opened with this twin's keys."""

    code = 50329
    hint = "Give it anew with `pagi provider change NAME --key-file FILE`."


class ProviderUnknown(InferenceError):
    code = 40428
    hint = "`pagi provider list` shows those that there are."


class ProviderExists(InferenceError):
    code = 40928
    hint = "Choose another name, or change the one that there is with `pagi provider change NAME`."


class ProviderInvalid(InferenceError):
    code = 40028
    hint = "`pagi provider add --help` says what it takes."
