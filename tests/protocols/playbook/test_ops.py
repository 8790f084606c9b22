"""Operations: their wire form, every bound, and the API's shorter form."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.did import did_key
from identity.keys import KeyPair
from protocols.errors import MalformedMessage, RemoteProtocolError
from protocols.playbook.ops import (
    Add,
    Harmful,
    Helpful,
    Metric,
    Op,
    Remove,
    Set,
    Template,
    Tool,
    bullet_id,
    new_ops,
    read_op,
    write_op,
)

AUTHOR = did_key(KeyPair(bytes(range(32))).public)
OTHER = did_key(KeyPair(bytes(32)).public)
ID = bullet_id(AUTHOR, 1, 0, "style", "Be brief.")
ADD = Add(ID, "style", "Be brief.", ("tone",))


def read(item: object, index: int = 0) -> Op:
    return read_op(item, author=AUTHOR, height=1, index=index)


def nested(depth: int) -> object:
    return [nested(depth - 1)] if depth else 1


@pytest.mark.parametrize(
    "op",
    [
        ADD,
        Remove(ID),
        Helpful(ID, 1),
        Harmful(ID, 1000),
        Set("optimization.meta_orchestration.new_rule", "move 20% of the load"),
        Set('context_engineering.filters."before planning: \\"all\\"".on', True),
        Set('""', {"": 1}),
        Template("research", ["planner", "critic"]),
        Template("two words", None),
        Set("instructions", "Plan.\nAct."),
        Set("instructions", None),
        Set("deep", nested(12)),  # type: ignore[arg-type]
        Set("a", -(2**53) + 1),
        Set("a", True),
        Tool("system_monitor", {"description": "…", "parameters": {"type": "object"}}),
        Tool("system_monitor", None),
        Metric("success_rate", -1e15, 10**9),
    ],
    ids=lambda op: type(op).__name__,
)
def test_round_trip_through_the_wire(op: Op) -> None:
    assert read(write_op(op)) == op


@pytest.mark.parametrize(
    "item",
    [
        None,
        [],
        {},
        {"op": None},
        {"op": ["add"]},
        {"op": "drop"},
        {"op": "remove"},
        {"op": "remove", "id": "b" + "A" * 32},
        {"op": "remove", "id": ID + "a"},
        {"op": "remove", "id": ID, "extra": 1},
        {"op": "helpful", "id": ID},
        {"op": "helpful", "id": ID, "n": 0},
        {"op": "helpful", "id": ID, "n": 1001},
        {"op": "harmful", "id": ID, "n": True},
        {"op": "harmful", "id": ID, "n": 1.0},
        {"op": "set", "key": "a"},
        {"op": "set", "key": "", "value": 1},
        {"op": "set", "key": "a..b", "value": 1},
        {"op": "set", "key": "a b", "value": 1},
        {"op": "set", "key": "a\n", "value": 1},
        {"op": "set", "key": ".".join("a" * 9), "value": 1},
        {"op": "set", "key": "version", "value": 7},
        {"op": "set", "key": "tools.x", "value": 7},
        {"op": "set", "key": "instructions", "value": 7},
        {"op": "set", "key": "instructions.x", "value": 7},
        {"op": "set", "key": "a", "value": float("nan")},
        {"op": "set", "key": "a", "value": [float("inf")]},
        {"op": "set", "key": "a", "value": [None]},
        {"op": "set", "key": "a", "value": 2**53},
        {"op": "set", "key": "a", "value": b"\x01\x71\x12\x20" + bytes(32)},
        {"op": "set", "key": '"a"', "value": 1},
        {"op": "set", "key": 'a."b', "value": 1},
        {"op": "set", "key": 'a."b"c', "value": 1},
        {"op": "set", "key": 'a."b\\n"', "value": 1},
        {"op": "set", "key": "a.", "value": 1},
        {"op": "set", "key": ".a", "value": 1},
        {"op": "set", "key": "a" * 65, "value": 1},
        {"op": "set", "key": '"\u202e"', "value": 1},
        {"op": "set", "key": "sub_agents", "value": 1},
        {"op": "set", "key": "sub_agents.templates", "value": {}},
        {"op": "set", "key": "sub_agents.templates.research", "value": []},
        {"op": "template", "name": "", "body": []},
        {"op": "template", "name": "a"},
        {"op": "template", "name": "a", "body": [None]},
        {"op": "set", "key": "a", "value": {"k\x00": 1}},
        {"op": "set", "key": "a", "value": "\x1b[31m"},
        {"op": "set", "key": "a", "value": "v" * 4096},
        {"op": "set", "key": "a", "value": nested(13)},
        {"op": "set", "key": "a", "value": nested(900)},
        {"op": "tool", "name": "a\nb", "meta": {}},
        {"op": "tool", "name": "a", "meta": []},
        {"op": "tool", "name": "a", "meta": {"x": None}},
        {"op": "tool", "name": "a"},
        {"op": "metric", "name": "a", "sum": 1, "count": 1},
        {"op": "metric", "name": "a", "sum": 1.1e15, "count": 1},
        {"op": "metric", "name": "a", "sum": float("nan"), "count": 1},
        {"op": "metric", "name": "a", "sum": 1.0, "count": 0},
        {"op": "metric", "name": "a", "sum": 1.0, "count": 10**9 + 1},
    ],
    ids=lambda item: str(item)[:60].replace("\0", "0"),
)
def test_malformed_operations_are_refused(item: object) -> None:
    with pytest.raises(MalformedMessage):
        read(item)


@pytest.mark.parametrize(
    "change",
    [
        {"section": ""},
        {"section": "s" * 65},
        {"section": "two\nlines"},
        {"text": ""},
        {"text": "ä" * 2049},
        {"text": "\u202e"},
        {"tags": None},
        {"tags": [str(i) for i in range(17)]},
        {"tags": ["t" * 65]},
        {"tags": ["t", "t"]},
    ],
    ids=str,
)
def test_bounds_of_a_bullet(change: dict[str, Any]) -> None:
    body = write_op(ADD) | change
    if isinstance(body["text"], str) and isinstance(body["section"], str):
        body["id"] = bullet_id(AUTHOR, 1, 0, body["section"], body["text"])
    with pytest.raises(MalformedMessage):
        read(body)


def test_the_largest_bullet() -> None:
    text, section = "ä" * 2048, "s" * 64
    op = Add(bullet_id(AUTHOR, 1, 0, section, text), section, text, tuple(f"{i:02}".ljust(64, "t") for i in range(16)))
    assert read(write_op(op)) == op


def test_a_bullet_id_depends_on_everything_that_makes_the_bullet() -> None:
    ids = {
        bullet_id(AUTHOR, 1, 0, "style", "Be brief."),
        bullet_id(OTHER, 1, 0, "style", "Be brief."),
        bullet_id(AUTHOR, 2, 0, "style", "Be brief."),
        bullet_id(AUTHOR, 1, 1, "style", "Be brief."),
        bullet_id(AUTHOR, 1, 0, "styleB", "e brief."),
        bullet_id(AUTHOR, 1, 0, "style", "Be brief"),
    }
    assert len(ids) == 6


def test_nobody_can_take_over_a_bullet() -> None:
    for author, height, index in ((OTHER, 1, 0), (AUTHOR, 2, 0), (AUTHOR, 1, 1)):
        with pytest.raises(MalformedMessage):
            read_op(write_op(ADD), author=author, height=height, index=index)
    with pytest.raises(MalformedMessage):
        read(write_op(ADD) | {"text": "Be long."})


def test_the_form_of_the_api() -> None:
    made = new_ops(
        [
            {"op": "add", "section": "style", "text": "Be brief."},
            {"op": "add", "section": "style", "text": "Be brief.", "tags": ["tone"]},
            {"op": "helpful", "id": ID},
            {"op": "harmful", "id": ID, "n": 3},
            {"op": "metric", "name": "success_rate", "sum": 1},
            {"op": "set", "key": "a.b", "value": [1, "x"]},
        ],
        author=AUTHOR,
        height=1,
    )
    assert [read(write_op(op), index) for index, op in enumerate(made)] == list(made)
    assert made == (
        Add(ID, "style", "Be brief."),
        Add(bullet_id(AUTHOR, 1, 1, "style", "Be brief."), "style", "Be brief.", ("tone",)),
        Helpful(ID, 1),
        Harmful(ID, 3),
        Metric("success_rate", 1.0, 1),
        Set("a.b", [1, "x"]),
    )


def test_an_id_from_the_api_is_not_believed() -> None:
    item = {"op": "add", "section": "style", "text": "Be brief.", "id": bullet_id(OTHER, 1, 0, "s", "t")}
    assert new_ops([item], author=AUTHOR, height=1) == (Add(ID, "style", "Be brief."),)


@pytest.mark.parametrize(
    "items",
    [
        [None],
        [{"op": "add"}],
        [{"op": "add", "section": "s", "text": "\ud800"}],
        [{"op": "add", "section": 1, "text": "t"}],
        [{"op": "metric", "name": "a", "sum": "1"}],
        [{"op": "metric", "name": "a", "sum": 10**400}],
        [{"op": "remove", "id": ID}] * 257,
    ],
    ids=lambda items: str(items)[:40].encode("ascii", "replace").decode(),
)
def test_bad_operations_from_the_api_are_refused(items: list[object]) -> None:
    with pytest.raises(MalformedMessage):
        new_ops(items, author=AUTHOR, height=1)


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.binary(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from(["add", "remove", "helpful", "set", "tool", "template", "metric"]),
    st.dictionaries(
        st.sampled_from(["id", "section", "text", "tags", "n", "key", "value", "name", "meta", "body", "sum", "count"]),
        JSON_LIKE,
    ),
)
def test_any_operation_is_read_or_refused(kind: str, members: dict[str, object]) -> None:
    for item in ({"op": kind} | members, {"op": kind, "id": ID, "key": "a", "name": "a", "n": 1} | members):
        try:
            op = read(item)
        except RemoteProtocolError:
            continue
        assert read(write_op(op)) == op
        json.dumps(write_op(op), allow_nan=False)
