"""Errors of the running twin. The sub-rooms have trees of their own, from the same root.

NodeError (identity.errors.PagiError)
├── ConfigInvalid        40050
├── PortInUse            50350
├── OwnDid               40051  a message to this twin itself
│   └── OwnInvitation
├── NotNamed             40350  the owner has not named the twin that this concerns
├── RevisionUnknown      40451
├── RevisionRefused      40951  a playbook change that does not fit
├── PlaybookFileRefused  40055  a file that is no playbook, or cannot become one
├── OtherPlaybook        40956  a file that names another playbook than the owner
├── GitNotConfigured     40954
├── GitUnreachable       50354
├── GitRefused           50255  the repository did not take what was pushed, or holds what is not taken
├── ContentUnavailable   40452
├── ContentTooLarge      41350
├── MessageTimeout       50450
├── NoAnswer             50246  it answered, but not what was asked
├── NotNow               50346  a message that may be taken when it comes again
├── InvitationUnknown    40446
├── InvitationUnreadable 40046  what was to be accepted is no invitation
├── InvitationOver       41046  an invitation of somebody else that is past its end
├── TaskUnknown          40457
├── TaskUnrateable       40957  a task that is not ours, or that has no result yet
├── JobUnknown           40453
├── JobNotRated          40997  a job that no playbook helped with
└── TooManyPlaybooks     40998
"""

from typing import TypeVar

from identity.errors import PagiError

E = TypeVar("E", bound=Exception)


class NodeError(PagiError):
    """Something in the running twin."""


class ConfigInvalid(NodeError):
    code = 40050
    hint = "Correct the named setting in config.toml, or remove it to have the default."


class PortInUse(NodeError):
    code = 50350
    hint = "Stop the program that holds the port, or choose another with --api HOST:PORT (port 0 picks a free one)."


class OwnDid(NodeError):
    code = 40051
    hint = "Name another twin's DID: `pagi twins` lists those that are known here."


class OwnInvitation(OwnDid):
    hint = "Give the link to another person: `pagi accept` is for their twin."


class NotNamed(NodeError):
    code = 40350
    hint = "Put the twin's DID on the allow-list with `pagi trust allow DID`."


class RevisionUnknown(NodeError):
    code = 40451
    hint = "See the revisions that are known here with `pagi playbook log`."


class RevisionRefused(NodeError):
    code = 40951
    hint = "See the playbook with `pagi playbook show` and change what the message names."


class PlaybookFileRefused(NodeError):
    code = 40055
    hint = "Correct what the message names in the file; nothing was changed here."


class OtherPlaybook(NodeError):
    code = 40956
    hint = "Leave --name out to take it into the playbook that it names, or remove that line from the file."


class GitNotConfigured(NodeError):
    code = 40954
    hint = "Name the repository in config.toml, [hive.git] url, and the playbook that it is for; then restart the twin."


class GitUnreachable(NodeError):
    code = 50354
    hint = "Check the address, the network and your rights there. The twin tries again by itself; nothing is lost."


class GitRefused(NodeError):
    code = 50255
    hint = "Look at what the message names in the repository, correct it there, and try again."


class ContentUnavailable(NodeError):
    code = 40452
    hint = "Nobody who is connected has it. Connect to a twin that has, then try again."


class ContentTooLarge(NodeError):
    code = 41350
    hint = "Read it with an IPFS client, which need not hold it whole."


class MessageTimeout(NodeError):
    code = 50450
    hint = "The message stays queued and is delivered once the twin can be reached: see `pagi outbox`."


class NoAnswer(NodeError):
    code = 50246
    hint = "The other side does not do this, or not for you: `pagi discover DID` shows what it can do."


class NotNow(NodeError):
    code = 50346
    hint = "Nothing was changed; the sender offers it again later."


class InvitationUnknown(NodeError):
    code = 40446
    hint = "See your invitations with GET /v1/didcomm/invitations."


class InvitationUnreadable(NodeError):
    code = 40046
    hint = "Copy the whole link, which is long and may have been cut, or ask for a new one."


class InvitationOver(NodeError):
    code = 41046
    hint = "Ask whoever invited you for a new invitation."


class TaskUnknown(NodeError):
    code = 40457
    hint = "See the tasks that are known here with `pagi task list`."


class TaskUnrateable(NodeError):
    code = 40957
    hint = "Wait for the task's result: `pagi task show ID`."


class JobUnknown(NodeError):
    code = 40453
    hint = "See the jobs with `pagi jobs`."


def first_of(kind: type[E], group: BaseExceptionGroup[BaseException]) -> E | None:
    """The first error of a kind in a group, at any depth."""
    for error in group.exceptions:
        if isinstance(error, kind):
            return error
        if isinstance(error, BaseExceptionGroup) and (inner := first_of(kind, error)):
            return inner
    return None


class JobNotRated(NodeError):
    code = 40997
    hint = "See what a job was given with `pagi jobs ID`; only jobs that a playbook helped with can be rated."


class TooManyPlaybooks(NodeError):
    code = 40998
    hint = "Keep what belongs together in one playbook: `pagi playbook list` shows those that are kept here."
