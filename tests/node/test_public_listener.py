"""`pagi up --public` as a process: what the world sees of it, and two owners who meet by an invitation."""

import contextlib
import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from identity.cid import Cid
from identity.multibase import CODEC_RAW
from node.errors import ConfigInvalid, PortInUse
from protocols import ipns
from protocols.ipld.car import CarReader
from tests.node.processes import Machine, Process, pagi, wait_until

pytestmark = pytest.mark.slow

PUBLIC = ("--public", "127.0.0.1:0")
CONFIG = "[network]\nallow_private_addresses = true\n"


def asked(url: str, data: bytes | None = None, content_type: str = "") -> tuple[int, Any]:
    """The status and the JSON document that a stranger gets."""
    place = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(place.netloc, timeout=30)) as connection:
        headers = {"Content-Type": content_type} if content_type else {}
        connection.request("GET" if data is None else "POST", place.path, data, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null")


def test_strangers_reach_the_door_and_the_document_and_nothing_of_the_owners(machine: Machine) -> None:
    twin = machine.twin("ada", *PUBLIC, "--public-url", "https://ada.example/")
    twin.start()
    assert twin.first_line["public"] == "https://ada.example"
    log = wait_until(lambda: twin.client.get("did"), "the document")
    assert "https://ada.example/didcomm" in json.dumps(log)
    silent = machine.twin("bela")
    silent.start()
    assert "public" not in silent.first_line


def test_the_listener_answers(machine: Machine) -> None:
    twin = machine.twin("ada", *PUBLIC)
    twin.start()
    url = twin.first_line["public"]
    assert asked(f"{url}/didcomm", b"{}", "application/didcomm-encrypted+json")[0] == 400
    assert asked(f"{url}/didcomm", b"{}", "application/json")[0] == 415
    assert asked(f"{url}/.well-known/did.json")[0] == 404  # without a public URL there is no did:web
    for path in ("/v1/id", "/live", "/metrics", "/v1/openapi.json"):
        assert asked(url + path)[0] == 404


def fetched(url: str) -> tuple[int, bytes]:
    """The status and the body that a stranger gets."""
    place = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(place.netloc, timeout=30)) as connection:
        connection.request("GET", f"{place.path}?{place.query}")
        response = connection.getresponse()
        return response.status, response.read()


def test_strangers_get_blocks_and_the_record_of_the_name_and_nothing_that_is_elsewhere(machine: Machine) -> None:
    twin = machine.twin("ada", *PUBLIC)
    twin.start()
    url = twin.first_line["public"]
    file = machine.folder / "file"
    file.write_bytes(b"tide" * 100_000)
    root = Cid.parse(pagi("ipfs", "add", str(file), "--json", "--home", str(twin.home)).document["cid"])
    status, body = fetched(f"{url}/ipfs/{root}?format=car")
    reader = CarReader()
    blocks = reader.feed(body)
    reader.finish()
    assert (status, reader.roots, len(blocks)) == (200, (root,), 3)
    for cid, block in blocks:
        assert fetched(f"{url}/ipfs/{cid}?format=raw") == (200, block)
    assert fetched(f"{url}/ipfs/{Cid.of(CODEC_RAW, b'elsewhere')}?format=raw")[0] == 404
    name = ipns.parse_name(twin.did)
    own = wait_until(
        lambda: found[1] if (found := fetched(f"{url}/ipns/{name}?format=ipns-record"))[0] == 200 else None,
        "the record",
    )
    assert ipns.verify_record(name, own, now_ms=int(time.time() * 1000)).raw == own


def test_a_gateway_can_be_without(machine: Machine) -> None:
    twin = machine.twin("ada", *PUBLIC, config="[public]\ngateway = false\n")
    twin.start()
    assert asked(f"{twin.first_line['public']}/ipfs/bafkqaaa?format=raw")[0] == 404


def test_two_owners_meet_by_an_invitation(machine: Machine) -> None:
    ada, bela = machine.twin("ada", *PUBLIC, config=CONFIG), machine.twin("bela", *PUBLIC, config=CONFIG)
    ada.start()
    bela.start()
    invitation = pagi("invite", "--json", "--home", str(ada.home), "--goal", "dinner").document
    ada.kill()
    accepted = pagi("accept", invitation["url"], "--json", "--home", str(bela.home)).document
    assert (accepted["did"], accepted["status"]) == (ada.did, "queued")
    ada.discard()
    again = machine.twin("ada", *PUBLIC, "--bootstrap", bela.address, home=ada.home)
    again.start()
    wait_until(lambda: bela.did in again.client.get("trust")["allow"] or None, "the inviter names whom it invited")
    for twin, other in ((again, bela), (bela, again)):
        answer = pagi("ping", other.did, "--json", "--home", str(twin.home))
        assert answer.document["did"] == other.did, answer.stderr
        told = pagi("discover", other.did, "https://didcomm.org/*", "--json", "--home", str(twin.home)).document
        assert "https://didcomm.org/trust-ping/2.0" in {feature["id"] for feature in told["features"]}
    secret_is_not_logged(invitation["url"], ada, bela)


def secret_is_not_logged(url: str, *twins: Process) -> None:
    secret = url.partition("_oob=")[2]
    assert secret
    for twin in twins:
        assert secret[:64] not in twin.log.read_text()


@pytest.mark.parametrize("place", ["nonsense", "127.0.0.1:70000"])
def test_a_public_place_that_is_none_is_said_plainly(machine: Machine, place: str) -> None:
    outcome = up(machine, "--public", place)
    assert (outcome.status, outcome.document["code"]) == (1, ConfigInvalid.code)
    assert "--public" in outcome.stderr


def test_a_busy_public_port_is_said_plainly(machine: Machine) -> None:
    twin = machine.twin("ada", *PUBLIC)
    twin.start()
    port = twin.first_line["public"].rpartition(":")[2]
    outcome = up(machine, "--public", f"127.0.0.1:{port}")
    assert (outcome.status, outcome.document["code"]) == (1, PortInUse.code)


@pytest.mark.parametrize("url", ["ftp://a.example", "https://me@a.example", "https://a.example/?q", "a.example"])
def test_a_public_url_that_is_none_is_said_plainly(machine: Machine, url: str) -> None:
    outcome = up(machine, *PUBLIC, "--public-url", url)
    assert (outcome.status, outcome.document["code"]) == (1, ConfigInvalid.code)


def test_a_public_url_without_a_listener_is_refused(machine: Machine) -> None:
    outcome = up(machine, "--public-url", "https://ada.example")
    assert (outcome.status, outcome.document["code"]) == (1, ConfigInvalid.code)
    assert "--public HOST:PORT" in outcome.stderr


def up(machine: Machine, *options: str) -> Any:
    quiet = ("--no-mdns", "--model", "none", "--listen", "/ip4/127.0.0.1/tcp/0", "--api", "127.0.0.1:0", "--unsealed")
    return pagi("up", "--json", "--home", str(machine.folder / "other"), *quiet, *options)
