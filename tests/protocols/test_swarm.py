"""Twin announcements: round trip, every bound, and hostile bodies."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError, MalformedMessage, RemoteProtocolError
from protocols.swarm import TwinOnline

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
    ],
)
def test_out_of_bounds_is_refused_on_both_sides(change: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        replace(ONLINE, **change).to_body()
    body = ONLINE.to_body() | {key: list(value) if isinstance(value, tuple) else value for key, value in change.items()}
    with pytest.raises(MalformedMessage):
        TwinOnline.from_body(body)


@pytest.mark.parametrize("member", ["name", "addresses", "capabilities", "topics", "version"])
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
