"""What a DHT server keeps, under its bounds: a model of each peer's records, and floods."""

from hypothesis import given, settings
from hypothesis import strategies as st
from libp2p.peer.id import ID

from identity.keys import KeyPair
from node.net.dht_records import ProviderRecords, Shares, ValueRecords
from node.net.dht_wire import Peer
from protocols import ipns, limits

PEERS = [ID(bytes([0x12, 0x20]) + number.to_bytes(32)) for number in range(300)]
KEYS = [KeyPair(bytes([number]) * 32) for number in range(40)]
NOW_MS = 1_795_000_000_000
HOUR_MS = 3_600_000
ADDRESS = (b"\x04\x7f\x00\x00\x01\x06\x12\xc1",)


def key(number: int) -> bytes:
    return b"\x12\x20" + number.to_bytes(32)


def provider(number: int) -> Peer:
    return Peer(PEERS[number], ADDRESS)


def found(records: ProviderRecords, number: int, now_s: float = 0) -> set[ID]:
    return {peer.peer for peer in records.get(key(number), now_s)}


def record(owner: KeyPair, sequence: int, *, hours: int = 1) -> tuple[bytes, ipns.IpnsRecord]:
    raw = ipns.create_record(
        owner.sign, value="/ipfs/bafkqaaa", sequence=sequence, valid_until_ms=NOW_MS + hours * HOUR_MS, ttl_s=60
    )
    name = ipns.IpnsName(owner.public)
    return name.routing_key, ipns.verify_record(name, raw, now_ms=NOW_MS)


def test_a_provider_record_lives_48_hours_from_when_it_was_last_told() -> None:
    records = ProviderRecords()
    records.add(key(1), provider(1), 0)
    records.add(key(1), provider(2), 0)
    records.add(key(1), provider(1), 22 * 3600)
    assert found(records, 1, 48 * 3600 - 1) == {PEERS[1], PEERS[2]}
    assert found(records, 1, 48 * 3600) == {PEERS[1]}
    assert found(records, 1, 70 * 3600) == set()
    assert len(records) == 0


def test_a_peers_addresses_are_those_that_it_gave_last() -> None:
    records = ProviderRecords()
    records.add(key(1), Peer(PEERS[1], (b"old",)), 0)
    records.add(key(2), Peer(PEERS[1], (b"new",)), 1)
    assert records.get(key(1), 2) == [Peer(PEERS[1], (b"new",))]


def test_one_peer_has_its_share_and_no_more() -> None:
    records = ProviderRecords()
    taken = sum(records.add(key(number), provider(1), 0) for number in range(10_000))
    assert taken == len(records) == limits.MAX_PROVIDER_RECORDS_PER_PEER
    assert records.add(key(0), provider(1), 1), "what it has may be told again"
    assert records.add(key(20_000), provider(2), 1), "others are not held up"
    assert records.add(key(9_999), provider(1), limits.PROVIDER_RECORD_S), "and later there is room again"


def test_when_all_is_full_whoever_has_the_most_gives_way() -> None:
    records = ProviderRecords(most=100, most_per_peer=80)
    for number in range(10):
        records.add(key(number), provider(1), 0)
    for number in range(80):
        records.add(key(1000 + number), provider(2), 0)
    for number in range(60):
        assert records.add(key(2000 + number), provider(3), 0)
    assert len(records) <= 100
    assert all(found(records, number) == {PEERS[1]} for number in range(10)), "a small share is left alone"
    assert found(records, 2059) == {PEERS[3]}


def test_of_many_who_provide_one_content_some_are_named_by_chance() -> None:
    records = ProviderRecords()
    for number in range(300):
        records.add(key(1), provider(number), 0)
    assert len(records) == limits.MAX_PROVIDER_RECORDS_PER_KEY
    assert PEERS[0] not in found(records, 1), "the oldest went"
    seen: set[ID] = set()
    for _ in range(400):
        some = found(records, 1)
        assert len(some) == limits.MAX_PROVIDERS_ANSWERED
        seen |= some
    assert len(seen) == limits.MAX_PROVIDER_RECORDS_PER_KEY


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3)), max_size=60),
)
def test_the_bounds_hold_and_nothing_is_left_over(steps: list[tuple[int, int, int]]) -> None:
    records = ProviderRecords(most=8, most_per_peer=4, lifetime_s=10)
    now_s = 0
    told: dict[tuple[int, int], int] = {}
    for of, by, pause_s in steps:
        now_s += pause_s
        if records.add(key(of), provider(by), now_s):
            told[of, by] = now_s
        assert len(records) <= 8
        for peer in range(6):
            kept = [number for number in range(6) if PEERS[peer] in found(records, number, now_s)]
            assert len(kept) <= 4
            assert all(now_s < told[number, peer] + 10 for number in kept)
    assert not any(found(records, number, now_s + 10) for number in range(6))
    assert len(records) == 0
    assert not records._providers
    assert not records._addresses


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=50))
def test_shares_keep_what_was_kept_last(steps: list[tuple[int, int]]) -> None:
    shares: Shares[int] = Shares(most=5, most_per_owner=3, lifetime_s=100)
    kept: dict[int, ID] = {}
    for now_s, (item, owner) in enumerate(steps):
        if shares.has_room_for(item, PEERS[owner]):
            for gone in shares.keep(item, PEERS[owner], now_s):
                del kept[gone]
            kept[item] = PEERS[owner]
        assert {one: shares.owner_of(one) for one in range(10) if shares.owner_of(one)} == kept
        assert len(shares) == len(kept) <= 5


def test_of_a_name_the_newest_record_is_kept() -> None:
    values = ValueRecords()
    name, first = record(KEYS[0], 1, hours=9)
    _, second = record(KEYS[0], 2)
    assert values.put(name, first, PEERS[0], now_s=0, now_ms=NOW_MS)
    assert values.put(name, second, PEERS[1], now_s=1, now_ms=NOW_MS)
    assert not values.put(name, first, PEERS[0], now_s=2, now_ms=NOW_MS)
    assert values.get(name, now_s=3, now_ms=NOW_MS) == second
    assert values.put(name, second, PEERS[2], now_s=4, now_ms=NOW_MS), "told again"
    assert len(values) == 1


def test_a_record_that_has_ended_is_not_given_and_makes_room_for_any_other() -> None:
    values = ValueRecords()
    name, short = record(KEYS[0], 5)
    values.put(name, short, PEERS[0], now_s=0, now_ms=NOW_MS)
    assert values.get(name, now_s=1, now_ms=NOW_MS + HOUR_MS) is None
    _, longer = record(KEYS[0], 4, hours=99)
    assert values.put(name, longer, PEERS[0], now_s=2, now_ms=NOW_MS + HOUR_MS)
    assert values.get(name, now_s=limits.DHT_VALUE_S + 2, now_ms=NOW_MS) is None, "48 hours, whatever it says"


def test_names_brought_by_one_peer_do_not_push_others_out() -> None:
    values = ValueRecords(most=10, most_per_peer=6)
    name, honest = record(KEYS[0], 1)
    values.put(name, honest, PEERS[0], now_s=0, now_ms=NOW_MS)
    for number in range(1, 30):
        one, hostile = record(KEYS[number], 1)
        values.put(one, hostile, PEERS[1 + number % 2], now_s=1, now_ms=NOW_MS)
        assert len(values) <= 10
    assert values.get(name, now_s=2, now_ms=NOW_MS) == honest
    # Bringing the honest record again gives nobody a say over it.
    assert values.put(name, honest, PEERS[9], now_s=3, now_ms=NOW_MS)
    for number in range(30, 40):
        one, hostile = record(KEYS[number], 1)
        values.put(one, hostile, PEERS[9], now_s=4, now_ms=NOW_MS)
    assert values.get(name, now_s=5, now_ms=NOW_MS) == honest


def test_the_memory_of_records_is_bounded() -> None:
    _, one = record(KEYS[0], 1)
    values = ValueRecords(most_bytes=5 * len(one.raw))
    for number in range(20):
        name, some = record(KEYS[number], 1)
        assert values.put(name, some, PEERS[number], now_s=number, now_ms=NOW_MS)
    assert len(values) <= 5
    assert values._size_bytes == sum(len(held.raw) for held in values._held.values())
