"""The bundled contexts are the published ones, byte for byte, and ours say what our schemas say."""

import hashlib
import json
from typing import Any

import pytest

from identity.credentials import contexts, schemas
from identity.credentials.contexts import FILES, PAGI_V1, context_bytes, known_contexts
from identity.credentials.errors import MalformedCredential, SchemaMismatch
from identity.credentials.schemas import OURS, check_schema, is_ours, schema_bytes, schema_url

PUBLISHED = {
    contexts.CREDENTIALS_V2: "59955ced6697d61e03f2b2556febe5308ab16842846f5b586d7f1f7adec92734",
    contexts.CREDENTIALS_V1: "ab4ddd9a531758807a79a5b450510d61ae8d147eab966cc9a200c07095b0cdcc",
    contexts.UNDEFINED_TERMS_V2: "82dab514ba44eb18f5d1b0f638c5e140c6a556fbfb5089601bdc0fa5eb8b2581",
    contexts.DATA_INTEGRITY_V2: "67f21e6e33a6c14e5ccfd2fc7865f7474fb71a04af7e94136cb399dfac8ae8f4",
    contexts.MULTIKEY_V1: "ba2c182de2d92f7e47184bcca8fcf0beaee6d3986c527bf664c195bbc7c58597",
    contexts.DID_V1: "62c1054bf404d6dd3a4b26b64f830fd72095f6a26edc4469908c94351352ce5f",
}
"""docs/decisions/credentials.md says where each was published."""


@pytest.mark.parametrize("url", PUBLISHED)
def test_a_context_of_others_is_as_published(url: str) -> None:
    assert hashlib.sha256(context_bytes(url)).hexdigest() == PUBLISHED[url]


def test_every_context_is_known_and_parsed() -> None:
    assert set(FILES) == {*PUBLISHED, PAGI_V1}
    for url, document in known_contexts().items():
        assert "@context" in document, url
    with pytest.raises(KeyError):
        context_bytes("https://example.com/context")


def _properties(schema: Any) -> set[str]:
    found: set[str] = set()
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            found |= set(schema["properties"])
        for value in schema.values():
            found |= _properties(value)
    elif isinstance(schema, list):
        for value in schema:
            found |= _properties(value)
    return found


@pytest.mark.parametrize("kind", OURS)
def test_every_member_of_a_schema_has_a_term_in_our_context(kind: str) -> None:
    schema = json.loads(schema_bytes(OURS[kind]))
    terms = known_contexts()[PAGI_V1]["@context"]
    defined = {*terms, *terms["contributions"]["@context"], "id", "type", "credentialSubject"}
    assert _properties(schema) <= defined
    assert kind in terms
    assert schema["$id"] == schema_url(kind)
    assert is_ours(schema["$id"])


def test_a_schema_names_the_member_and_not_its_value() -> None:
    document = {"type": ["PAGIReputationCredential"], "credentialSubject": {"id": "did:key:z6Mk", "contributions": []}}
    with pytest.raises(SchemaMismatch, match="reputationScore"):
        check_schema(document, str(schema_url("PAGIReputationCredential")))
    document["credentialSubject"]["reputationScore"] = 1.5  # type: ignore[index]
    with pytest.raises(SchemaMismatch) as caught:
        check_schema(document, str(schema_url("PAGIReputationCredential")))
    assert "1.5" not in str(caught.value)


def test_schemas_of_others_are_compiled_within_bounds() -> None:
    check_schema({"a": 1}, "https://example.com/s", b'{"required": ["a"]}')
    with pytest.raises(SchemaMismatch):
        check_schema({}, "https://example.com/s", b'{"required": ["a"]}')
    for bad in (b"{", b'{"type": "nothing"}', b'{"$ref": "https://example.com/other"}', b" " * (64 * 1024 + 1)):
        with pytest.raises(MalformedCredential):
            check_schema({}, "https://example.com/s", bad)
    with pytest.raises(KeyError):
        check_schema({}, "https://pagi.ai/schemas/none.json")
    with pytest.raises(KeyError):
        schema_bytes("../errors.py")
    assert not schemas.is_ours("https://pagi.ai/schemas/../x")
