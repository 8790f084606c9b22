"""IPNS records of ours and of Kubo: each takes the other's, and refuses what is not the name's."""

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from identity.keys import KeyPair
from node.clock import now_ms
from protocols import ipns
from protocols.errors import ForgedSignature
from tests.interop.kubo import Kubo, kubo_for_tests

pytestmark = [pytest.mark.kubo, pytest.mark.slow]

HOUR_MS = 3_600_000
PATH = "/ipfs/bafkqaaa"


@pytest.fixture(scope="module")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubo]:
    """The peer."""
    with kubo_for_tests(tmp_path_factory.mktemp("kubo") / "repository") as running:
        yield running


def inspected(kubo: Kubo, record: bytes, name: ipns.IpnsName) -> dict[str, Any]:
    """What Kubo reads in a record and finds of its signature."""
    said: dict[str, Any] = json.loads(
        kubo.ipfs("name", "inspect", "--enc=json", "--dump=false", "--verify", str(name), stdin=record)
    )
    return said


@pytest.mark.parametrize("sequence", [0, 1, 2**40, ipns.MAX_SEQUENCE])
def test_kubo_takes_our_record(kubo: Kubo, sequence: int) -> None:
    keys = KeyPair(os.urandom(32))
    until_ms = now_ms() + HOUR_MS
    raw = ipns.create_record(keys.sign, value=PATH, sequence=sequence, valid_until_ms=until_ms, ttl_s=300)
    said = inspected(kubo, raw, ipns.IpnsName(keys.public))
    assert said["Validation"]["Valid"] is True
    assert said["SignatureType"] == "V1+V2"
    assert (said["Entry"]["Value"], said["Entry"]["Sequence"], said["Entry"]["TTL"]) == (PATH, sequence, 300 * 10**9)


def test_kubo_refuses_ours_under_another_name(kubo: Kubo) -> None:
    keys, other = KeyPair(os.urandom(32)), KeyPair(os.urandom(32))
    raw = ipns.create_record(keys.sign, value=PATH, sequence=1, valid_until_ms=now_ms() + HOUR_MS, ttl_s=300)
    assert inspected(kubo, raw, ipns.IpnsName(other.public))["Validation"]["Valid"] is False


@pytest.mark.parametrize("options", [(), ("--v1compat=false",), ("--ttl=1m", "--lifetime=48h")], ids=str)
def test_we_take_kubos_record(kubo: Kubo, options: tuple[str, ...]) -> None:
    kubo.ipfs("--offline", "name", "publish", "--allow-offline", "--resolve=false", *options, PATH)
    name = ipns.parse_name(kubo.document("id")["ID"])
    raw = kubo.ipfs("--offline", "routing", "get", f"/ipns/{name}")
    record = ipns.verify_record(name, raw, now_ms=now_ms())
    said = inspected(kubo, raw, name)["Entry"]
    assert (record.value, record.sequence) == (PATH, said["Sequence"])
    assert int(record.ttl_s * 10**9) == said["TTL"]
    assert ipns.verify_value(name.routing_key, raw, now_ms=now_ms()) == record
    with pytest.raises(ForgedSignature):
        ipns.verify_record(ipns.IpnsName(KeyPair(bytes(32)).public), raw, now_ms=now_ms())


def test_kubos_own_key_by_every_name_that_it_writes(kubo: Kubo) -> None:
    peer = kubo.document("id")["ID"]
    names = {peer, *(kubo.lines("key", "list", "-l", f"--ipns-base={base}")[0] for base in ("base36", "b58mh"))}
    names.add(kubo.lines("cid", "format", "-v", "1", "-b", "base32", str(ipns.parse_name(peer)))[0])
    assert len(names) >= 3
    assert {ipns.parse_name(name) for name in names} == {ipns.parse_name(peer)}
    assert str(ipns.parse_name(peer)) in names


def test_kubo_keeps_a_record_of_ours_that_is_brought_to_it(kubo: Kubo) -> None:
    async def main() -> None:
        keys = KeyPair(os.urandom(32))
        name = ipns.IpnsName(keys.public)
        raw = ipns.create_record(keys.sign, value=PATH, sequence=3, valid_until_ms=now_ms() + HOUR_MS, ttl_s=60)
        put = ("routing", "put", "--allow-offline", f"/ipns/{name}", "-")
        await asyncio.to_thread(lambda: kubo.ipfs("--offline", *put, stdin=raw))
        assert await asyncio.to_thread(lambda: kubo.ipfs("--offline", "routing", "get", f"/ipns/{name}")) == raw

    asyncio.run(main())
