"""Twin announcements: round trip, every bound, and hostile bodies."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.did import Did, did_key
from identity.keys import KeyPair
from protocols import limits
from protocols.didcomm.envelope import pack_signed
from protocols.errors import LocalProtocolError, MalformedMessage, RemoteProtocolError
from protocols.message import Message
from protocols.swarm import TASK_BROADCAST, Mediator, TaskBroadcast, TwinOnline, fits

ONLINE = TwinOnline(
    name="Ada's twin",
    addresses=("/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq",),
    capabilities=("research", "tool_use"),
    topics=("gardening", "quantum research"),
    version="0.1.0",
)


def test_the_form_on_the_wire() -> None:
    assert ONLINE.to_body() == {
        "name": "Ada's twin",
        "addresses": ["/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"],
        "capabilities": ["research", "tool_use"],
        "topics": ["gardening", "quantum research"],
        "version": "0.1.0",
    }


def test_round_trip_at_the_bounds() -> None:
    largest = TwinOnline(
        name="n" * 64,
        addresses=tuple(f"{i:02}".ljust(256, "a") for i in range(16)),
        capabilities=tuple(f"{i:02}".ljust(64, "c") for i in range(32)),
        topics=tuple(f"{i:02}".ljust(48, "t") for i in range(16)),
        version="v" * 64,
        mediators=tuple(
            Mediator(Did("did:key:z" + str(i) * 110), (f"{i}".ljust(256, "u"), "v" * 256)) for i in range(4)
        ),
    )
    for online in (ONLINE, largest, TwinOnline("n", (), (), (), "0")):
        assert TwinOnline.from_body(online.to_body()) == online


def test_members_of_a_later_version_are_ignored() -> None:
    assert TwinOnline.from_body({**ONLINE.to_body(), "mood": "fine"}) == ONLINE


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "n" * 65},
        {"name": "red\x1b[31m"},
        {"name": "two\nlines"},
        {"name": "\u202eevil"},
        {"addresses": ("a" * 257,)},
        {"addresses": tuple(str(i) for i in range(17))},
        {"addresses": ("",)},
        {"capabilities": tuple(str(i) for i in range(33))},
        {"capabilities": ("c" * 65,)},
        {"topics": tuple(str(i) for i in range(17))},
        {"topics": ("t" * 49,)},
        {"topics": ("same", "same")},
        {"version": "v" * 65},
        {"mediators": tuple(Mediator(Did(f"did:key:z{i}"), ("ws://m",)) for i in range(5))},
        {"mediators": (Mediator(Did("did:key:z1"), ()),)},
        {"mediators": (Mediator(Did("did:key:z1"), tuple(map(str, range(5)))),)},
        {"mediators": (Mediator(Did("did:key:z1"), ("u" * 257,)),)},
        {"mediators": (Mediator(Did("not a DID"), ("ws://m",)),)},
        {"mediators": (Mediator(Did("did:key:z1"), ("ws://m",)),) * 2},
        {"mediators": tuple(Mediator(Did(f"did:key:z{i}" + "d" * 900), ("u",)) for i in range(4))},
    ],
)
def test_out_of_bounds_is_refused_on_both_sides(change: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        replace(ONLINE, **change).to_body()
    body = ONLINE.to_body() | {key: wire(value) for key, value in change.items()}
    with pytest.raises(MalformedMessage):
        TwinOnline.from_body(body)


def wire(value: object) -> object:
    """A member as JSON has it."""
    if isinstance(value, Mediator):
        return value.to_json()
    return [wire(item) for item in value] if isinstance(value, tuple) else value


def test_mediators_are_named_only_by_who_has_some() -> None:
    keeper = Mediator(Did("did:key:z6Mk"), ("/ip4/192.0.2.1/tcp/4800/p2p/12D3", "https://relay.example/didcomm"))
    body = replace(ONLINE, mediators=(keeper,)).to_body()
    assert body == ONLINE.to_body() | {"mediators": [{"did": keeper.did, "uris": list(keeper.uris)}]}
    assert TwinOnline.from_body(body).mediators == (keeper,)
    four = [replace(keeper, did=Did(f"did:key:z{number}")) for number in range(4)]
    assert fits(four)
    assert not fits([*four, keeper])
    assert not fits([keeper, keeper])
    assert not fits([replace(one, uris=("u" * 250, "v" * 250, "w" * 250, "x" * 250)) for one in four])


@pytest.mark.parametrize("member", ["name", "addresses", "capabilities", "topics", "version", "mediators"])
@given(
    value=st.none()
    | st.integers()
    | st.lists(st.none() | st.integers(), min_size=1)
    | st.dictionaries(st.text(), st.none())
)
def test_members_of_another_type_are_refused(member: str, value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        TwinOnline.from_body(ONLINE.to_body() | {member: value})


def test_a_missing_member_is_refused() -> None:
    for member in ONLINE.to_body():
        with pytest.raises(MalformedMessage):
            TwinOnline.from_body({key: value for key, value in ONLINE.to_body().items() if key != member})


TASK = TaskBroadcast("t-1", "Count the stars,\nthen say how many.", ("research", "recall"), 1_700_000_000)


def test_a_task_on_the_wire() -> None:
    assert TASK.to_body() == {
        "id": "t-1",
        "task": "Count the stars,\nthen say how many.",
        "requirements": ["research", "recall"],
        "deadline": 1_700_000_000,
    }
    assert TaskBroadcast.from_body(TASK.to_body()) == TASK
    assert replace(TASK, task="a\r\nb\x00").to_body()["task"] == "a\nb"


def test_the_largest_task_can_be_gossiped() -> None:
    keys = KeyPair(bytes((1,)) * 32)
    size = limits.MAX_CAPABILITY_CHARS
    capabilities = tuple(f"{index:02}".ljust(size, "c") for index in range(limits.MAX_REQUIREMENTS))
    body = TaskBroadcast("i" * limits.MAX_ID_CHARS, '"' * limits.MAX_TASK_BYTES, capabilities, 2**53 - 1).to_body()
    message = Message(
        id="m" * 36, type=TASK_BROADCAST, body=body, from_=did_key(keys.public), created_time=1, expires_time=2
    )
    assert len(pack_signed(message, signer=keys)) <= limits.MAX_GOSSIP_BYTES


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"task": ""},
        {"task": "t" * (limits.MAX_TASK_BYTES + 1)},
        {"requirements": tuple(map(str, range(limits.MAX_REQUIREMENTS + 1)))},
        {"requirements": ("same", "same")},
        {"deadline": -1},
    ],
)
def test_a_task_out_of_bounds_is_refused_on_both_sides(change: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        replace(TASK, **change).to_body()
    with pytest.raises(MalformedMessage):
        TaskBroadcast.from_body(TASK.to_body() | {name: wire(value) for name, value in change.items()})
