"""Errors of meta-learning.

NodeError
├── ActionUnknown    40478
├── ActionSettled    40978  an action that is over already
├── ActionFinal      40979  an action that cannot be taken back
├── NothingToExport  40479
├── LearningOff      40378
└── CasePostponed    50378
"""

from node.errors import NodeError


class ActionUnknown(NodeError):
    code = 40478
    hint = "See what was done and proposed, with ids, with `pagi learning list`."


class ActionSettled(NodeError):
    code = 40978
    hint = "See how it stands with `pagi learning show ID`."


class ActionFinal(NodeError):
    code = 40979
    hint = "What it changed has been changed again since: see `pagi learning show ID`, and change it yourself."


class NothingToExport(NodeError):
    code = 40479
    hint = "Rate some answers first: `pagi rate ID good`, or `bad --right ANSWER`."


class LearningOff(NodeError):
    code = 40378
    hint = 'Set `meta_learning` under [mind] in config.toml to "propose" or "on", and start the twin again.'


class CasePostponed(NodeError):
    """What a case needs is not there now; it is tried again later."""

    code = 50378
    hint = "It is tried again by itself: `pagi doctor` says what is missing."
