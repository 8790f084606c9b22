"""Opening what came in: a message whose sender's document is not known yet waits for it, a bounded time.

Whoever sends a message chooses whose document we fetch, so only so many are fetched at once and for each source.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from identity.did import Did, DidDocument
from identity.errors import NotResolvedYet, UnresolvableDid
from identity.resolver import Resolver
from node.clock import NowMs, now_ms
from node.dids.own import OwnDids
from node.errors import NotNow
from node.messaging.source import Source
from protocols import limits
from protocols.didcomm.envelope import Resolve, Unpacked, unpack
from protocols.didcomm.from_prior import FromPrior, rotation_of
from protocols.errors import UnresolvableKey
from protocols.ratelimit import KeyedBuckets

T = TypeVar("T")

_TRIES = 3
"""A message may name two DIDs that have to be fetched: its sender, and whom the sender was before."""


class Opener:
    """Unpacks with all of our keys."""

    def __init__(self, *, own: OwnDids, resolver: Resolver, now: NowMs = now_ms) -> None:
        self._own = own
        self._resolver = resolver
        self._now = now
        self._fetching = 0
        self._fetches_of = KeyedBuckets(
            limits.SENDER_RESOLVE_RATE_PER_S, limits.SENDER_RESOLVE_BURST, limits.MAX_RATED_KEYS
        )

    async def open(self, packed: bytes, source: Source) -> Unpacked:
        """Decrypt and authenticate. Raises RemoteProtocolError, or NotNow if its sender cannot be resolved in time."""
        keys = self._own.keys()
        return await self._with_documents(lambda resolve: unpack(packed, keys=keys, resolve=resolve), source)

    async def rotation(self, unpacked: Unpacked, source: Source) -> FromPrior | None:
        """What the message proves about the DID that its author had before. The errors are those of `open`."""
        now_s = self._now() // 1000
        return await self._with_documents(lambda resolve: rotation_of(unpacked, resolve=resolve, now_s=now_s), source)

    async def _with_documents(self, read: Callable[[Resolve], T], source: Source) -> T:
        silent: list[UnresolvableDid] = []

        def resolve(did: Did) -> DidDocument:
            try:
                return self._resolver.cached(did)
            except UnresolvableDid as error:
                silent.append(error)
                raise

        for _ in range(_TRIES):
            try:
                return read(resolve)
            except NotResolvedYet as missing:
                await self._fetch(missing.did, source)
            except (UnresolvableKey, UnresolvableDid) as error:
                if silent and source.transport != "mediator":  # there it would stand in the way of all other mail
                    raise NotNow(str(silent[0])) from error
                raise
        raise UnresolvableKey("the message names too many DIDs that are not known here")

    async def _fetch(self, did: Did, source: Source) -> None:
        if self._fetching >= limits.MAX_DIDS_RESOLVED_AT_ONCE:
            raise NotNow("too many senders' documents are being fetched")
        if not self._fetches_of.allow(source.key, self._now() / 1000):
            raise NotNow("too many unknown senders from one source")
        self._fetching += 1
        try:
            async with asyncio.timeout(limits.SENDER_RESOLVE_TIMEOUT_S):
                await self._resolver.resolve(did)
        except UnresolvableDid:
            pass  # `cached` says so from now on, for a while
        except TimeoutError as error:
            raise NotNow("the sender's document did not come in time") from error
        finally:
            self._fetching -= 1
