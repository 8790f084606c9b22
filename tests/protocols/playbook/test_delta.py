"""From a file to operations: what is rendered comes back without a difference, and what differs is carried out."""

import tomllib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.did import did_key
from identity.keys import KeyPair
from protocols import fields, limits
from protocols.errors import TooLarge
from protocols.playbook.delta import NOTHING, ApiOp, batches, delta
from protocols.playbook.file import FileBullet, PlaybookFile, parse
from protocols.playbook.keys import join_key
from protocols.playbook.merge import EMPTY, Playbook, apply, from_revisions
from protocols.playbook.revision import Revision, SignedRevision, new_ops, sign_revision
from protocols.playbook.toml import render
from tests.protocols.playbook.test_file import ORIGINAL
from tests.protocols.playbook.test_merge import histories

KEYS = KeyPair(bytes(range(32)))
DID = did_key(KEYS.public)


def grown(playbook: Playbook, ops: list[ApiOp]) -> Playbook:
    """The playbook with these operations, as a node would write them."""
    for batch in batches(ops):
        height = playbook.height + 1
        made = new_ops(batch, author=DID, height=height)
        playbook = apply(
            playbook, sign_revision(Revision("p", playbook.next_parents, height, DID, 0, "", (), made), KEYS)
        )
    return playbook


def with_file(playbook: Playbook, text: str, base: str | None = None) -> Playbook:
    return grown(playbook, delta(playbook, parse(text), base=None if base is None else parse(base)))


PARTS = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=6)
LINES = PARTS.filter(len)
TEXT = st.text(max_size=12).map(fields.clean)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PARTS, inner, max_size=3),
    max_leaves=6,
)
PATHS = st.lists(PARTS | st.sampled_from(["a", "b", "a.b", ""]), min_size=1, max_size=9).filter(
    lambda path: (
        len(path) <= 8 and path[0] not in ("instructions", "sub_agents", "tools", "metrics", "bullets", "version")
    )
)
OPS = st.one_of(
    st.builds(lambda path, value: {"op": "set", "key": join_key(path), "value": value}, PATHS, VALUES | st.none()),
    st.builds(lambda value: {"op": "set", "key": "instructions", "value": value}, TEXT | st.none()),
    st.builds(lambda name, meta: {"op": "tool", "name": name, "meta": meta}, LINES, st.dictionaries(PARTS, VALUES)),
    st.builds(lambda name, body: {"op": "template", "name": name, "body": body}, LINES, VALUES),
    st.builds(
        lambda name, total, count: {"op": "metric", "name": name, "sum": total, "count": count},
        *(LINES, st.floats(-1e15, 1e15), st.integers(1, 9)),
    ),
    st.builds(
        lambda section, text, tags: {"op": "add", "section": section, "text": text, "tags": tags},
        *(LINES, TEXT.filter(len), st.lists(LINES, max_size=2, unique=True)),
    ),
)


@settings(max_examples=150)
@given(st.lists(OPS, max_size=8))
def test_what_is_rendered_comes_back_without_a_difference(ops: list[ApiOp]) -> None:
    playbook = grown(EMPTY("p"), ops)
    text = render(playbook)
    assert delta(playbook, parse(text)) == []
    assert delta(playbook, parse(text), base=parse(text)) == []
    assert delta(playbook, parse(text), base=NOTHING) == []


@given(histories())
def test_merged_playbooks_come_back_too(history: list[SignedRevision]) -> None:
    playbook = from_revisions("p", history)
    assert delta(playbook, parse(render(playbook))) == []


@settings(max_examples=100)
@given(st.lists(OPS, max_size=6), st.lists(OPS, max_size=6))
def test_a_playbook_becomes_what_the_file_says(ops: list[ApiOp], others: list[ApiOp]) -> None:
    """All but the metrics, which gain an observation, and the bullets' ids."""
    wanted, current = render(grown(EMPTY("p"), ops)), grown(EMPTY("p"), others)
    after = with_file(current, wanted)
    there, here = tomllib.loads(wanted), tomllib.loads(render(after))
    for document in (there, here):
        document.pop("metrics", None)
        document.pop("version")
        listed = document.pop("bullets", None)
        document["bullets"] = {(b["section"], b["text"]) for b in listed} if "[[bullets]]" in wanted else None
    assert without_empty(here) == without_empty(there)
    assert [op for op in delta(after, parse(wanted)) if op["op"] != "metric"] == []


def without_empty(value: Any) -> Any:
    """Tables without the empty ones: the file of the smaller playbook need not have them."""
    if isinstance(value, dict):
        return {key: inner for key, item in value.items() if (inner := without_empty(item)) != {}}
    return repr(value)


def test_the_original_form_goes_in_and_comes_out_with_the_same_meaning() -> None:
    playbook = with_file(EMPTY("p"), ORIGINAL)
    before, after = tomllib.loads(ORIGINAL), tomllib.loads(render(playbook))
    before["seen"][0]["on"] = "2026-11-05T07:30:00+00:00"
    assert before.pop("version") == 5
    assert after.pop("version") == playbook.height == 1
    assert after == before
    assert delta(playbook, parse(ORIGINAL)) == []


def sample() -> Playbook:
    return with_file(
        EMPTY("p"),
        """
instructions = "plan"
a.b = 1
a.c = [1]
[[tools]]
name = "t"
x = 1
[sub_agents.templates]
team = ["planner"]
[metrics]
rate = 0.5
[[bullets]]
section = "s"
text = "first"
[[bullets]]
section = "s"
text = "second"
tags = ["x"]
""",
    )


def changes(text: str, **more: Any) -> list[ApiOp]:
    return delta(sample(), parse(text), **more)


def ids() -> dict[str, str]:
    return {bullet.text: bullet.id for bullet in sample().bullets}


def test_what_is_not_in_the_file_is_taken_out_but_bullets_and_metrics_stay() -> None:
    assert changes("") == [
        {"op": "set", "key": "a.b", "value": None},
        {"op": "set", "key": "a.c", "value": None},
        {"op": "set", "key": "instructions", "value": None},
        {"op": "tool", "name": "t", "meta": None},
        {"op": "template", "name": "team", "body": None},
    ]


def same(text: str = "") -> str:
    """The sample's file without its bullets, with `text` after it."""
    return render(sample()).partition("[[bullets]]")[0] + text


def test_bullets_are_taken_out_only_where_the_file_lists_bullets() -> None:
    first = '[[bullets]]\nsection = "s"\ntext = "first"\n'
    assert changes(same()) == []
    assert changes(same(first)) == [{"op": "remove", "id": ids()["second"]}]
    assert {op["id"] for op in changes("bullets = []\n" + same())} == set(ids().values())


def test_a_changed_bullet_is_removed_and_added() -> None:
    second = f'[[bullets]]\nid = "{ids()["second"]}"\nsection = "s"\ntext = "better"\n'
    first = '[[bullets]]\nsection = "s"\ntext = "first"\n'
    wanted = same(first + second)
    assert changes(wanted) == [
        {"op": "remove", "id": ids()["second"]},
        {"op": "add", "section": "s", "text": "better", "tags": ["x"]},
    ]
    assert delta(with_file(sample(), wanted), parse(wanted)) == []
    assert delta(with_file(sample(), wanted), parse(wanted), base=parse(wanted)) == []


def test_a_bullet_that_stands_twice_is_added_once() -> None:
    new = '[[bullets]]\nsection = "s"\ntext = "new"\n'
    assert changes(same(new + new), base=NOTHING) == [{"op": "add", "section": "s", "text": "new", "tags": []}]


def test_a_metric_that_differs_becomes_an_observation() -> None:
    wanted = same().replace("rate = 0.5", "rate = 0.75\nnew = 3")
    assert changes(wanted) == [
        {"op": "metric", "name": "rate", "sum": 0.75, "count": 1},
        {"op": "metric", "name": "new", "sum": 3.0, "count": 1},
    ]
    assert with_file(sample(), wanted).metrics["rate"].mean == 0.625
    assert changes(wanted, base=parse(wanted)) == []


def test_a_table_in_place_of_a_value_and_back() -> None:
    assert changes(same().replace("[a]\nb = 1", "[a.b]\nd = 2\n[a]")) == [
        {"op": "set", "key": "a.b", "value": None},
        {"op": "set", "key": "a.b.d", "value": 2},
    ]
    flat = "a = 7\n" + same().replace("[a]\nb = 1\nc = [1]\n", "")
    assert changes(flat) == [
        {"op": "set", "key": "a.b", "value": None},
        {"op": "set", "key": "a.c", "value": None},
        {"op": "set", "key": "a", "value": 7},
    ]
    assert with_file(sample(), flat).settings["a"] == 7


def test_types_count() -> None:
    assert changes(same().replace("b = 1", "b = 1.0")) == [{"op": "set", "key": "a.b", "value": 1.0}]
    assert changes(same().replace("b = 1", "b = true")) == [{"op": "set", "key": "a.b", "value": True}]


def test_a_setting_that_is_a_map_stays_one_setting() -> None:
    playbook = grown(EMPTY("p"), [{"op": "set", "key": "a", "value": {"x": 1, "y": {"z": 2}}}])
    assert delta(playbook, parse("[a]\nx = 1\n[a.y]\nz = 2")) == []
    assert delta(playbook, parse("[a]\nx = 1\n[a.y]\nz = 3")) == [
        {"op": "set", "key": "a", "value": {"x": 1, "y": {"z": 3}}}
    ]


def test_with_a_base_only_what_changed_in_the_file_counts() -> None:
    """The swarm has gone on since the file was looked at last: nothing of that is undone."""
    base = render(sample())
    ahead = grown(
        sample(),
        [
            {"op": "add", "section": "s", "text": "from the swarm"},
            {"op": "remove", "id": ids()["first"]},
            {"op": "set", "key": "a.b", "value": 2},
            {"op": "set", "key": "new", "value": 1},
            {"op": "tool", "name": "u", "meta": {}},
            {"op": "template", "name": "team", "body": ["critic"]},
            {"op": "metric", "name": "rate", "sum": 1.0},
        ],
    )
    assert delta(ahead, parse(base), base=parse(base)) == []
    edited = (
        base.replace("b = 1", "b = 5").replace('text = "second"', 'text = "2nd"').replace('"t"\nx = 1', '"t"\nx = 9')
    )
    assert delta(ahead, parse(edited), base=parse(base)) == [
        {"op": "set", "key": "a.b", "value": 5},
        {"op": "tool", "name": "t", "meta": {"x": 9}},
        {"op": "remove", "id": ids()["second"]},
        {"op": "add", "section": "s", "text": "2nd", "tags": ["x"]},
    ]
    shorter = base.replace("c = [1]\n", "").partition("[[bullets]]")[0] + "[[bullets]]\nsection = 's'\ntext = 'first'"
    assert delta(ahead, parse(shorter), base=parse(base)) == [
        {"op": "set", "key": "a.c", "value": None},
        {"op": "remove", "id": ids()["second"]},
    ]


def test_a_base_of_nothing_only_adds() -> None:
    assert changes("", base=NOTHING) == []
    assert changes("a.b = 2\n[[bullets]]\nsection='s'\ntext='new'", base=NOTHING) == [
        {"op": "set", "key": "a.b", "value": 2},
        {"op": "add", "section": "s", "text": "new", "tags": []},
    ]


def test_many_operations_are_cut_into_revisions_that_fit() -> None:
    bullets = tuple(FileBullet(None, "s", f"{n} " + "t" * 4000) for n in range(300))
    ops = delta(EMPTY("p"), PlaybookFile(bullets=bullets, settings={f"k{n}": [0] * 3900 for n in range(20)}))
    playbook = grown(EMPTY("p"), ops)
    assert playbook.height > 5
    assert (len(playbook.bullets), len(playbook.settings)) == (300, 20)


def test_more_operations_than_may_come_at_once_are_refused() -> None:
    bullets = tuple(FileBullet(None, "s", str(n)) for n in range(limits.MAX_FILE_OPS + 1))
    with pytest.raises(TooLarge):
        delta(EMPTY("p"), PlaybookFile(bullets=bullets))
    assert len(delta(EMPTY("p"), replace(PlaybookFile(), bullets=bullets[1:]))) == limits.MAX_FILE_OPS
