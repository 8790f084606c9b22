"""Refinement artifacts: what was written comes back, in both forms; what others write is read or refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.did import did_key
from identity.keys import KeyPair
from protocols import fields
from protocols.errors import MalformedMessage, RemoteProtocolError, TooDeep
from protocols.playbook.artifact import Artifact, Form, read_document, write_artifact
from protocols.playbook.delta import delta
from protocols.playbook.file import PlaybookFile, parse
from protocols.playbook.merge import EMPTY, from_revisions
from protocols.playbook.revision import SignedRevision
from protocols.playbook.toml import render
from tests.protocols.playbook.test_delta import grown
from tests.protocols.playbook.test_file import ORIGINAL
from tests.protocols.playbook.test_merge import histories

DID = did_key(KeyPair(bytes(range(32))).public)
FORMS: list[Form] = ["toml", "json"]


@given(histories(), st.sampled_from(FORMS), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_what_is_written_comes_back(history: list[SignedRevision], form: Form, critique: str) -> None:
    playbook = from_revisions("p", history)
    cids = tuple(dict.fromkeys(signed.cid for signed in history))
    artifact = read_document(write_artifact(playbook, twin=DID, critique=critique, revisions=cids, form=form))
    assert isinstance(artifact, Artifact)
    assert (artifact.twin_id, artifact.playbook, artifact.revisions) == (DID, "p", tuple(map(str, cids)))
    assert artifact.critique == fields.clean(critique)
    assert artifact.updated_playbook == parse(render(playbook))
    assert delta(playbook, artifact.updated_playbook) == []


def original(**members: Any) -> str:
    return json.dumps({"twin_id": "twin-a", "critique": "Move load.\n", "updated_playbook": ORIGINAL} | members)


def test_the_original_form_becomes_the_delta_against_the_current_playbook() -> None:
    """The playbook as text within JSON, as a table within TOML, or as a table within JSON."""
    as_text = read_document(original())
    toml = "twin_id = 'twin-a'\ncritique = '''Move load.\n'''\nupdated_playbook = '''\n" + ORIGINAL + "'''"
    nested = grown(EMPTY("p"), delta(EMPTY("p"), parse(ORIGINAL)))
    as_table = read_document(write_artifact(nested, twin=DID, critique="x", form="json"))
    assert isinstance(as_text, Artifact)
    assert isinstance(as_table, Artifact)
    assert read_document(toml) == as_text
    assert (as_text.twin_id, as_text.critique, as_text.playbook, as_text.revisions) == (
        "twin-a",
        "Move load.\n",
        None,
        (),
    )
    assert as_text.updated_playbook == parse(ORIGINAL)
    playbook = grown(EMPTY("p"), [{"op": "set", "key": "optimization.model_version", "value": "smollm2"}])
    ops = delta(playbook, as_text.updated_playbook)
    assert ops
    assert "optimization.model_version" not in [op.get("key") for op in ops]
    assert delta(grown(playbook, ops), as_text.updated_playbook) == []
    assert delta(grown(playbook, ops), as_table.updated_playbook) == []


def test_a_playbook_alone_is_no_artifact() -> None:
    assert read_document(ORIGINAL) == parse(ORIGINAL)
    assert read_document('{"instructions": "plan", "metrics": {"rate": 1}}') == PlaybookFile(
        settings={"instructions": "plan"}, metrics={"rate": 1.0}
    )


@pytest.mark.parametrize(
    "text",
    [
        original(twin_id=None),
        original(twin_id="a\nb"),
        original(twin_id="a" * 257),
        original(critique=5),
        original(updated_playbook=5),
        original(updated_playbook="a = "),
        original(updated_playbook={"a": None}),
        original(updated_playbook={"metrics": {"x": "y"}}),
        original(playbook="No Name"),
        original(revisions="x"),
        original(revisions=["x", "x"]),
        "{",
        '{"a": 1e999}',
        "[1",
    ],
    ids=range(14),
)
def test_what_is_no_artifact_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage):
        read_document(text)


def test_deep_json_is_refused() -> None:
    with pytest.raises(TooDeep):
        read_document('{"a":' * 100_000)


def test_a_critique_is_cleaned_and_cut() -> None:
    artifact = read_document(original(critique="\x1b[31mred\r\n" + "ä" * 4000))
    assert isinstance(artifact, Artifact)
    assert artifact.critique.startswith("[31mred\nä")
    assert len(artifact.critique.encode()) <= 4096


@given(st.text(max_size=60) | st.text(alphabet='{}[]":,=\n twin_idupaebokcrq', max_size=60).map(lambda t: "{" + t))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        document = read_document(text)
    except RemoteProtocolError:
        return
    assert isinstance(document, Artifact | PlaybookFile)
