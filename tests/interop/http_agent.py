"""The foreign DIDComm agent of didcomm_agent.mjs, as tests talk to it."""

from typing import Any

from identity.did import Did
from protocols.conversations import basicmessage
from tests.node.processes import wait_until


class Agent:
    """The foreign agent: it does what it is told to, or fails the test."""

    def __init__(self, peer: Any) -> None:
        self._peer = peer
        self.did = ""
        self.url = ""

    def be(self, method: str) -> Did:
        """Be somebody new."""
        who = self.do("be", method=method)
        self.did, self.url = who["did"], who["url"]
        return Did(self.did)

    def do(self, op: str, **arguments: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._peer.ask(op, **arguments)
        assert "error" not in answer, answer["error"]
        return answer

    def send(
        self, to: str, kind: str, body: dict[str, Any], *, how: dict[str, Any] | None = None, **headers: Any
    ) -> dict[str, Any]:
        """Send a message with these headers to where the recipient's document says, in the form that `how` says."""
        return self.do("send", to=to, message={"type": kind, "body": body, **headers}, **(how or {}))

    def say(self, to: str, content: str, *, how: dict[str, Any] | None = None, **headers: Any) -> dict[str, Any]:
        return self.send(to, basicmessage.MESSAGE, {"content": content}, how=how, **headers)

    def got(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """The messages of one type, as soon as there are so many; nothing that it got may have been unreadable."""

        def enough() -> list[dict[str, Any]] | None:
            entries = self.do("received")["messages"]
            assert [entry["error"] for entry in entries if "error" in entry] == []
            found = [entry for entry in entries if entry["message"]["type"] == kind]
            return found if len(found) >= count else None

        return wait_until(enough, f"{count} messages of type {kind}", timeout_s=20)
