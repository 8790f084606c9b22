"""Errors of red lines.

NodeError
├── RedLineUnusable  40086  a text that can be no red line
├── RedLineUnknown   40486
└── TooManyRedLines  40986
"""

from node.errors import NodeError


class RedLineUnusable(NodeError):
    code = 40086
    hint = "Write a phrase of one to twelve words, a /regular expression/, or with --meaning one whole sentence."


class RedLineUnknown(NodeError):
    code = 40486
    hint = "See the red lines, with their ids, with `pagi redlines list`."


class TooManyRedLines(NodeError):
    code = 40986
    hint = "Remove one that you no longer need first: `pagi redlines list`."
