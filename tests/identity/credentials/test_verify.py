"""Every check by its name: what passes, and what each kind of bad credential fails by."""

import asyncio
import json
from typing import Any

import orjson
import pytest

from identity.credentials import bounds
from identity.credentials.contexts import CREDENTIALS_V2
from identity.credentials.errors import Unavailable
from identity.credentials.status_list import StatusEntry, build_list
from identity.credentials.vcdm import build_presentation
from identity.credentials.verify import Verifier
from identity.did import Did, DidDocument
from identity.errors import UnsupportedKey
from identity.keys import KeyPair
from tests.identity.credentials.support import (
    ISSUER,
    ISSUER_DID,
    NOW_S,
    STRANGER,
    STRANGER_DID,
    SUBJECT,
    SUBJECT_DID,
    credential,
    failures,
    resolve,
    signed,
    verified,
)

LIST_URL = "https://issuer.example/credentials/status/1"
NAMES = ["parse", "context", "signature", "issuer", "purpose", "times", "status", "schema"]


def status_of(index: int, purpose: str = "revocation") -> dict[str, Any]:
    return StatusEntry(purpose, index, LIST_URL).to_json()


def status_list(
    *indexes: int, keys: KeyPair = ISSUER, issuer: Did = ISSUER_DID, purpose: str = "revocation", **change: Any
) -> bytes:
    document = build_list(
        issuer=issuer,
        list_url=LIST_URL,
        purpose=purpose,
        set_indexes=indexes,
        now_s=change.pop("now_s", NOW_S),
        valid_for_s=3600,
        ttl_s=300,
    )
    return orjson.dumps(signed({**document, **change}, keys))


def with_list(data: bytes) -> dict[str, Any]:
    async def fetch(url: str) -> bytes:
        assert url == LIST_URL
        return data

    return {"fetch_status": fetch}


def presentation(*credentials: Any, holder: KeyPair = SUBJECT, holder_did: Did = SUBJECT_DID, **proof: Any) -> Any:
    document = build_presentation(holder=holder_did, credentials=credentials, presentation_id="urn:uuid:7")
    options = {"purpose": "authentication", "challenge": "c-1", "domain": "verifier.example", **proof}
    return signed(document, holder, **options)


@pytest.mark.parametrize("suite", ["eddsa-jcs-2022", "eddsa-rdfc-2022"])
@pytest.mark.parametrize("form", ["document", "text", "bytes"])
def test_a_good_credential_passes_every_check(suite: Any, form: str) -> None:
    document: Any = signed(credential(valid_until_s=NOW_S + 60), suite=suite)
    value = {"document": document, "text": json.dumps(document), "bytes": orjson.dumps(document)}[form]
    outcome = verified(value)
    assert [check.name for check in outcome.checks] == NAMES
    assert failures(outcome) == {}
    answer = outcome.to_json()
    assert answer["valid"] is True
    assert answer["errors"] == []
    assert answer["checks"][2]["detail"].startswith(suite)


def test_a_failure_names_its_code_and_what_to_do() -> None:
    document = signed(credential())
    document["credentialSubject"]["reputationScore"] = 0.9
    answer = verified(document).to_json()
    assert answer["valid"] is False
    (error,) = answer["errors"]
    assert (error["code"], bool(error["hint"])) == (40165, True)
    assert [check["name"] for check in answer["checks"] if not check["ok"]] == ["signature"]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (b"\xff", "MalformedCredential"),
        ("nothing", "MalformedCredential"),
        ("{", "MalformedCredential"),
        ({}, "MalformedCredential"),
        ({"@context": [CREDENTIALS_V2], "type": "VerifiableCredential"}, "MalformedCredential"),
        (b'{"a": "' + b"x" * 10_000_000 + b'"}', "CredentialTooLarge"),
        ({"a": [[]] * bounds.MAX_VALUES}, "CredentialTooLarge"),
    ],
)
def test_what_cannot_be_read_fails_by_parse_alone(value: Any, error: str) -> None:
    outcome = verified(value)
    assert failures(outcome) == {"parse": error}
    assert outcome.document is None


def test_deep_nesting_fails_by_parse() -> None:
    nested: Any = []
    for _ in range(500):
        nested = [nested]
    assert failures(verified({**credential(), "evidence": nested})) == {"parse": "CredentialTooLarge"}


def test_without_a_signature() -> None:
    assert failures(verified(credential())) == {
        "signature": "Unsigned",
        "issuer": "WrongIssuer",
        "purpose": "WrongIssuer",
    }


def test_signed_by_somebody_else_in_the_issuers_name() -> None:
    found = failures(verified(signed(credential(), STRANGER)))
    assert found == {"issuer": "WrongIssuer"}


def test_a_key_that_the_issuers_document_does_not_list() -> None:
    document = signed(credential(), STRANGER, verification_method=f"{ISSUER_DID}#{STRANGER_DID[8:]}")
    assert failures(verified(document))["signature"] == "WrongIssuer"


def test_a_key_that_is_not_for_assertions() -> None:
    async def only_authentication(did: Did) -> DidDocument:
        found = await resolve(did)
        return DidDocument(did, found.authentication, found.key_agreement)

    outcome = verified(signed(credential()), resolve=only_authentication)
    assert failures(outcome) == {"purpose": "WrongIssuer"}


def test_a_proof_for_another_purpose() -> None:
    assert failures(verified(signed(credential(), purpose="authentication"))) == {"purpose": "WrongIssuer"}


def test_a_did_that_does_not_resolve() -> None:
    async def no(did: Did) -> DidDocument:
        raise UnsupportedKey("no")

    found = failures(verified(signed(credential()), resolve=no))
    assert found == {"signature": "UnsupportedKey", "purpose": "WrongIssuer"}


def test_several_proofs_each_have_to_hold() -> None:
    both = signed(signed(credential()), STRANGER)
    assert failures(verified(both)) == {}
    broken = json.loads(json.dumps(both))
    broken["proof"][1]["created"] = "2027-01-14T08:00:00Z"
    assert failures(verified(broken))["signature"] == "ProofInvalid"
    odd = json.loads(json.dumps(both))
    odd["proof"][1]["cryptosuite"] = "bbs-2023"
    assert failures(verified(odd))["signature"] == "UnsupportedProof"


@pytest.mark.parametrize(
    ("more", "proof", "error"),
    [
        ({"valid_from_s": NOW_S + bounds.CLOCK_SKEW_S + 1}, {}, "NotYetValid"),
        ({"valid_until_s": NOW_S - 1}, {}, "CredentialExpired"),
        ({}, {"created_s": NOW_S + bounds.CLOCK_SKEW_S + 1}, "NotYetValid"),
        ({}, {"expires": "2027-01-15T07:59:59Z"}, "CredentialExpired"),
    ],
)
def test_times(more: dict[str, Any], proof: dict[str, Any], error: str) -> None:
    assert failures(verified(signed(credential(**more), **proof))) == {"times": error}
    assert failures(verified(signed(credential(valid_from_s=NOW_S + 10)))) == {}


def test_an_unknown_context_is_refused_and_never_fetched() -> None:
    document = {**credential(), "@context": [CREDENTIALS_V2, "https://attacker.example/context"]}
    assert failures(verified(signed(document))) == {"context": "ContextUnknown"}
    rdf = signed(credential(), suite="eddsa-rdfc-2022")
    rdf["@context"] = document["@context"]
    assert failures(verified(rdf)) == {"context": "ContextUnknown", "signature": "ContextUnknown"}


def test_a_claim_renamed_by_a_context_in_the_document() -> None:
    """RDF signs meanings, not names: a context inside could call the signed score something else."""
    document = signed(credential(), suite="eddsa-rdfc-2022")
    score = "https://pagi.ai/ns/credentials#reputationScore"
    document["@context"] = [*document["@context"], {"harmless": score}]
    assert failures(verified(document))["context"] == "MalformedCredential"


def test_the_status_list_decides() -> None:
    document = signed(credential(status=status_of(77)))
    assert failures(verified(document, **with_list(status_list(76, 78)))) == {}
    assert failures(verified(document, **with_list(status_list(77)))) == {"status": "CredentialRevoked"}
    suspended = signed(credential(status=status_of(77, "suspension")))
    data = status_list(77, purpose="suspension")
    assert failures(verified(suspended, **with_list(data))) == {"status": "CredentialRevoked"}


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (status_list(keys=STRANGER, issuer=STRANGER_DID), "StatusListForeign"),
        (status_list(keys=STRANGER), "WrongIssuer"),
        (status_list(id="https://issuer.example/credentials/status/2"), "StatusListMalformed"),
        (status_list(purpose="suspension"), "StatusListMalformed"),
        (status_list(now_s=NOW_S - 7200), "CredentialExpired"),
        (status_list(now_s=NOW_S + 7200), "NotYetValid"),
        (orjson.dumps(credential(credential_id=LIST_URL)), "Unsigned"),
        (orjson.dumps(signed(credential(credential_id=LIST_URL))), "StatusListMalformed"),
        (b"nothing", "MalformedCredential"),
        (status_list().replace(b"encodedList", b"otherMember"), "ProofInvalid"),
    ],
    ids=lambda value: value if isinstance(value, str) else "list",
)
def test_status_lists_that_are_not_believed(data: bytes, error: str) -> None:
    document = signed(credential(status=status_of(77)))
    assert failures(verified(document, **with_list(data))) == {"status": error}


def test_a_list_of_an_issuer_that_the_caller_trusts() -> None:
    document = signed(credential(status=status_of(77)))
    data = status_list(keys=STRANGER, issuer=STRANGER_DID)
    assert failures(verified(document, **with_list(data), trusted_status_issuers={STRANGER_DID})) == {}


def test_an_index_outside_of_the_list_or_a_status_that_cannot_be_had() -> None:
    far = signed(credential(status=status_of(bounds.MIN_STATUS_BITS)))
    assert failures(verified(far, **with_list(status_list()))) == {"status": "StatusIndexOutOfRange"}
    document = signed(credential(status=status_of(77)))
    assert failures(verified(document)) == {"status": "Unavailable"}

    async def gone(url: str) -> bytes:
        raise Unavailable("gone")

    assert failures(verified(document, fetch_status=gone)) == {"status": "Unavailable"}
    odd = signed(credential(status={"type": "RevocationList2020Status"}))
    assert failures(verified(odd)) == {"status": "MalformedCredential"}


def test_messages_do_not_make_a_credential_invalid() -> None:
    entry = {
        **status_of(5, "message"),
        "statusMessage": [{"status": "0x0", "message": "open"}, {"status": "0x1", "message": "done"}],
    }
    outcome = verified(signed(credential(status=entry)), **with_list(status_list(5, purpose="message")))
    assert failures(outcome) == {}
    assert outcome.checks[6].detail == "message: done"


def test_our_types_are_held_against_our_schemas_whatever_they_name() -> None:
    document = credential()
    del document["credentialSchema"]
    document["credentialSubject"]["reputationScore"] = 7
    assert failures(verified(signed(document))) == {"schema": "SchemaMismatch"}


def test_schemas_of_others_come_from_the_caller() -> None:
    schema = {"id": "https://schemas.example/s.json", "type": "JsonSchema"}
    document = signed({**credential(types=("Friend",), claims={"since": 2020}), "credentialSchema": schema})
    assert failures(verified(document)) == {"schema": "Unavailable"}

    def source(data: bytes) -> dict[str, Any]:
        async def fetch(url: str) -> bytes:
            assert url == schema["id"]
            return data

        return {"fetch_schema": fetch}

    assert failures(verified(document, **source(b'{"required": ["credentialSubject"]}'))) == {}
    assert failures(verified(document, **source(b'{"required": ["absent"]}'))) == {"schema": "SchemaMismatch"}
    assert failures(verified(document, **source(b"{"))) == {"schema": "MalformedCredential"}
    odd = signed({**credential(), "credentialSchema": {"id": "x", "type": "SomeOther"}})
    assert failures(verified(odd)) == {}


@pytest.mark.parametrize("suite", ["eddsa-jcs-2022", "eddsa-rdfc-2022"])
def test_a_good_presentation(suite: Any) -> None:
    value = presentation(signed(credential(), suite=suite), suite=suite)
    outcome = verified(value, challenge="c-1", domain="verifier.example")
    assert failures(outcome) == {}
    names = [check.name for check in outcome.checks]
    assert names[:8] == ["parse", "context", "signature", "holder", "purpose", "times", "challenge", "domain"]
    assert names[8:] == [f"credentials.0.{name}" for name in [*NAMES, "binding"]]


def test_a_presentation_shown_again_to_somebody_else() -> None:
    value = presentation(signed(credential()))
    assert failures(verified(value, challenge="c-2")) == {"challenge": "ChallengeMismatch"}
    assert failures(verified(value, domain="other.example")) == {"domain": "DomainMismatch"}
    silent = presentation(signed(credential()), challenge=None, domain=None)
    assert failures(verified(silent, challenge="c-1", domain="d")) == {
        "challenge": "ChallengeMismatch",
        "domain": "DomainMismatch",
    }
    assert failures(verified(silent)) == {}


def test_a_presentation_by_whom_the_credential_is_not_about() -> None:
    value = presentation(signed(credential()), holder=STRANGER, holder_did=STRANGER_DID)
    assert failures(verified(value)) == {"credentials.0.binding": "WrongHolder"}
    bearer = signed(credential(types=("Ticket",), claims={"seat": "5"}, subject=None))
    assert failures(verified(presentation(bearer, holder=STRANGER, holder_did=STRANGER_DID))) == {}


def test_a_presentation_signed_for_another_holder_or_purpose() -> None:
    stolen = presentation(signed(credential()), holder=STRANGER)
    assert failures(verified(stolen)) == {"holder": "WrongHolder"}
    asserted = presentation(signed(credential()), purpose="assertionMethod")
    assert failures(verified(asserted)) == {"purpose": "WrongIssuer"}


def test_a_challenge_answered_by_somebody_else_does_not_count() -> None:
    value = presentation(signed(credential()), challenge="c-1")
    both = signed(value, STRANGER, purpose="authentication", challenge="c-2")
    assert failures(verified(both, challenge="c-2")) == {"challenge": "ChallengeMismatch"}


def test_each_credential_of_a_presentation_is_checked_by_itself() -> None:
    good, bad = signed(credential()), signed(credential(valid_until_s=NOW_S - 1))
    bad["credentialSubject"] = {**bad["credentialSubject"], "reputationScore": 1}
    value = presentation(good, bad, "not.a.jwt")
    found = failures(verified(value))
    assert found == {
        "credentials.1.signature": "ProofInvalid",
        "credentials.1.times": "CredentialExpired",
        "credentials.2.parse": "MalformedCredential",
    }


def test_a_presentation_without_a_holder_is_by_whoever_signed() -> None:
    document = build_presentation(holder=SUBJECT_DID, credentials=[signed(credential())], presentation_id="urn:uuid:7")
    del document["holder"]
    assert failures(verified(signed(document, SUBJECT, purpose="authentication"))) == {}


def test_the_callers_contexts_take_the_place_of_ours() -> None:
    verifier = Verifier(resolve=resolve, contexts={})
    outcome = asyncio.run(verifier.verify(signed(credential()), now_s=NOW_S))
    assert failures(outcome) == {"context": "ContextUnknown"}
