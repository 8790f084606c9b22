"""What counts as a block that nobody asked for, when calls are repeated while blocks are under way."""

from typing import Any

from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID

from identity.cid import Cid
from identity.multibase import CODEC_RAW
from node.net.bitswap_fetching import Fetching
from node.net.bitswap_ledger import Ledger
from node.net.counters import Counters


class Mute:
    """Sends nothing anywhere."""

    def ask(self, peer: ID, message: bytes) -> None:
        pass


def some_peer() -> ID:
    return ID.from_pubkey(create_new_key_pair().public_key)


def new_fetching() -> Fetching:
    mute: Any = Mute()
    return Fetching(mute, Ledger(), Counters(), lambda peer: True)


def test_a_block_may_come_as_often_as_it_was_asked_for() -> None:
    """Each attempt of a caller with little patience on a slow path takes its want back before the block comes."""
    fetching, peer, cid = new_fetching(), some_peer(), Cid.of(CODEC_RAW, b"block")
    for _ in range(5):
        fetching.ask(peer, [cid])
        fetching.release(peer, [cid])
    assert all(fetching.take_block(peer, cid.digest, b"block") for _ in range(5))
    assert not fetching.take_block(peer, cid.digest, b"block"), "nobody asked for a sixth"
    assert not fetching.take_block(some_peer(), cid.digest, b"block")


def test_questions_to_many_peers_do_not_make_their_answers_unwanted() -> None:
    fetching, peers = new_fetching(), [some_peer() for _ in range(64)]
    cids = [Cid.of(CODEC_RAW, b"%d" % number) for number in range(256)]
    for peer in peers:
        fetching.probe(peer, cids)
    for peer in peers:
        assert all(fetching.take_block(peer, cid.digest, b"small") for cid in cids)
