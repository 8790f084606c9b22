"""A twin's credentials over a real database: issued, verified by another twin, revoked, held, presented."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from identity.credentials.errors import (
    ClaimsRefused,
    ContextUnknown,
    MalformedCredential,
    ProofInvalid,
    StatusListMalformed,
    Unavailable,
    WrongIssuer,
)
from identity.did import Did, DidDocument, resolve_did_key
from identity.keys import KeyPair
from node.clock import now_ms
from node.credentials.errors import CredentialExists, CredentialUnknown, NotRevocable, StatusListUnknown
from node.credentials.service import Credentials
from node.dids.own import OwnDids
from node.errors import MessageTimeout
from protocols import limits
from protocols.conversations.credential_status import STATUS_LIST, STATUS_REQUEST
from protocols.conversations.problem_report import PROBLEM
from protocols.errors import MalformedMessage
from protocols.message import Message
from tests.identity.credentials.support import credential, signed
from tests.node.net.fake import FakeSwarm
from tests.node.parts import Node, new_did, new_keys, open_node

CLAIMS = {"reputationScore": 0.75, "contributions": [{"kind": "answer", "evidence": "job-1", "helpful": True}]}
KIND = "PAGIReputationCredential"


async def resolve(did: Did) -> DidDocument:
    return resolve_did_key(did)


@dataclass
class Web:
    """What stands at web addresses."""

    pages: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def get(self, url: str, *, max_bytes: int, timeout_s: float, accept: str = "") -> bytes:
        self.asked.append(url)
        assert timeout_s == limits.CREDENTIAL_FETCH_S
        if url not in self.pages:
            raise Unavailable(f"nothing is at {url}")
        assert len(self.pages[url]) <= max_bytes
        return self.pages[url]


@dataclass
class Party:
    """A twin's credentials, and what it has asked others."""

    node: Node
    own: OwnDids
    credentials: Credentials
    web: Web
    asked: list[tuple[Did, str, Any]]
    others: dict[Did, "Party"] = field(default_factory=dict)
    answer: Callable[[Did, Message], Awaitable[Message]] | None = None

    @property
    def did(self) -> Did:
        return self.node.did


@asynccontextmanager
async def party(
    home: Path, *, public_url: str | None = None, keys: KeyPair | None = None, **more: Any
) -> AsyncIterator[Party]:
    async with open_node(FakeSwarm(), home, keys=keys) as node:
        own = await OwnDids.load(node.database, node.keys, retired=more.pop("retired", ()))
        web = Web()

        async def ask(to: Did, message_type: str, body: Any, *, timeout_s: float) -> Message:
            made.asked.append((to, message_type, body))
            message = Message(id="q", type=message_type, body=body, from_=node.did, to=(to,))
            if made.answer is not None:
                return await made.answer(to, message)
            if to not in made.others:
                raise MessageTimeout(f"no reply from {to}")
            (reply,) = await made.others[to].credentials.answer_status(None, node.did, message)  # type: ignore[arg-type]
            return Message(id="a", type=reply.type, body=json.loads(json.dumps(reply.body)), from_=to, to=(node.did,))

        credentials = Credentials(
            own=own,
            keys=node.keys,
            resolve=resolve,
            get=web.get,
            ask=ask,
            database=node.database,
            events=node.events,
            public_url=public_url,
            now=node.clock,
            **more,
        )
        made = Party(node, own, credentials, web, [])
        yield made


@asynccontextmanager
async def two(tmp_path: Path, **ada_options: Any) -> AsyncIterator[tuple[Party, Party]]:
    """Ada issues; Bela verifies and can ask her."""
    async with party(tmp_path / "ada", **ada_options) as ada, party(tmp_path / "bela") as bela:
        bela.others[ada.did] = ada
        yield ada, bela


def failed(outcome: Any) -> dict[str, str]:
    return {check.name: type(check.error).__name__ for check in outcome.checks if not check.ok}


@pytest.mark.parametrize("suite", ["eddsa-jcs-2022", "eddsa-rdfc-2022"])
def test_another_twin_verifies_and_sees_the_revocation(tmp_path: Path, suite: Any) -> None:
    async def main() -> None:
        async with two(tmp_path) as (ada, bela):
            vc = await ada.credentials.issue(KIND, bela.did, CLAIMS, valid_for_s=86_400, suite=suite)
            assert failed(await bela.credentials.verify(vc)) == {}
            assert [(to, kind) for to, kind, _ in bela.asked] == [(ada.did, STATUS_REQUEST)]
            assert bela.web.asked == []
            row = await ada.credentials.revoke(vc["id"])
            assert row.revoked_ms is not None
            assert await ada.credentials.revoke(vc["id"]) == row
            assert failed(await ada.credentials.verify(vc)) == {"status": "CredentialRevoked"}
            assert failed(await bela.credentials.verify(vc)) == {}, "the list is kept for as long as it says"
            bela.node.clock.advance(301)
            assert failed(await bela.credentials.verify(vc)) == {"status": "CredentialRevoked"}
            assert len(bela.asked) == 2

    asyncio.run(main())


def test_a_list_with_a_web_address_is_fetched_there(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, public_url="https://ada.example/") as (ada, bela):
            vc = await ada.credentials.issue(KIND, bela.did, CLAIMS)
            url = vc["credentialStatus"]["statusListCredential"]
            assert url == "https://ada.example/credentials/status/1"
            assert failed(await bela.credentials.verify(vc)) == {"status": "Unavailable"}
            bela.web.pages[url] = orjson.dumps(await ada.credentials.status_lists.current(1))
            assert failed(await bela.credentials.verify(vc)) == {}
            assert failed(await ada.credentials.verify(vc)) == {}, "our own list needs no network"
            assert ada.web.asked == []
            assert bela.asked == []

    asyncio.run(main())


def test_a_twin_that_is_away_leaves_the_status_unknown(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (ada, bela):
            vc = await ada.credentials.issue(KIND, bela.did, CLAIMS)
            bela.others.clear()
            assert failed(await bela.credentials.verify(vc)) == {"status": "MessageTimeout"}

            async def problem(to: Did, message: Message) -> Message:
                return Message(id="p", type=PROBLEM, body={"code": "e.p"}, from_=to)

            bela.answer = problem
            assert failed(await bela.credentials.verify(vc)) == {"status": "Unavailable"}

    asyncio.run(main())


def test_a_list_of_somebody_else_is_not_believed(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (ada, bela), party(tmp_path / "cleo") as cleo:
            vc = await ada.credentials.issue(KIND, bela.did, CLAIMS)
            await cleo.credentials.issue(KIND, bela.did, CLAIMS)
            bela.others[ada.did] = cleo
            assert failed(await bela.credentials.verify(vc)) == {"status": "StatusListForeign"}

    asyncio.run(main())


def test_issuing_is_an_event_and_takes_a_random_place(tmp_path: Path) -> None:
    async def main() -> None:
        picks = iter([9, 9, 4])
        async with party(tmp_path, pick=lambda n: next(picks)) as ada:
            first, second = [await ada.credentials.issue(KIND, new_did(), CLAIMS) for _ in range(2)]
            indexes = [vc["credentialStatus"]["statusListIndex"] for vc in (first, second)]
            assert indexes == ["9", "4"]
            log = await ada.node.events.log(event_type="credential_issued")
            assert [entry.subject for entry in log.items] == [first["id"], second["id"]]
            page = await ada.credentials.list(limit=9, role="issued", kind=KIND)
            assert [row.id for row in page.items] == [second["id"], first["id"]]
            assert orjson.loads(page.items[1].document) == first

    asyncio.run(main())


def test_what_is_refused_takes_no_place_and_writes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with party(tmp_path) as ada:
            for kind, claims, more, error in (
                (KIND, {"reputationScore": 2, "contributions": []}, {}, ClaimsRefused),
                ("Friend", {"since": 1}, {"contexts": ["https://attacker.example/c"]}, ContextUnknown),
                ("Friend", {"n": 2**60}, {}, MalformedCredential),
                ("Friend", {}, {"credential_id": "with\nbreak"}, MalformedCredential),
            ):
                with pytest.raises(error):
                    await ada.credentials.issue(kind, new_did(), claims, **more)
            assert (await ada.credentials.list(limit=9)).items == ()
            assert (await ada.node.events.log()).items == ()

    asyncio.run(main())


def test_an_id_is_used_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with party(tmp_path) as ada:
            await ada.credentials.issue("Friend", new_did(), {"n": 1}, credential_id="urn:x:1")
            with pytest.raises(CredentialExists):
                await ada.credentials.issue("Friend", new_did(), {"n": 2}, credential_id="urn:x:1")
            with pytest.raises(CredentialUnknown):
                await ada.credentials.revoke("urn:x:2")

    asyncio.run(main())


def test_importing_wants_a_signature_that_holds(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (ada, bela):
            vc = await ada.credentials.issue(KIND, bela.did, CLAIMS, valid_for_s=60)
            row = await bela.credentials.keep(vc)
            assert (row.role, row.issuer, row.subject, row.type) == ("held", ada.did, bela.did, KIND)
            assert await bela.credentials.keep(json.dumps(vc)) == row
            assert bela.asked == [], "keeping asks nobody"
            changed = {**vc, "credentialSubject": {**vc["credentialSubject"], "reputationScore": 1}}
            with pytest.raises(ProofInvalid):
                await bela.credentials.keep({**changed, "id": "urn:x:other"})
            stolen = signed(credential(issuer=ada.did), bela.node.keys)
            with pytest.raises(WrongIssuer):
                await bela.credentials.keep(stolen)
            for bad in ({}, "nothing", b"\xff", {**vc, "@context": ["https://attacker.example/c"]}):
                with pytest.raises(MalformedCredential):
                    await bela.credentials.keep(bad)
            with pytest.raises(MalformedCredential, match="presentation"):
                await bela.credentials.keep(await bela.credentials.present([vc["id"]]))
            nameless = {name: value for name, value in credential(issuer=ada.did).items() if name != "id"}
            with pytest.raises(MalformedCredential, match="without an id"):
                await bela.credentials.keep(signed(nameless, ada.node.keys))
            bela.node.clock.advance(3600)
            assert (await bela.credentials.keep(vc)).id == vc["id"], "an expired one is history"
            assert len((await bela.credentials.list(limit=9, role="held")).items) == 1

    asyncio.run(main())


def test_a_presentation_is_for_one_challenge(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path) as (ada, bela):
            vc = await ada.credentials.issue(KIND, bela.did, CLAIMS)
            await bela.credentials.keep(vc)
            vp = await bela.credentials.present([vc["id"]], challenge="c-1", domain="ada.example")
            assert failed(await ada.credentials.verify(vp, challenge="c-1", domain="ada.example")) == {}
            again = await ada.credentials.verify(vp, challenge="c-2", domain="ada.example")
            assert failed(again) == {"challenge": "ChallengeMismatch"}
            foreign = await ada.credentials.present([vc])
            assert failed(await bela.credentials.verify(foreign)) == {"credentials.0.binding": "WrongHolder"}
            with pytest.raises(CredentialUnknown):
                await bela.credentials.present(["urn:x:none"])

    asyncio.run(main())


def test_a_status_request_is_answered_or_reported(tmp_path: Path) -> None:
    async def main() -> None:
        async with party(tmp_path) as ada:
            await ada.credentials.issue(KIND, new_did(), CLAIMS)

            async def asked(body: Any) -> Any:
                message = Message(id="q", type=STATUS_REQUEST, body=body, from_=new_did(), to=(ada.did,))
                return (await ada.credentials.answer_status(None, new_did(), message))[0]  # type: ignore[arg-type]

            reply = await asked({"list": 1})
            assert reply.type == STATUS_LIST
            assert reply.body["credential"]["issuer"] == ada.did
            assert (await asked({"list": 2})).type == PROBLEM
            for body in ({}, {"list": "1"}, {"list": 0}, {"list": 2**40}, {"list": True}):
                with pytest.raises(MalformedMessage):
                    await asked(body)

    asyncio.run(main())


def test_a_list_is_signed_again_when_it_changes_or_gets_old(tmp_path: Path) -> None:
    async def main() -> None:
        async with party(tmp_path) as ada:
            vc = await ada.credentials.issue(KIND, new_did(), CLAIMS)
            lists = ada.credentials.status_lists
            first = await lists.current(1)
            assert await lists.current(1) is first
            ada.node.clock.advance(3601)
            second = await lists.current(1)
            assert second["validFrom"] > first["validFrom"]
            await ada.credentials.revoke(vc["id"])
            third = await lists.current(1)
            assert third["credentialSubject"]["encodedList"] != second["credentialSubject"]["encodedList"]
            with pytest.raises(StatusListUnknown):
                await lists.current(2)

    asyncio.run(main())


def test_credentials_of_a_retired_key_can_still_be_revoked(tmp_path: Path) -> None:
    async def main() -> None:
        old, new = new_keys(), new_keys()
        async with party(tmp_path / "ada", keys=old) as ada:
            vc = await ada.credentials.issue(KIND, new_did(), CLAIMS)
        async with (
            party(tmp_path / "ada", keys=new, retired=[old]) as ada,
            party(tmp_path / "bela") as bela,
        ):
            bela.others[Did(vc["issuer"])] = ada
            assert failed(await bela.credentials.verify(vc)) == {}
            await ada.credentials.revoke(vc["id"])
            bela.node.clock.advance(301)
            assert failed(await bela.credentials.verify(vc)) == {"status": "CredentialRevoked"}
            fresh = await ada.credentials.issue(KIND, new_did(), CLAIMS)
            assert fresh["issuer"] == ada.did
            assert fresh["credentialStatus"]["statusListCredential"] == f"{ada.did}?service=status&list=2"

    asyncio.run(main())


@pytest.mark.parametrize("number", ["2", "0", "9" * 10, "9" * 30, "x", "", "1/2", "-1"])
def test_lists_of_ours_that_are_not_there(tmp_path: Path, number: str) -> None:
    """A credential may name any place; ours is looked up on the disk."""

    async def main() -> None:
        async with party(tmp_path, public_url="https://ada.example") as ada:
            await ada.credentials.issue(KIND, new_did(), CLAIMS)
            with pytest.raises(StatusListUnknown):
                await ada.credentials._status_source.fetch(f"https://ada.example/credentials/status/{number}")
            with pytest.raises((StatusListUnknown, StatusListMalformed)):
                await ada.credentials._status_source.fetch(f"{ada.did}?service=status&list={number}")
            assert ada.web.asked == []
            assert ada.asked == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("ftp://a.example/1", Unavailable),
        ("file:///etc/passwd", Unavailable),
        ("did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK", StatusListMalformed),
        ("did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK?service=other&list=1", StatusListMalformed),
        (
            "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK?service=status&list=9999999999",
            StatusListMalformed,
        ),
        ("did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK?service=status&list=x", StatusListMalformed),
    ],
)
def test_places_where_no_list_is_looked_for(tmp_path: Path, url: str, error: type[Exception]) -> None:
    async def main() -> None:
        async with party(tmp_path) as bela:
            with pytest.raises(error):
                await bela.credentials._status_source.fetch(url)
            assert bela.web.asked == []
            assert bela.asked == []

    asyncio.run(main())


def test_fetched_lists_take_a_bounded_place(tmp_path: Path) -> None:
    async def main() -> None:
        async with party(tmp_path) as bela:
            urls = [f"https://a.example/{n}" for n in range(limits.MAX_STATUS_LISTS_KEPT + 1)]
            bela.web.pages.update(dict.fromkeys(urls, b"not even JSON"))
            source = bela.credentials._status_source
            for url in [*urls, urls[-1], urls[0]]:
                await source.fetch(url)
            assert bela.web.asked == [*urls, urls[0]]

    asyncio.run(main())


@pytest.mark.parametrize("suite", ["Ed25519Signature2018", "Ed25519Signature2020", "jwt-vc-1.1"])
def test_vcdm_1_through_didkit(tmp_path: Path, suite: Any) -> None:
    async def main() -> None:
        async with two(tmp_path) as (ada, bela):
            ada.node.clock.now_ms = bela.node.clock.now_ms = now_ms()  # didkit looks at the machine's own clock
            vc = await ada.credentials.issue_legacy("Friend", bela.did, {"since": 2020}, suite=suite, valid_for_s=60)
            assert failed(await bela.credentials.verify(vc)) == {}
            row = await bela.credentials.keep(vc)
            assert (row.type, row.subject, row.form) == ("Friend", bela.did, "jwt" if "jwt" in suite else "json")
            vp = await bela.credentials.present([row.id])
            names = set(failed(await ada.credentials.verify(vp)))
            assert ("credentials.0.signature" in names) is ("jwt" not in suite), "old suites are read alone only"
            with pytest.raises(NotRevocable):
                await ada.credentials.revoke(row.id)
            bela.node.clock.advance(120)
            assert failed(await bela.credentials.verify(vc)) == {"times": "CredentialExpired"}

    asyncio.run(main())
