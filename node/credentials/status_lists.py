"""Status lists: publishing those of this twin's own credentials, and fetching those of others.

A list has a web address if this twin has a public URL: `<public URL>/credentials/status/<n>`. Otherwise its name is a
DID URL, `did:key:…?service=status&list=<n>`, and whoever wants it asks the twin for it by DIDComm. Anybody may: a list
says nothing about whose credentials its bits are.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import parse_qs

import orjson

from identity.credentials import status_list
from identity.credentials.data_integrity import ProofOptions, add_proof
from identity.credentials.errors import StatusListMalformed, Unavailable
from identity.credentials.values import time_text
from identity.did import Did, parse_did
from node.clock import NowMs
from node.credentials.errors import StatusListUnknown
from protocols import limits
from protocols.conversations import credential_status
from protocols.conversations.credential_status import StatusRequest
from protocols.conversations.reply import Reply
from protocols.didcomm.author import Author
from protocols.message import Message
from storage import credentials as rows
from storage.database import Database

PATH: Final = "/credentials/status/"

PURPOSE: Final = "revocation"
_NUMBER_CHARS: Final = 10
SIGNED_FOR_S: Final = 86_400.0
"""How long a published list says it is valid. An attacker who keeps an old one back can hide a revocation so long."""
SIGNED_AGAIN_S: Final = 3600.0
"""A list that was signed longer ago is signed again when somebody asks for it."""
TTL_S: Final = 300.0
"""How long others may keep it."""


class Ask(Protocol):
    """`Exchange.ask`: a question to a twin, and its answer."""

    async def __call__(self, to: Did, message_type: str, body: Mapping[str, Any], *, timeout_s: float) -> Message: ...


class Get(Protocol):
    """`Outside.get`: what stands at a URL."""

    async def __call__(self, url: str, *, max_bytes: int, timeout_s: float, accept: str = ...) -> bytes: ...


class Issuers(Protocol):
    """`OwnDids`, as far as issuing needs it."""

    @property
    def did(self) -> Did: ...
    def is_ours(self, did: Did) -> bool: ...
    def author(self, did: Did | None = None) -> Author: ...
    def author_of_retired(self, did: Did) -> Author: ...


@dataclass(frozen=True, slots=True)
class _Signed:
    bits: tuple[int, ...]
    at_s: float
    document: Mapping[str, Any]


class StatusLists:
    """The lists of this twin's own credentials."""

    def __init__(self, *, own: Issuers, database: Database, public_url: str | None, now: NowMs) -> None:
        self._own = own
        self._database = database
        self._place = (public_url or "").rstrip("/")
        self._now = now
        self._signed: dict[int, _Signed] = {}

    async def reserve(self, pick: Callable[[int], int]) -> tuple[int, status_list.StatusEntry]:
        """A place for a new credential: the list's number, and the entry that goes into the credential."""
        number, index = await self._database.write(
            lambda conn: rows.reserve_index(
                conn, issuer=self._own.did, place=self._place, purpose=PURPOSE, pick=pick, now_ms=self._now()
            )
        )
        return number, status_list.StatusEntry(PURPOSE, index, url_of(self._own.did, self._place, number))

    async def current(self, number: int) -> Mapping[str, Any]:
        """A list as it is now, signed by the DID that issued with it. Raises StatusListUnknown."""
        if not 1 <= number <= limits.MAX_STATUS_LIST_NUMBER:
            raise StatusListUnknown(f"no status list {number} is published here")
        found = await self._database.read(
            lambda conn: (rows.get_status_list(conn, number), tuple(rows.revoked_indexes(conn, number)))
        )
        row, bits = found
        if row is None or not self._own.is_ours(row.issuer):
            raise StatusListUnknown(f"no status list {number} is published here")
        now_s = self._now() / 1000
        signed = self._signed.get(number)
        if signed is None or signed.bits != bits or now_s - signed.at_s > SIGNED_AGAIN_S:
            signed = self._signed[number] = _Signed(bits, now_s, self._sign(row, bits, now_s))
        return signed.document

    async def answer(self, message: Message) -> Sequence[Reply]:
        """Answer a STATUS_REQUEST, whoever asks. Raises MalformedMessage."""
        number = StatusRequest.from_body(message.body).number
        try:
            return [credential_status.status_list(number, await self.current(number))]
        except StatusListUnknown:
            return [credential_status.unknown(message)]

    async def own_list(self, url: str) -> Mapping[str, Any] | None:
        """The list at a URL if it is one of ours. Raises StatusListUnknown."""
        if url.startswith("did:"):
            did, number = read_did_url(url)
            return await self.current(number) if self._own.is_ours(did) else None
        place, found, number_text = url.partition(PATH)
        if not self._place or place != self._place or not found:
            return None
        if not number_text.isdecimal() or len(number_text) > _NUMBER_CHARS:
            raise StatusListUnknown("no status list of that number is published here")
        return await self.current(int(number_text))

    def _sign(self, row: rows.StatusListRow, bits: Sequence[int], now_s: float) -> Mapping[str, Any]:
        """A rotated key still signs the lists that it has begun: its credentials name it as their issuer."""
        author = self._own.author() if row.issuer == self._own.did else self._own.author_of_retired(row.issuer)
        document = status_list.build_list(
            issuer=row.issuer,
            list_url=url_of(row.issuer, row.place, row.n),
            purpose=row.purpose,
            set_indexes=bits,
            now_s=now_s,
            valid_for_s=SIGNED_FOR_S,
            ttl_s=TTL_S,
        )
        options = ProofOptions(verification_method=author.signing_kid, created=time_text(now_s))
        return add_proof(document, options, sign=author.sign)


class StatusSource:
    """The lists of others, kept for a while, and our own."""

    def __init__(self, *, own: StatusLists, get: Get, ask: Ask, now: NowMs) -> None:
        self._own = own
        self._get = get
        self._ask = ask
        self._now = now
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    async def fetch(self, url: str) -> bytes:
        """The list at a URL, not verified yet. Raises PagiError: the network's, MessageTimeout, Unavailable."""
        ours = await self._own.own_list(url)
        if ours is not None:
            return orjson.dumps(ours)
        until_s, data = self._kept.get(url, (0.0, b""))
        if until_s > self._now() / 1000:
            return data
        data = await self._of_twin(url) if url.startswith("did:") else await self._of_web(url)
        self._keep(url, data)
        return data

    async def _of_web(self, url: str) -> bytes:
        if not url.startswith(("https://", "http://")):
            raise Unavailable(f"a status list cannot be fetched from {url[:120]!r}")
        return await self._get(
            url,
            max_bytes=limits.MAX_STATUS_LIST_BYTES,
            timeout_s=limits.CREDENTIAL_FETCH_S,
            accept="application/vc, application/vc+jwt, application/json",
        )

    async def _of_twin(self, url: str) -> bytes:
        did, number = read_did_url(url)
        asked = StatusRequest(number).to_body()
        reply = await self._ask(did, credential_status.STATUS_REQUEST, asked, timeout_s=limits.CREDENTIAL_FETCH_S)
        credential = credential_status.read_status_list(reply)
        if credential is None:
            raise Unavailable(f"{did[:120]} did not answer with its status list")
        return orjson.dumps(credential)

    def _keep(self, url: str, data: bytes) -> None:
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError:
            document = None  # A JWT, or nothing that will verify.
        says = status_list.ttl_of(document) if isinstance(document, dict) else None
        kept_s = min(limits.STATUS_LIST_KEPT_S if says is None else says, limits.STATUS_LIST_KEPT_MOST_S)
        self._kept[url] = (self._now() / 1000 + kept_s, data)
        self._kept.move_to_end(url)
        while len(self._kept) > limits.MAX_STATUS_LISTS_KEPT:
            self._kept.popitem(last=False)


def url_of(did: Did, place: str, number: int) -> str:
    """The name of a list: a web address under `place`, or a DID URL where there is none."""
    return f"{place}{PATH}{number}" if place else f"{did}?service=status&list={number}"


def read_did_url(url: str) -> tuple[Did, int]:
    """Whom to ask for a list, and its number. Raises MalformedDid or StatusListMalformed."""
    did, _, query = url.partition("?")
    wanted = parse_qs(query, max_num_fields=4)
    text = wanted.get("list", [""])[0]
    number = int(text) if text.isdecimal() and len(text) <= _NUMBER_CHARS else 0
    if wanted.get("service") != ["status"] or not 1 <= number <= limits.MAX_STATUS_LIST_NUMBER:
        raise StatusListMalformed("a DID URL that names no status list")
    return parse_did(did), number
