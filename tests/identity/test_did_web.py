"""did:web: the URL that follows from the DID (did:web method specification), and what is no such DID."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from identity.did import Did, parse_did
from identity.did_web import read_did_web, url_of
from identity.errors import MalformedDid, MalformedDocument


@pytest.mark.parametrize(
    ("did", "url"),
    [
        ("did:web:w3c-ccg.github.io", "https://w3c-ccg.github.io/.well-known/did.json"),
        ("did:web:w3c-ccg.github.io:user:alice", "https://w3c-ccg.github.io/user/alice/did.json"),
        ("did:web:example.com%3A3000", "https://example.com:3000/.well-known/did.json"),
        ("did:web:example.com%3a3000:user:alice", "https://example.com:3000/user/alice/did.json"),
        ("did:web:Example.COM:Alice", "https://example.com/Alice/did.json"),
        ("did:web:example.com:a%20b", "https://example.com/a%20b/did.json"),
        ("did:web:xn--bcher-kva.example", "https://xn--bcher-kva.example/.well-known/did.json"),
        ("did:web:localhost%3A8080", "http://localhost:8080/.well-known/did.json"),
        ("did:web:127.0.0.1%3A8080:bela", "http://127.0.0.1:8080/bela/did.json"),
    ],
)
def test_where_the_document_lies(did: str, url: str) -> None:
    """The first four are the specification's own examples."""
    assert url_of(parse_did(did)) == url


@pytest.mark.parametrize(
    "did",
    [
        "did:key:z6Mk",
        "did:web:",
        "did:web:192.0.2.1",
        "did:web:127.1",
        "did:web:2130706433",
        "did:web:0x7f000001",
        "did:web:a.0x7f",
        "did:web:10.0.0.1%3A80",
        "did:web:%5B::1%5D",
        "did:web:-a.example",
        "did:web:a..example",
        "did:web:a_b.example",
        "did:web:example.com%3A",
        "did:web:example.com%3A0",
        "did:web:example.com%3A65536",
        "did:web:example.com%3A80%3A80",
        "did:web:user%40example.com",
        "did:web:example.com%2Fpath",
        "did:web:example.com::a",
        "did:web:example.com:..:secret",
        "did:web:example.com:%2e%2e:secret",
        "did:web:example.com:a%2Fb",
        "did:web:example.com:a%5Cb",
        "did:web:example.com:a%3Fb",
        "did:web:example.com:a%23b",
        "did:web:example.com:a%00b",
        "did:web:example.com:%252e%252e",
        "did:web:example.com:%zz",
        "did:web:" + "a" * 64 + ".example",
        "did:web:" + "a." * 130 + "example",
    ],
)
def test_dids_without_a_place(did: str) -> None:
    with pytest.raises(MalformedDid):
        url_of(Did(did))


@given(st.text(alphabet="ab.%:3A2EeFf5C-0_", max_size=30))
def test_the_url_is_always_on_the_host_of_the_did(text: str) -> None:
    did = Did(f"did:web:example.com:{text}")
    try:
        url = url_of(did)
    except MalformedDid:
        return
    parsed = URL(url)
    assert (parsed.scheme, parsed.host, parsed.port) == ("https", "example.com", 443)
    assert len(parsed.raw_parts) == len(text.split(":")) + 2
    assert parsed.name == "did.json"


def test_the_document_must_be_that_dids() -> None:
    did = Did("did:web:example.com")
    assert read_did_web(did, orjson.dumps({"id": did})).did == did
    for other in ("did:web:example.com:a", "did:web:EXAMPLE.com", None):
        with pytest.raises(MalformedDocument):
            read_did_web(did, orjson.dumps({"id": other}))
