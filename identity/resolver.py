"""From a DID to its document: at once for those that carry it, through a fetch and a cache for did:web.

`cached` never waits, so that a packed message can be opened in one go; what it does not have is resolved first, and
then the work is repeated. The time and the fetch are arguments; the fetch bounds its own time and size.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from identity.did import Did, DidDocument, resolve_did_key
from identity.did_peer import is_long_form, resolve_did_peer, resolve_short, short_form
from identity.did_web import read_did_web, url_of
from identity.errors import NotResolvedYet, PagiError, UnknownDidMethod, UnresolvableDid

TTL_S: Final = 600.0
"""How long a fetched document is used: a key that its owner took out is good here for so long at most. An expired one
is not used while its host is silent, or whoever can silence the host could keep an old key alive."""

NEGATIVE_TTL_S: Final = 60.0
"""How long a failure is remembered: a stranger's messages make us ask a host once a minute for one DID."""

MAX_CACHED: Final = 1024
"""Fetched documents and failures that are held, of a few hundred bytes each as a rule; 64 KiB of JSON at most."""

MAX_LONG_FORMS: Final = 4096
"""Long forms of did:peer:4 that are remembered, 2 KiB each at most."""

MAX_FETCHES: Final = 64
"""DIDs that are fetched at once, whoever asked."""


@dataclass(slots=True)
class _Entry:
    """What a fetch brought: the document, or why there is none."""

    until: float
    document: DidDocument | None
    cause: str = ""


@dataclass(slots=True)
class _Flight:
    """A fetch under way and those who wait for it. The lock is the fetch: who has it asks, unless it is answered."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class Resolver:
    """Documents by DID. `fetch` gets the bytes at a URL and raises PagiError; None resolves no did:web."""

    def __init__(self, *, fetch: Callable[[str], Awaitable[bytes]] | None, now_s: Callable[[], float]) -> None:
        self._fetch = fetch
        self._now_s = now_s
        self._fetched: OrderedDict[Did, _Entry] = OrderedDict()
        self._long_forms: OrderedDict[Did, Did] = OrderedDict()
        self._flights: dict[Did, _Flight] = {}

    def remember(self, long_form: Did) -> None:
        """Keep the long form of a did:peer:4, so that its short form resolves.

        Raises MalformedDid or MalformedDocument.
        """
        resolve_did_peer(long_form)
        self._long_forms[short_form(long_form)] = long_form
        self._long_forms.move_to_end(short_form(long_form))
        if len(self._long_forms) > MAX_LONG_FORMS:
            self._long_forms.popitem(last=False)

    def cached(self, did: Did) -> DidDocument:
        """The document if it is at hand.

        Raises NotResolvedYet if it has to be fetched, UnresolvableDid if that failed a moment ago, and whatever is
        wrong with the DID or its document: MalformedDid, MalformedDocument, UnsupportedKey, UnknownDidMethod.
        """
        method = did.split(":", 2)[1] if did.startswith("did:") else ""
        if method == "key":
            return resolve_did_key(did)
        if method == "peer":
            return self._peer(did)
        if method != "web":
            raise UnknownDidMethod(f"a DID of a method that is not resolved here: {did[:80]!r}")
        url_of(did)
        entry = self._fetched.get(did)
        if entry is None or entry.until <= self._now_s():
            raise NotResolvedYet(did)
        self._fetched.move_to_end(did)
        if entry.document is None:
            raise UnresolvableDid(entry.cause)
        return entry.document

    async def resolve(self, did: Did) -> DidDocument:
        """The document, fetched if it must be. Raises as `cached` does, and UnresolvableDid instead of NotResolvedYet.

        Of many who ask for one DID at once one fetches. If that one is cancelled, the next of them fetches.
        """
        try:
            return self.cached(did)
        except NotResolvedYet as error:
            if did.startswith("did:peer:"):
                raise UnresolvableDid(f"the long form of {did[:80]!r} was never seen here") from error
        if self._fetch is None:
            raise UnresolvableDid("did:web is not resolved here: nothing is fetched")
        flight = self._flights.get(did)
        if flight is None:
            if len(self._flights) >= MAX_FETCHES:
                raise UnresolvableDid(f"{MAX_FETCHES} other documents are being fetched already")
            flight = self._flights[did] = _Flight()
        flight.waiting += 1
        try:
            async with flight.lock:
                try:
                    return self.cached(did)
                except NotResolvedYet:
                    return await self._fetched_now(did, self._fetch)
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                del self._flights[did]

    async def _fetched_now(self, did: Did, fetch: Callable[[str], Awaitable[bytes]]) -> DidDocument:
        try:
            document = read_did_web(did, await fetch(url_of(did)))
        except PagiError as error:
            cause = f"the document of {did[:160]!r} cannot be had: {error}"
            self._keep(did, _Entry(self._now_s() + NEGATIVE_TTL_S, None, cause))
            raise UnresolvableDid(cause) from error
        self._keep(did, _Entry(self._now_s() + TTL_S, document))
        return document

    def _keep(self, did: Did, entry: _Entry) -> None:
        self._fetched[did] = entry
        self._fetched.move_to_end(did)
        if len(self._fetched) > MAX_CACHED:
            self._fetched.popitem(last=False)

    def _peer(self, did: Did) -> DidDocument:
        if is_long_form(did):
            self.remember(did)
        try:
            return resolve_did_peer(did)
        except NotResolvedYet:
            long_form = self._long_forms.get(did)
            if long_form is None:
                raise
        return resolve_short(long_form)
