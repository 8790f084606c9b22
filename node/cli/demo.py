"""`pagi demo`: a relay and several twins as processes of this machine, and the main job from end to end.

Each step is checked through the public API of the twins and shown with its evidence. A check that fails ends the demo
with exit status 1: nothing here pretends.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from identity.did import PeerId, did_of_peer_id, parse_did
from identity.errors import PagiError
from node.cli import output
from node.cli.demo_swarm import DemoFailed, Member, Swarm, wait_until
from node.cli.errors import EXIT_FAILED, FileUnreadable
from node.cli.mail import BASIC_MESSAGE
from node.cli.model import model_path

PLAYBOOK: Final = "common"
_NAMES: Final = ("Ada", "Bela", "Cleo", "Dora", "Egon", "Finn", "Gita", "Hugo")

Evidence = dict[str, Any]


def run(args: argparse.Namespace) -> int:
    """Play the story; 0 only if every step was seen to happen."""
    facts = Path(args.facts).expanduser()
    if not facts.is_file():
        raise FileUnreadable(f"there is no file {facts}")
    model = str(model_path(args.model) or "none")
    names = [*_NAMES, *(f"Twin{number}" for number in range(len(_NAMES) + 1, args.twins + 1))][: args.twins]
    with Swarm(names, model=model) as swarm:
        story = Story(swarm, facts, args.question, as_json=args.json)
        try:
            story.play()
        except PagiError as error:
            swarm.keep = True
            story.finish(f"{error}\nThe homes and the logs of this run are in {swarm.folder}")
            return EXIT_FAILED
        story.finish(None)
    return 0


class Story:
    """The steps of the demo, in order, and the transcript."""

    def __init__(self, swarm: Swarm, facts: Path, question: str, *, as_json: bool) -> None:
        self._swarm = swarm
        self._facts = facts
        self._question = question
        self._as_json = as_json
        self._steps: list[dict[str, Any]] = []
        self._started = time.monotonic()

    def play(self) -> None:
        """All steps. Raises DemoFailed at the first that does not happen."""
        a, b, c = self._swarm.names[:3]
        self._say(
            f"A relay and {len(self._swarm.names)} twins on this machine, each a process with its own home and key."
        )
        self._step("The relay and the twins start, each with its own key", self.start)
        self._step("They find each other through the relay and connect directly", self.meet)
        self._step("Their owners name each other; each trusts what the others teach", self.name_each_other)
        self._step(f"{b} is told facts that nobody else knows", self.tell_facts)
        self._step(f"{a} is asked what only {b} knows, and asks {b}", self.ask)
        self._step(f"{a} learned whom to ask; all adopt the signed lesson", self.learn)
        self._step(f"{c} would ask {b} too, on the lesson's advice", self.use_lesson)
        self._step(f"{c} loses power; {a} writes to it, the relay keeps the mail, and {a} teaches on", self.lose_power)
        self._step(f"{c} comes back: nothing was lost, nothing came twice", self.come_back)

    @property
    def a(self) -> Member:
        """The twin that asks."""
        return self._swarm.twins[0]

    @property
    def b(self) -> Member:
        """The twin that knows."""
        return self._swarm.twins[1]

    @property
    def c(self) -> Member:
        """The twin that loses power."""
        return self._swarm.twins[2]

    # The steps: each gives its evidence, or raises DemoFailed

    def start(self) -> Evidence:
        def started(member: Member) -> None:
            line = member.first_line
            if did_of_peer_id(PeerId(line["peer_id"])) != parse_did(line["did"]):
                raise DemoFailed(f"{member.name}: the peer ID is not of the same key as the DID")
            self._say(f"   {member.name:<6} {line['did']}  peer {line['peer_id']}  ready in {line['ready_s']:.2f} s")

        self._swarm.start(started)
        for twin in self._swarm.twins:
            identity = twin.client().get("id")
            if identity["did"] != twin.did or identity["peer_id"] != twin.first_line["peer_id"]:
                raise DemoFailed(f"{twin.name} names itself differently in /v1/id")
        return {"processes": {member.name: member.pid for member in (self._swarm.relay, *self._swarm.twins)}}

    def meet(self) -> Evidence:
        links = {}
        for twin in self._swarm.twins:
            others = {other.did for other in self._swarm.twins if other is not twin}

            def met(twin: Member = twin, others: set[str] = others) -> bool | None:
                listed = {item["did"] for item in twin.client().get("twins")["items"] if item["online"]}
                peers = twin.client().get("swarm", "peers")["items"]
                direct = {peer["did"] for peer in peers if not peer["relayed"]}
                return (others <= listed and others <= direct) or None

            wait_until(f"{twin.name} lists and is connected to the {len(others)} other twins", met)
            links[twin.name] = f"{len(others)} other twins listed and directly connected"
        return links

    def name_each_other(self) -> Evidence:
        everyone = [twin.did for twin in self._swarm.twins]
        for twin in self._swarm.twins:
            trust = {"allow": everyone, "block": [], "reputation_threshold": 1.0, "auto_adopt": True}
            twin.client().put("trust", body=trust)
            if set(twin.client().get("trust")["allow"]) != set(everyone):
                raise DemoFailed(f"{twin.name} did not keep its allow-list")
        return {"allow": f"{len(everyone)} DIDs on each list"}

    def tell_facts(self) -> Evidence:
        paragraphs = [part.strip() for part in self._facts.read_text(encoding="utf-8").split("\n\n") if part.strip()]
        ids = []
        for paragraph in paragraphs:
            memory = {"kind": "semantic", "content": paragraph, "namespace": "shared"}
            ids.append(self.b.client().post("memory", body=memory)["id"])
        found = self.a.client().post("memory", "search", body={"query": self._question, "kinds": ["semantic"]})
        known = [item["content"] for item in found["items"] if item["namespace"] != "body"]  # its own tools it knows
        if known:
            raise DemoFailed(f"{self.a.name} already knows something: {known[0]!r}")

        def advertised() -> list[str] | None:
            twins = {item["did"]: item for item in self.a.client().get("twins")["items"]}
            return twins[self.b.did]["topics"] or None

        topics = wait_until(f"{self.a.name} hears of {self.b.name}'s topics", advertised)
        return {"memories": len(ids), "first": ids[0], "topics": ", ".join(topics[:8])}

    def ask(self) -> Evidence:
        outcome = self.a.client().post("interact", body={"goal": self._question, "session_id": "demo"})
        asked = [step for step in outcome["steps"] if step["action"] == "ask_twin"]
        if outcome["status"] != "done" or not asked or asked[-1]["input"]["did"] != self.b.did:
            raise DemoFailed(f"{self.a.name} did not get its answer from {self.b.name}: {outcome}")
        reply = asked[-1]["output"]
        sources = reply.get("answer", {}).get("sources", [])
        known = {item["id"] for item in self.b.client().get("memory", query={"limit": 100})["items"]}
        named = [source["memory_id"] for source in sources if source["memory_id"] in known]
        if self.b.did not in outcome["answer"] or not named or named[0] not in outcome["answer"]:
            raise DemoFailed(f"the answer does not name {self.b.name} and its memory: {outcome['answer']!r}")
        self._check_conversation(reply["thread"])
        answer = outcome["answer"].replace("\n", "\n             ")
        for line in (f"question: {self._question}", f"answer:   {answer}"):
            self._say(f"   {line}")
        return {
            "job": outcome["job_id"],
            "thread": reply["thread"],
            "written by": _author(reply["answer"]["model"], degraded=reply["answer"]["degraded"]),
            "ask_twin_ms": asked[-1]["ms"],
            "memory": named[0],
        }

    def _check_conversation(self, thread: str) -> None:
        """Both halves are in both mailboxes, in the same thread."""
        asked = [item for item in self.b.client().get("didcomm", "inbox")["items"] if item["thid"] == thread]
        answered = [item for item in self.a.client().get("didcomm", "inbox")["items"] if item["thid"] == thread]
        if [item["from"] for item in asked] != [self.a.did] or [item["from"] for item in answered] != [self.b.did]:
            raise DemoFailed(f"the thread {thread} is not in both inboxes exactly once")

    def learn(self) -> Evidence:
        def learned() -> dict[str, Any] | None:
            playbook = self.a.client().get("playbooks", PLAYBOOK)
            return playbook if playbook["heads"] and playbook["bullets"] else None

        lesson = wait_until(f"{self.a.name} reflects on that, and writes a lesson", learned)
        self._lesson_head = lesson["heads"][0]
        state_hash = self._wait_converged()
        for twin in self._swarm.twins:
            row = self._revision(twin, self._lesson_head)
            if row["status"] != "adopted" or row["author"] != self.a.did:
                raise DemoFailed(f"{twin.name} did not adopt the lesson: {row}")
        self._say(f"   lesson:   {lesson['bullets'][0]['text']}")
        return {"revision": self._lesson_head, "state_hash": state_hash, "adopted by": len(self._swarm.twins)}

    def use_lesson(self) -> Evidence:
        planned = self.c.client().post("plan", body={"goal": self._question})["steps"]
        asks = [step["input"] for step in planned if step["action"] == "ask_twin"]
        learned = self.c.client().get("playbooks", PLAYBOOK)["bullets"]
        bullet = next((item for item in learned if item["revision"] == self._lesson_head), None)
        if bullet is None or not asks or asks[0]["did"] != self.b.did or asks[0]["advice"] != bullet["id"]:
            raise DemoFailed(f"{self.c.name} would not ask {self.b.name} on the lesson's advice: {planned}")
        plan = " -> ".join(step["action"] for step in planned)
        return {"plan": plan, "asks": self.b.did, "on the advice of": f"bullet {bullet['id']} by {bullet['author']}"}

    def lose_power(self) -> Evidence:
        def announced() -> bool | None:
            known = {item["did"]: item["mediators"] for item in self.a.client().get("twins")["items"]}
            return bool(known.get(self.c.did)) or None

        wait_until(f"{self.c.name} has told who keeps its mail", announced)
        self.c.kill()
        text = "The ferry leaves at nine."
        sent = self.a.client().post(
            "didcomm", "send", body={"to": self.c.did, "type": BASIC_MESSAGE, "body": {"content": text}}
        )
        self._message_id = sent["id"]
        ops = [{"op": "add", "section": "manners", "text": "Thank whoever answered.", "tags": []}]
        proposal = {"critique": "Twins that are thanked answer again.", "ops": ops}
        self._second_head = self.a.client().post("playbooks", PLAYBOOK, "revisions", body=proposal)["cid"]

        def kept_by_relay() -> dict[str, Any] | None:
            row = self._outbox_row()
            return row if row["status"] != "queued" else None

        kept = wait_until("the relay keeps the message", kept_by_relay)
        if kept["status"] != "sent":
            raise DemoFailed(f"the message to a dead twin is {kept['status']}, not sent to its mediator")
        return {
            "killed": self.c.name,
            "message": self._message_id,
            "status": kept["status"],
            "kept by": kept["via"],
            "revision": self._second_head,
        }

    def come_back(self) -> Evidence:
        before = self.c.did
        started = time.monotonic()
        self.c.start()
        if self.c.did != before:
            raise DemoFailed(f"{self.c.name} came back as somebody else")

        def delivered() -> float | None:
            arrived = self._arrivals()
            return time.monotonic() - started if arrived and self._outbox_row()["status"] == "delivered" else None

        delivered_s = wait_until(f"{self.c.name} has the message", delivered)
        state_hash = self._wait_converged()
        caught_up_s = time.monotonic() - started
        if self._revision(self.c, self._second_head)["status"] != "adopted":
            raise DemoFailed(f"{self.c.name} has not adopted {self._second_head}")
        time.sleep(2.0)  # a second delivery, if there were one, would come with the retries and the sync on connecting
        if self._arrivals() != 1:
            raise DemoFailed(f"the message arrived {self._arrivals()} times")
        return {
            "message": f"{self._message_id}, once, {delivered_s:.1f} s after the restart began",
            "playbook": f"caught up after {caught_up_s:.1f} s",
            "state_hash": state_hash,
        }

    # What the steps look at

    def _wait_converged(self) -> str:
        def converged() -> str | None:
            hashes = {twin.client().get("playbooks", PLAYBOOK)["state_hash"] for twin in self._swarm.twins}
            return hashes.pop() if len(hashes) == 1 else None

        return wait_until("all twins report the same state_hash", converged)

    @staticmethod
    def _revision(twin: Member, cid: str) -> dict[str, Any]:
        for row in twin.client().get("playbooks", PLAYBOOK, "revisions")["items"]:
            if row["cid"] == cid:
                return dict(row)
        raise DemoFailed(f"{twin.name} does not know the revision {cid}")

    def _outbox_row(self) -> dict[str, Any]:
        for item in self.a.client().get("didcomm", "outbox")["items"]:
            if item["id"] == self._message_id:
                return dict(item)
        raise DemoFailed(f"{self.a.name} does not know its own message {self._message_id}")

    def _arrivals(self) -> int:
        return [item["id"] for item in self.c.client().get("didcomm", "inbox")["items"]].count(self._message_id)

    # The transcript

    def _step(self, title: str, act: Callable[[], Evidence]) -> None:
        self._say(f"\n{len(self._steps) + 1}. {title}.")
        started = time.monotonic()
        evidence = act()
        ms = round((time.monotonic() - started) * 1000)
        self._steps.append({"n": len(self._steps) + 1, "title": title, "ms": ms, "evidence": evidence})
        for name, value in evidence.items():
            text = ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else value
            self._say(f"   {name}: {text}")
        self._say(f"   seen after {ms} ms")

    def finish(self, failure: str | None) -> None:
        """The last line, or the whole document with --json."""
        seconds = round(time.monotonic() - self._started, 1)
        if self._as_json:
            output.print_json({"ok": failure is None, "failure": failure, "seconds": seconds, "steps": self._steps})
        elif failure is None:
            self._say(f"\nEvery step was seen to happen, through the twins' own API, in {seconds} s.")
        else:
            output.remark(f"\nFAILED: {failure}")

    def _say(self, text: str) -> None:
        if not self._as_json:
            print(output.safe(text), flush=True)


def _author(model: str, *, degraded: bool) -> str:
    if degraded:
        return f"{model} (DEGRADED: no model)"
    small = model.startswith("SmolLM2-135M")
    return f"{model} (it shows that the plumbing works, and is no evidence of cleverness)" if small else model
