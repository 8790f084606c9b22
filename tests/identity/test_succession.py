import os
from typing import Any

import pytest

from identity.credentials.data_integrity import ProofOptions, add_proof
from identity.credentials.schemas import check_schema, schema_url
from identity.did import did_key, resolve_did_key
from identity.errors import SuccessionRefused
from identity.keys import KeyPair
from identity.succession import TYPE, make_succession, read_succession

OLD, NEW, OTHER = (KeyPair(os.urandom(32)) for _ in range(3))
NOW_S = 1_800_000_000
CREDENTIAL = make_succession(old=OLD, new=NEW, now_s=NOW_S)


def proved(document: dict[str, Any], *keys: KeyPair, purpose: str = "assertionMethod") -> dict[str, Any]:
    for one in keys:
        method = resolve_did_key(did_key(one.public)).authentication[0].id
        options = ProofOptions(verification_method=method, created="2027-01-15T08:00:00Z", purpose=purpose)
        document = add_proof(document, options, sign=one.sign)
    return document


def unproved(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in {**CREDENTIAL, **members}.items() if name != "proof"}


def test_both_keys_sign_and_it_is_read_back() -> None:
    found = read_succession(CREDENTIAL, now_s=NOW_S)
    assert (found.old, found.new, found.issued_s) == (did_key(OLD.public), did_key(NEW.public), NOW_S)
    assert len(CREDENTIAL["proof"]) == 2
    check_schema(CREDENTIAL, str(schema_url(TYPE)))


@pytest.mark.parametrize("signers", [(OLD,), (NEW,), (OLD, OTHER), (NEW, OTHER), (OTHER,), ()])
def test_one_key_alone_gives_nothing_away_and_takes_nothing(signers: tuple[KeyPair, ...]) -> None:
    with pytest.raises(SuccessionRefused):
        read_succession(proved(unproved(), *signers), now_s=NOW_S)


def test_a_proof_for_another_purpose() -> None:
    with pytest.raises(SuccessionRefused):
        read_succession(proved(unproved(), OLD, NEW, purpose="authentication"), now_s=NOW_S)


@pytest.mark.parametrize(
    "members",
    [
        {"issuer": did_key(OTHER.public)},
        {"credentialSubject": {"id": did_key(OLD.public), "successor": did_key(OLD.public)}},
        {"credentialSubject": {"id": did_key(OLD.public), "successor": "did:web:example.org"}},
        {"credentialSubject": {"id": did_key(OLD.public)}},
        {"credentialSubject": [{"id": did_key(OLD.public), "successor": did_key(NEW.public)}]},
        {"type": ["VerifiableCredential"]},
        {"validFrom": "2099-01-01T00:00:00Z"},
        {"validUntil": "2001-01-01T00:00:00Z"},
        {"validFrom": 7},
        {"id": 7},
    ],
)
def test_what_is_no_succession_although_both_signed_it(members: dict[str, Any]) -> None:
    with pytest.raises(SuccessionRefused):
        read_succession(proved(unproved(**members), OLD, NEW), now_s=NOW_S)


@pytest.mark.parametrize("value", [None, [], "x", 7, {}, {"proof": 1}, {**CREDENTIAL, "credentialSubject": 1}])
def test_garbage(value: object) -> None:
    with pytest.raises(SuccessionRefused):
        read_succession(value, now_s=NOW_S)


def test_a_changed_word_breaks_it() -> None:
    changed = {
        **CREDENTIAL,
        "credentialSubject": {**CREDENTIAL["credentialSubject"], "successor": did_key(OTHER.public)},
    }
    with pytest.raises(SuccessionRefused):
        read_succession(changed, now_s=NOW_S)
