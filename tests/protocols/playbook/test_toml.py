"""`playbook.toml`: a second reader gives back what the playbook holds."""

import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from identity.cid import Cid
from identity.did import did_key
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JOSE
from protocols import fields
from protocols.playbook.merge import EMPTY, Playbook, from_revisions
from protocols.playbook.ops import new_ops
from protocols.playbook.revision import Revision, SignedRevision
from protocols.playbook.toml import render

DID = did_key(KeyPair(bytes(range(32))).public)


def playbook_of(items: list[dict[str, Any]]) -> Playbook:
    ops = new_ops(items, author=DID, height=1)
    name = repr(ops).encode()
    revision = Revision("p", (), 1, DID, 0, "", (), ops)
    signed = SignedRevision(Cid.of(CODEC_DAG_JOSE, name), Cid.of(CODEC_DAG_CBOR, name), revision, b"", b"")
    return from_revisions("p", [signed])


def test_the_form_of_the_original_design() -> None:
    playbook = playbook_of(
        [
            {"op": "set", "key": "instructions", "value": "Always: plan -> act.\nThen refine."},
            {"op": "set", "key": "optimization.meta_orchestration.new_rule", "value": "move 20% of the load"},
            {"op": "set", "key": "optimization.model_version", "value": 3},
            {"op": "set", "key": "sub_agents.mode", "value": "parallel"},
            {"op": "template", "name": "research", "body": ["planner", "critic"]},
            {"op": "tool", "name": "system_monitor", "meta": {"endpoint": "/x", "parameters": {"type": "object"}}},
            {"op": "metric", "name": "success_rate", "sum": 1.9, "count": 2},
            {"op": "add", "section": "style", "text": 'Say "yes".', "tags": ["tone"]},
        ]
    )
    (bullet,) = playbook.bullets
    assert render(playbook) == (
        'instructions = """\nAlways: plan -> act.\nThen refine."""\n'
        "version = 1\n"
        "\n[optimization]\nmodel_version = 3\n"
        '\n[optimization.meta_orchestration]\nnew_rule = "move 20% of the load"\n'
        '\n[sub_agents]\nmode = "parallel"\n'
        '\n[sub_agents.templates]\nresearch = ["planner", "critic"]\n'
        '\n[[tools]]\nname = "system_monitor"\nendpoint = "/x"\nparameters = { type = "object" }\n'
        "\n[metrics]\nsuccess_rate = 0.95\n"
        f'\n[[bullets]]\nid = "{bullet.id}"\nsection = "style"\ntext = "Say \\"yes\\"."\ntags = ["tone"]\n'
        f'helpful = 0\nharmful = 0\nauthor = "{DID}"\n'
    )


def test_an_empty_playbook() -> None:
    assert tomllib.loads(render(EMPTY("p"))) == {"instructions": "", "version": 0}


def test_keys_that_need_quotes() -> None:
    settings = {'"a b".c': 1, '"a.b"."\\"x\\""': 2, '""': 3}
    items = [{"op": "set", "key": key, "value": value} for key, value in settings.items()]
    assert tomllib.loads(render(playbook_of(items))) == {
        "instructions": "",
        "version": 1,
        "": 3,
        "a b": {"c": 1},
        "a.b": {'"x"': 2},
    }


def test_a_tool_has_the_name_under_which_it_was_registered() -> None:
    rendered = tomllib.loads(render(playbook_of([{"op": "tool", "name": "real", "meta": {"name": "other", "x": 1}}])))
    assert rendered["tools"] == [{"name": "real", "x": 1}]


def test_text_of_several_lines_may_hold_quotes_and_backslashes() -> None:
    text = 'Say:\n"""C:\\new"""\\\n"'
    assert (
        tomllib.loads(render(playbook_of([{"op": "set", "key": "instructions", "value": text}])))["instructions"]
        == text
    )


TEXT = st.text(max_size=12).map(fields.clean)
LINES = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=8)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LINES, inner, max_size=3),
    max_leaves=8,
)
KEYS = st.from_regex(r"[a-c-]{1,2}(\.[a-c1]{1,2}){0,2}", fullmatch=True)


@settings(max_examples=60)
@given(st.dictionaries(KEYS, VALUES, max_size=5), st.dictionaries(LINES, VALUES, max_size=3), TEXT)
def test_everything_comes_back(chosen: dict[str, Any], meta: dict[str, Any], text: str) -> None:
    items: list[dict[str, Any]] = [{"op": "set", "key": key, "value": value} for key, value in chosen.items()]
    items += [
        {"op": "set", "key": "instructions", "value": text},
        {"op": "tool", "name": "t.x", "meta": meta},
        {"op": "metric", "name": "m.x", "sum": 0.1, "count": 3},
        {"op": "add", "section": "s", "text": text or "x", "tags": ["a"]},
    ]
    playbook = playbook_of(items)
    read = tomllib.loads(render(playbook))
    assert (read.pop("instructions"), read.pop("version")) == (text, 1)
    assert read.pop("metrics") == {"m.x": 0.1 / 3}
    (tool,) = read.pop("tools")
    assert tool == {**meta, "name": "t.x"}
    (bullet,) = read.pop("bullets")
    assert (bullet["text"], bullet["tags"], bullet["author"]) == (text or "x", ["a"], DID)
    for key, value in playbook.settings.items():
        if key != "instructions":
            assert repr(looked_up(read, key)) == repr(value)  # 1, 1.0 and true are not the same
    assert playbook.settings.keys() <= {*chosen, "instructions"}


def looked_up(table: dict[str, Any], key: str) -> object:
    """A setting in the rendered file, through its tables."""
    for segment in key.split("."):
        table = table[segment]
    return table
