"""Every rule of the envelopes, broken one at a time, as tests/vectors/didcomm/negative.json says."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from identity.curves import from_jwk
from identity.did import Did, DidDocument, VerificationMethod, did_key, resolve_did_key
from identity.errors import MalformedDid
from identity.keys import KeyPair
from identity.multibase import base64url, from_base64url
from protocols.didcomm import jwe, jws
from protocols.didcomm.author import AgreementKey, author_of
from protocols.didcomm.envelope import Unpacked, unpack
from protocols.didcomm.from_prior import rotation_of
from protocols.errors import ProtocolError

VECTORS = Path(__file__).parents[2] / "vectors" / "didcomm"
CASES: list[dict[str, Any]] = json.loads((VECTORS / "negative.json").read_text())["cases"]
PUBLISHED: dict[str, Any] = json.loads((VECTORS / "appendix_c.json").read_text())
NOW = 1_700_000_000
ORDER = ("signed", "authcrypt", "anoncrypt")

KEYS = {name: KeyPair(os.urandom(32)) for name in ("alice", "bob", "mallory", "prior")}
DIDS = {name: did_key(keys.public) for name, keys in KEYS.items()}
AUTHORS = {name: author_of(keys) for name, keys in KEYS.items()}
NAMES = {
    "$long": "x" * 600_000,
    **{f"$signing:{name}": author.signing_kid for name, author in AUTHORS.items()},
    **{f"$agreement:{name}": author.agreement[0].kid for name, author in AUTHORS.items()},
    **{f"${name}": did for name, did in DIDS.items()},
}


def methods(entries: list[Any]) -> tuple[VerificationMethod, ...]:
    return tuple(VerificationMethod(entry["id"], *from_jwk(entry["publicKeyJwk"])) for entry in entries)


DOCUMENTS = {
    document["id"]: DidDocument(
        Did(document["id"]), methods(document.get("authentication", [])), methods(document["keyAgreement"])
    )
    for document in PUBLISHED["documents"]
}
OURS = [KEYS["bob"]] + [
    AgreementKey(jwk["kid"], from_base64url(jwk["d"]), jwk["crv"]) for jwk in PUBLISHED["secrets"]["bob"]
]


def resolve(did: Did) -> DidDocument:
    if did in DIDS.values():
        return resolve_did_key(did)
    if did not in DOCUMENTS:
        raise MalformedDid(did)
    return DOCUMENTS[did]


def p256_only(did: Did) -> DidDocument:
    """A document whose X25519 key is one on P-256 now."""
    x25519, p256, *_ = resolve(did).key_agreement
    return replace(resolve(did), key_agreement=(replace(p256, id=x25519.id),))


def named(value: Any) -> Any:
    """`value` with the names in it spelt out."""
    text = json.dumps(value)
    for name, meaning in NAMES.items():
        text = text.replace(name, meaning)
    return json.loads(text)


def merged(members: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (members | named(changes)).items() if value is not None}


def jwt(recipe: dict[str, Any]) -> str:
    header = merged({"typ": "JWT", "alg": "EdDSA", "kid": AUTHORS["prior"].signing_kid}, recipe.get("header", {}))
    claims = merged({"iss": DIDS["prior"], "sub": DIDS["alice"], "iat": NOW}, recipe.get("claims", {}))
    signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
    return f"{signed}.{base64url(KEYS[recipe.get('by', 'prior')].sign(signed.encode()))}"


def message(case: dict[str, Any]) -> bytes:
    headers = {"id": "1", "type": "https://example.org/1.0/note", "body": {}}
    headers |= {"from": DIDS["alice"], "to": [DIDS["bob"]]}
    if case.get("from_prior") is not None:
        headers["from_prior"] = jwt(case["from_prior"])
    return json.dumps(merged(headers, case.get("message", {}))).encode()


def layered(case: dict[str, Any]) -> bytes:
    content = message(case)
    for layer in case["layers"]:
        if layer == "signed":
            signer = AUTHORS[case.get("signer", "alice")]
            content = jws.sign(content, kid=named(case.get("signer_kid", signer.signing_kid)), signer=signer)
        else:
            (key,) = AUTHORS[case.get("sender", "alice")].agreement
            content = jwe.encrypt(
                content,
                enc="A256CBC-HS512",
                sender=replace(key, kid=named(case.get("sender_kid", key.kid))) if layer == "authcrypt" else None,
                recipients=resolve_did_key(DIDS[case.get("recipient", "bob")]).key_agreement,
                entropy=os.urandom,
            )
    return content


def published(wanted: dict[str, str]) -> bytes:
    found = [
        vector
        for vector in PUBLISHED[wanted["kind"]]
        if all(vector[name] == value for name, value in wanted.items() if name != "kind")
    ]
    return json.dumps(found[0]["envelope"]).encode()


def bent(packed: bytes, case: dict[str, Any]) -> bytes:
    envelope = json.loads(packed)
    for change in case.get("change", []):
        if change["in"] == "envelope":
            bend(envelope, change)
        else:
            holder = envelope if change["in"] == "protected" else envelope["signatures"][0]
            text = from_base64url(holder["protected"]).decode()
            if "replace" in change:
                text = text.replace(*change["replace"], 1)
            else:
                header = json.loads(text)
                bend(header, change)
                text = json.dumps(header)
            holder["protected"] = base64url(text.encode())
    if "repeat" in case:
        envelope[case["repeat"]["member"]] *= case["repeat"]["times"]
    return json.dumps(envelope).encode().ljust(case.get("pad", 0))


def bend(holder: dict[str, Any], change: dict[str, Any]) -> None:
    def at(path: str) -> tuple[Any, Any]:
        place: Any = holder
        *parents, last = (int(name) if name.isdigit() else name for name in path.split("."))
        for name in parents:
            place = place[name]
        return place, last

    for path, value in named(change.get("set", {})).items():
        place, name = at(path)
        place[name] = value
    for path in change.get("remove", []):
        place, name = at(path)
        del place[name]


def take(packed: bytes, find: Callable[[Did], DidDocument] = resolve) -> Unpacked:
    unpacked = unpack(packed, keys=OURS, resolve=find)
    rotation_of(unpacked, resolve=find, now_s=NOW)
    return unpacked


def right(case: dict[str, Any]) -> bytes:
    """The same without what is wrong with it."""
    if "vector" in case:
        return published(case["vector"])
    rotates = "from_prior" in case
    layers = sorted(set(case["layers"]), key=ORDER.index)
    if rotates or not layers:
        layers = ["authcrypt"]
    return layered({"layers": layers} | ({"from_prior": {}} if rotates else {}))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_it_is_refused_and_what_is_right_is_taken(case: dict[str, Any]) -> None:
    if "packed" in case:
        packed = case["packed"].encode()
    else:
        assert take(right(case)).message.id
        packed = bent(published(case["vector"]) if "vector" in case else layered(case), case)
    with pytest.raises(ProtocolError) as refused:
        take(packed, p256_only if case.get("documents") == "p256-only" else resolve)
    assert refused.value.code == case["error"], refused.value


def test_every_case_says_what_it_shows() -> None:
    names = [case["name"] for case in CASES]
    assert len(set(names)) == len(names) > 150
    assert all(case["rule"] and case["section"] for case in CASES)
