"""Errors of judging.

NodeError
├── CheckUnusable     40087  a goal or an expectation that can be no check
├── CheckUnknown      40487
├── TooManyChecks     40987
├── NoModelToTry      50387  checks were to be run and there is no model
├── NotDuplicates     40488  two bullets that are not shown as one
├── AuthorBlocked     40989  a revision that is rejected for as long as its author is blocked
└── RedLineCrossed    40388  a revision of our own that crosses a red line
"""

from node.errors import NodeError


class CheckUnusable(NodeError):
    code = 40087
    hint = "Give a goal in words and what its answer must hold: a text, a number, or a /regular expression/."


class CheckUnknown(NodeError):
    code = 40487
    hint = "See the checks, with their ids, with `pagi check list`."


class TooManyChecks(NodeError):
    code = 40987
    hint = "Remove one that you no longer need first: `pagi check list`."


class NoModelToTry(NodeError):
    """There is no model that could answer the checks."""

    code = 50387
    hint = "Checks are answered by the local model: `pagi doctor` says why there is none."


class NotDuplicates(NodeError):
    code = 40488
    hint = "See which bullets are shown as one with `pagi playbook duplicates`."


class AuthorBlocked(NodeError):
    code = 40989
    hint = "Block its author no longer first: `pagi trust remove DID` or `pagi trust allow DID`."


class RedLineCrossed(NodeError):
    code = 40388
    hint = "Reword it, or see `pagi redlines list`; what is only like a red line can be proposed with --anyway."
