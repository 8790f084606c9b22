"""Errors of the mind.

MindError (node.errors.NodeError)
├── JobOver           40939  it has ended, so nothing can be done about it
├── JobUnderWay       42339  it has not ended, or is a part of another, so it cannot be forgotten
├── TooManyJobs       42939  more goals wait than are taken
├── ApprovalUnknown   40439
├── ApprovalOver      40949  it was decided before, or its time is over
├── AnswerMissing     40039  a question of the twin was approved without an answer
├── TooLongToShow     41339  an action that is too long to be put before its owner
├── FormulaRefused    40058  a tool that cannot be built
├── BuiltToolUnknown  40458
├── TooManyBuilt      40958
├── NotApproved       40339  an action without the owner's leave
├── BadMood           40070  a mood or an activation that is none
└── WorkStopped       50339  the owner stopped all work of this twin
"""

from node.errors import NodeError


class MindError(NodeError):
    """The mind cannot do what it was asked."""


class JobOver(MindError):
    code = 40939
    hint = "See what became of it with `pagi jobs ID`, or give the goal again with `pagi ask`."


class JobUnderWay(MindError):
    code = 42339
    hint = "Cancel it with `pagi jobs cancel ID` first; a part goes with the job that it is a part of."


class TooManyJobs(MindError):
    code = 42939
    hint = "Wait until some are done, or cancel some: `pagi jobs` lists them."


class ApprovalUnknown(MindError):
    code = 40439
    hint = "See what waits for you with `pagi approvals`."


class ApprovalOver(MindError):
    code = 40949
    hint = "See what still waits for you with `pagi approvals`; what is over has to be asked for again."


class AnswerMissing(MindError):
    code = 40039
    hint = "Give the answer along: `pagi approvals answer ID TEXT`."


class TooLongToShow(MindError):
    code = 41339
    hint = "Give what is long to the memory, with `pagi memory ingest`, and name it in the goal."


class NotApproved(MindError):
    code = 40339
    hint = "Allow it with `pagi approvals`, once the twin asks for it again."


class WorkStopped(MindError):
    code = 50339
    hint = "Let it work again with `pagi fleet resume`."


class FormulaRefused(MindError):
    code = 40058
    hint = "Name it, name its parameters and use each: build a tool area(width, height) = width * height."


class BuiltToolUnknown(MindError):
    code = 40458
    hint = "See the tools that were built with `pagi tools`: their kind is `built`."


class TooManyBuilt(MindError):
    code = 40958
    hint = "Remove one that is not needed any more: `pagi tools --remove NAME`."


class BadMood(MindError):
    code = 40070
    hint = "Give a word such as happy or stressed, and an activation from 0 to 1: `pagi emotion set happy 0.5`."
