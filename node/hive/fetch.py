"""Fetching a playbook's history: from heads down to what is known, block by block, verified before it is kept.

The walk is bounded in revisions and bytes, so that a liar costs us one bounded walk and is then named in the error.
"""

from collections.abc import Callable, Container, Sequence
from typing import Final

from identity.cid import Cid
from identity.did import PeerId
from node.net.port import Network
from protocols.errors import RemoteProtocolError
from protocols.playbook.revision import SignedRevision, check_height, link_of, verify_revision

MAX_NEW_REVISIONS: Final = 10_000
"""Revisions taken in by one walk: the longest history that a newcomer is expected to fetch."""

MAX_NEW_BYTES: Final = 64 * 1024 * 1024
"""Bytes taken in by one walk, and held in memory meanwhile; `Hive` bounds what is kept of one author."""

BLOCK_TIMEOUT_S: Final = 10.0
"""One block has at most 256 KiB: a peer that needs longer is asked again later."""


async def fetch_history(
    heads: Sequence[Cid],
    *,
    playbook: str,
    network: Network,
    peers: Sequence[PeerId],
    judged: Container[Cid],
    held: Callable[[Cid], SignedRevision | None],
) -> list[SignedRevision]:
    """Fetch what is not `judged` yet under `heads`, parents first.

    `held` reads a revision from our own disk: of those judged, to check heights, and of those that a crash left there
    before they were judged. Raises BlockNotFound if no peer has a block, and RemoteProtocolError if a block is not a
    revision of `playbook`, a height lies, or the walk is too long.
    """
    fetched: dict[Cid, SignedRevision] = {}
    known: dict[Cid, SignedRevision] = {}
    to_visit = list(heads)
    size_bytes = 0
    while to_visit:
        cid = to_visit.pop()
        if cid in fetched or cid in known:
            continue
        here = held(cid)
        if here is not None and cid in judged:
            known[cid] = here
            continue
        signed = here or await _fetch_one(cid, network, peers)
        size_bytes += len(signed.envelope_block) + len(signed.payload_block)
        if signed.revision.playbook != playbook:
            raise RemoteProtocolError(f"{cid} belongs to another playbook")
        fetched[cid] = signed
        if len(fetched) > MAX_NEW_REVISIONS or size_bytes > MAX_NEW_BYTES:
            raise RemoteProtocolError("the history is longer than one walk may be")
        to_visit.extend(signed.revision.parents)
    everything = known | fetched
    for signed in fetched.values():
        check_height(signed.revision, [everything[parent].revision for parent in signed.revision.parents])
    # A height is above its parents' heights, so this order has parents first.
    return sorted(fetched.values(), key=lambda signed: (signed.revision.height, signed.cid))


async def _fetch_one(cid: Cid, network: Network, peers: Sequence[PeerId]) -> SignedRevision:
    envelope = await network.fetch_block(cid, peers, timeout_s=BLOCK_TIMEOUT_S)
    payload = await network.fetch_block(link_of(envelope), peers, timeout_s=BLOCK_TIMEOUT_S)
    signed = verify_revision(envelope, payload)
    if signed.cid != cid:
        raise RemoteProtocolError(f"{cid} is not the CID of the envelope that it names")
    return signed
