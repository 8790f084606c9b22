"""Our credentials against npm @digitalbazaar/vc and its two EdDSA cryptosuites, both ways."""

import json
from typing import Any

import pytest

from identity.credentials.contexts import CREDENTIALS_V2, known_contexts
from identity.credentials.data_integrity import Suite
from identity.credentials.rdfc import canonical_nquads
from identity.credentials.vcdm import build_presentation
from tests.identity.credentials.support import (
    ISSUER,
    NOW_S,
    STRANGER_DID,
    SUBJECT,
    SUBJECT_DID,
    credential,
    failures,
    signed,
    verified,
)

pytestmark = [pytest.mark.node_js, pytest.mark.slow]

SUITES: tuple[Suite, ...] = ("eddsa-jcs-2022", "eddsa-rdfc-2022")
PAST_S = 1_700_000_000
"""The peer looks at the machine's own clock."""


@pytest.fixture
def peer(data_integrity_node: Any) -> Any:
    assert data_integrity_node.ask("know", contexts=dict(known_contexts())) == {}
    return data_integrity_node


def ours(suite: Suite, **more: Any) -> dict[str, Any]:
    return signed(credential(valid_from_s=PAST_S, **more), suite=suite, created_s=PAST_S)


def theirs(peer: Any, document: dict[str, Any], suite: Suite) -> dict[str, Any]:
    answer = peer.ask("issue", credential=document, seed=ISSUER.seed.hex(), suite=suite)
    assert "error" not in answer, answer
    made: dict[str, Any] = answer["document"]
    return made


@pytest.mark.parametrize("suite", SUITES)
def test_it_verifies_ours_and_refuses_it_changed(peer: Any, suite: Suite) -> None:
    document = ours(suite)
    answer = peer.ask("verify", document=document, suite=suite)
    assert answer["verified"] is True, answer
    document["credentialSubject"]["reputationScore"] = 0.76
    assert peer.ask("verify", document=document, suite=suite)["verified"] is False
    document = ours(suite)
    document["issuer"] = STRANGER_DID
    assert peer.ask("verify", document=document, suite=suite)["verified"] is False


@pytest.mark.parametrize("suite", SUITES)
def test_we_verify_its_and_refuse_it_changed(peer: Any, suite: Suite) -> None:
    document = theirs(peer, credential(valid_from_s=PAST_S), suite)
    assert failures(verified(document)) == {}
    document["credentialSubject"]["reputationScore"] = 0.76
    assert failures(verified(document)) == {"signature": "ProofInvalid"}


@pytest.mark.parametrize("suite", SUITES)
def test_each_other_type_and_text_that_is_hard_to_write(peer: Any, suite: Suite) -> None:
    claims = {"task": 'a "quoted"\n\\ task é 🦊', "outcome": "done", "quality": 1, "finished": "2026-01-01T00:00:00Z"}
    document = credential(types=("PAGITaskReceipt",), claims=claims, valid_from_s=PAST_S)
    made = signed(document, suite=suite, created_s=PAST_S)
    assert peer.ask("verify", document=made, suite=suite)["verified"] is True
    assert failures(verified(theirs(peer, document, suite))) == {}
    vague = credential(types=("Friend",), claims={"since": 2020, "likes": ["tea", "tides"]}, valid_from_s=PAST_S)
    assert peer.ask("verify", document=signed(vague, suite=suite, created_s=PAST_S), suite=suite)["verified"] is True
    assert failures(verified(theirs(peer, vague, suite))) == {}


@pytest.mark.parametrize("suite", SUITES)
def test_presentations(peer: Any, suite: Suite) -> None:
    plain = build_presentation(holder=SUBJECT_DID, credentials=[ours(suite)], presentation_id="urn:uuid:7")
    made = signed(
        plain, SUBJECT, suite=suite, created_s=PAST_S, purpose="authentication", challenge="c-1", domain="verifier"
    )
    ask = {"document": made, "suite": suite, "challenge": "c-1", "domain": "verifier"}
    answer = peer.ask("verify_presentation", **ask)
    assert answer["verified"] is True, answer
    assert peer.ask("verify_presentation", **{**ask, "challenge": "c-2"})["verified"] is False
    answer = peer.ask(
        "present", presentation=plain, seed=SUBJECT.seed.hex(), suite=suite, challenge="c-1", domain="verifier"
    )
    assert "error" not in answer, answer
    assert failures(verified(answer["document"], challenge="c-1", domain="verifier")) == {}
    assert failures(verified(answer["document"], challenge="c-2")) == {"challenge": "ChallengeMismatch"}


def test_both_refuse_what_only_one_side_would_drop(peer: Any) -> None:
    document = {**credential(valid_from_s=PAST_S), "unheardOf": "x"}
    answer = peer.ask("issue", credential=document, seed=ISSUER.seed.hex(), suite="eddsa-rdfc-2022")
    assert "error" in answer
    made = theirs(peer, credential(valid_from_s=PAST_S), "eddsa-rdfc-2022")
    made["unheardOf"] = "x"
    assert peer.ask("verify", document=made, suite="eddsa-rdfc-2022")["verified"] is False
    assert failures(verified(made)) == {"signature": "MalformedCredential"}


GRAPHS: list[Any] = [
    [("a", "a")],
    [("a", "b"), ("b", "a")],
    [("a", "b"), ("b", "c"), ("c", "a")],
    [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")],
    [("a", "b"), ("b", "a"), ("c", "d"), ("d", "c"), ("a", "a")],
    [("a", "b"), ("c", "b"), ("d", "b"), ("b", "b")],
]


@pytest.mark.parametrize("edges", GRAPHS, ids=str)
def test_blank_nodes_that_look_alike_have_the_same_order_on_both_sides(peer: Any, edges: list[tuple[str, str]]) -> None:
    vocab = "https://example.com/vocab"
    contexts = {**known_contexts(), vocab: {"@context": {"@vocab": "https://example.com/v#"}}}
    assert peer.ask("know", contexts={vocab: contexts[vocab]}) == {}
    nodes: dict[str, dict[str, Any]] = {}
    for source, target in edges:
        node = nodes.setdefault(source, {"@id": f"_:{source}", "p": []})
        node["p"].append({"@id": f"_:{target}"})
    document = {"@context": vocab, "@id": "urn:x:1", "holds": list(nodes.values()), "t": 'é\t"\\\n\r\x08\x0c'}
    answer = peer.ask("canonize", document=document)
    assert "error" not in answer, answer
    assert canonical_nquads(json.loads(json.dumps(document)), contexts).decode() == answer["nquads"]


def test_a_context_that_neither_keeps(peer: Any) -> None:
    document = {**credential(valid_from_s=PAST_S), "@context": [CREDENTIALS_V2, "https://attacker.example/c"]}
    assert "error" in peer.ask("issue", credential=document, seed=ISSUER.seed.hex(), suite="eddsa-rdfc-2022")
    assert failures(verified(signed(document, created_s=PAST_S)))["context"] == "ContextUnknown"
    assert NOW_S > PAST_S
