"""RDF canonicalisation: exact on what W3C published, independent of labels, and bounded on what is hostile."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyld import jsonld

from identity.credentials import bounds
from identity.credentials.contexts import CREDENTIALS_V2, known_contexts
from identity.credentials.errors import ContextUnknown, CredentialTooLarge, GraphTooComplex, MalformedCredential
from identity.credentials.rdfc import canonical_nquads
from tests.identity.credentials.support import credential

VOCAB = "https://example.com/vocab"
CONTEXTS = {
    **known_contexts(),
    VOCAB: {
        "@context": {"@vocab": "https://example.com/v#", "link": {"@type": "@id"}, "list": {"@container": "@list"}}
    },
}


def nquads(document: dict[str, Any]) -> str:
    return canonical_nquads({"@context": VOCAB, **document}, CONTEXTS).decode()


def by_pyld(document: dict[str, Any]) -> str:
    """PyLD's own URDNA2015, which agrees with RDFC-1.0 but for control characters and nodes that link to themselves."""
    loader = lambda url, _: {"contentType": "", "contextUrl": None, "documentUrl": url, "document": CONTEXTS[url]}  # noqa: E731
    options = {"algorithm": "URDNA2015", "format": "application/n-quads", "documentLoader": loader}
    return str(jsonld.normalize(document, options))


edges = st.lists(st.tuples(st.integers(0, 5), st.sampled_from("pq"), st.integers(0, 5)), min_size=1, max_size=8)


def graph(edges: list[tuple[int, str, int]], names: list[str]) -> dict[str, Any]:
    nodes: dict[int, dict[str, Any]] = {}
    for source, predicate, target in edges:
        node = nodes.setdefault(source, {"@id": f"_:{names[source]}"})
        node.setdefault(predicate, []).append({"@id": f"_:{names[target]}"})
    return {"@context": VOCAB, "@id": "https://example.com/root", "holds": list(nodes.values())}


@given(edges, st.permutations(["a", "b", "c", "d", "e", "f"]))
def test_labels_make_no_difference_and_pyld_agrees(edges: list[tuple[int, str, int]], names: list[str]) -> None:
    document = graph(edges, ["n0", "n1", "n2", "n3", "n4", "n5"])
    try:
        ours = canonical_nquads(document, CONTEXTS)
    except GraphTooComplex:
        with pytest.raises(GraphTooComplex):
            canonical_nquads(graph(edges, names), CONTEXTS)
        return
    assert canonical_nquads(graph(edges, names), CONTEXTS) == ours
    if all(source != target for source, _, target in edges):
        assert by_pyld(document) == ours.decode()


def test_a_credential_of_ours_is_as_pyld_has_it() -> None:
    document = credential(evidence=({"type": ["Evidence"], "name": "a"}, {"type": ["Evidence"], "name": "b"}))
    assert canonical_nquads(document, CONTEXTS).decode() == by_pyld(document)


def test_literals_are_escaped_as_rdfc_says() -> None:
    (line,) = nquads({"@id": "urn:x:1", "name": 'a"\\\b\t\n\f\r\x00\x1f\x7fé'}).splitlines()
    assert line == '<urn:x:1> <https://example.com/v#name> "a\\"\\\\\\b\\t\\n\\f\\r\\u0000\\u001F\\u007Fé" .'


def test_numbers_languages_and_lists() -> None:
    text = nquads(
        {"@id": "urn:x:1", "n": 1.0, "d": 0.5, "l": {"@value": "hi", "@language": "en"}, "list": ["a", "a"], "t": True}
    )
    assert '"1"^^<http://www.w3.org/2001/XMLSchema#integer>' in text
    assert '"5.0E-1"^^<http://www.w3.org/2001/XMLSchema#double>' in text
    assert '"hi"@en' in text
    assert text.count("rdf-syntax-ns#first") == 2
    assert '"true"^^<http://www.w3.org/2001/XMLSchema#boolean>' in text


@pytest.mark.parametrize(
    "document",
    [
        {"@id": "urn:x:1", "name": None},
        {"@id": "relative", "name": "x"},
        {"@id": "urn:x:1> <urn:y", "name": "x"},
        {"@id": "urn:x: 1", "name": "x"},
        {"@id": "urn:x:1", "link": "relative"},
        {"@id": "urn:x:1", "@type": 5},
        {"@id": "urn:x:1", "_:predicate": "x"},
        {"@id": "urn:x:1", "@graph": []},
        {"@id": "urn:x:1", "@reverse": {}},
        {"@id": "urn:x:1", "@included": []},
        {"@id": "urn:x:1", "inner": {"@context": {"name": "urn:other"}, "name": "x"}},
        {"@id": "urn:x:1", "n": {"@value": "x", "@language": "not a tag"}},
        {"@id": "urn:x:1", "n": {"@value": "x", "@language": "en> <urn:y"}},
        {"@id": "urn:x:1", "n": {"@value": {"an": "object"}}},
        {"@id": "_:a b", "name": "x"},
    ],
)
def test_what_would_not_be_signed_or_means_something_else_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(MalformedCredential):
        nquads(document)


def test_a_member_without_a_term_is_refused() -> None:
    document = {**credential(), "unheardOf": "x"}
    with pytest.raises(MalformedCredential, match="no context defines"):
        canonical_nquads(document, CONTEXTS)
    document = credential()
    document["type"] = [*document["type"], "Unheard"]
    with pytest.raises(MalformedCredential):
        canonical_nquads(document, CONTEXTS)


def test_unknown_contexts_are_refused_wherever_they_stand() -> None:
    for document in (
        {"@context": [CREDENTIALS_V2, "https://example.com/unknown"]},
        {"@context": VOCAB, "inner": {"@context": "https://example.com/unknown"}},
    ):
        with pytest.raises(ContextUnknown):
            canonical_nquads(document, CONTEXTS)


def test_the_same_url_means_what_the_callers_contexts_say() -> None:
    other = {VOCAB: {"@context": {"@vocab": "https://example.com/other#"}}}
    document = {"@context": VOCAB, "@id": "urn:x:1", "name": "x"}
    first = canonical_nquads(document, CONTEXTS)
    assert b"other#name" in canonical_nquads(document, other)
    assert canonical_nquads(document, CONTEXTS) == first


def test_poison_graphs_are_refused() -> None:
    """A clique of blank nodes looks the same from each of them: without a bound this takes longer than anyone lives."""
    for size in (7, 20, bounds.MAX_BLANK_NODES):
        nodes = [
            {"@id": f"_:n{one}", "p": [{"@id": f"_:n{other}"} for other in range(size) if other != one]}
            for one in range(size)
        ]
        if size * size < bounds.MAX_RDF_VALUES // 2:
            with pytest.raises(GraphTooComplex):
                nquads({"@id": "urn:x:1", "holds": nodes})


def test_rings_that_look_alike_are_refused_once_they_take_too_long() -> None:
    size = 24
    nodes = [
        {"@id": f"_:n{n}", "p": [{"@id": f"_:n{(n + step) % size}"} for step in (1, 5, 7, 11)]} for n in range(size)
    ]
    with pytest.raises(GraphTooComplex, match="order"):
        nquads({"@id": "urn:x:1", "holds": nodes})


def test_too_many_blank_nodes_or_values_are_refused() -> None:
    with pytest.raises(GraphTooComplex):
        nquads({"@id": "urn:x:1", "holds": [{"n": n} for n in range(bounds.MAX_BLANK_NODES + 1)]})
    with pytest.raises(CredentialTooLarge):
        nquads({"@id": "urn:x:1", "n": list(range(bounds.MAX_RDF_VALUES))})
