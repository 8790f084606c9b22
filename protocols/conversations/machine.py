"""A role's state table: which event leads from which state to which. It is data, and the page's diagram is drawn of it.

An event is `send NAME` or `receive NAME`, where NAME is the last part of a message's type, with a remark in brackets
where the message's content decides; or a few words for what happens without a message, such as `deadline passed`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from protocols.errors import UnexpectedMessage
from protocols.message import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The states of one role in the protocol `uri`. A final state has no way out; a role that serves for ever has none.

    States are plain text, so that a caller can keep one on disk.
    """

    name: str
    role: str
    uri: str
    start: str
    final: frozenset[str] = frozenset()
    transitions: Mapping[tuple[str, str], str]

    def after(self, state: str, event: str) -> str:
        """The state that `event` leads to. Raises UnexpectedMessage if nothing leads on from `state` by it."""
        try:
            return self.transitions[state, event]
        except KeyError:
            raise UnexpectedMessage(f"{self.name}: the {self.role} is {state!r}, and `{event}` is not due") from None

    def received(self, state: str, message: Message, remark: str = "") -> str:
        """The state after `message` came, or a problem report about it. Raises UnexpectedMessage."""
        base, _, name = message.type.rpartition("/")
        if base != self.uri and name != "problem-report":
            raise UnexpectedMessage(f"{self.name}: the {self.role} is not meant by a message of another protocol")
        return self.after(state, f"receive {name}{remark and f' ({remark})'}")

    def sent(self, state: str, message_type: str) -> str:
        """The state after sending a message of this type. Raises UnexpectedMessage if it was not our turn."""
        return self.after(state, f"send {message_type.rpartition('/')[2]}")

    @property
    def states(self) -> tuple[str, ...]:
        """Every state in the order in which the table first names it."""
        named = [self.start]
        for (state, _), following in self.transitions.items():
            named += (state, following)
        return tuple(dict.fromkeys(named))

    def mermaid(self) -> str:
        """The table as a Mermaid state diagram."""
        key = {state: state.replace(" ", "_").replace("-", "_") for state in self.states}
        lines = ["stateDiagram-v2"]
        lines += [f"    {key[state]} : {state}" for state in self.states if key[state] != state]
        lines += [f"    [*] --> {key[self.start]}"]
        lines += [f"    {key[state]} --> {key[then]} : {event}" for (state, event), then in self.transitions.items()]
        lines += [f"    {key[state]} --> [*]" for state in self.states if state in self.final]
        return "\n".join(lines) + "\n"


def one_way(name: str, uri: str, message: str) -> tuple[Table, Table]:
    """The tables of sender and receiver where one message is all there is."""
    done = frozenset({"done"})
    sender, receiver = {("idle", f"send {message}"): "done"}, {("idle", f"receive {message}"): "done"}
    return (
        Table(name=name, role="sender", uri=uri, start="idle", final=done, transitions=sender),
        Table(name=name, role="receiver", uri=uri, start="idle", final=done, transitions=receiver),
    )
