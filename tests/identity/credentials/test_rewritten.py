"""The same RDF, written differently: the signature of an eddsa-rdfc-2022 proof still holds, so what is read must too.

A name can be written out as an IRI, a member as a keyword. A reader that looks for `credentialStatus` would find none
in a credential that was revoked, although every statement of it is still signed.
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.identity.credentials.support import NOW_S, STRANGER, STRANGER_DID, credential, failures, signed, verified
from tests.identity.credentials.test_verify import presentation, status_list, status_of, with_list

RDFC: Any = "eddsa-rdfc-2022"
CRED = "https://www.w3.org/2018/credentials#"
DATE = "http://www.w3.org/2001/XMLSchema#dateTime"


def without_status(document: dict[str, Any]) -> None:
    document[f"{CRED}credentialStatus"] = document.pop("credentialStatus")


def without_end(document: dict[str, Any]) -> None:
    document[f"{CRED}validUntil"] = {"@value": document.pop("validUntil"), "@type": DATE}


def without_schema(document: dict[str, Any]) -> None:
    document[f"{CRED}credentialSchema"] = document.pop("credentialSchema")


def about_nobody(document: dict[str, Any]) -> None:
    subject = document["credentialSubject"]
    subject["@id"] = subject.pop("id")


def proof_without_end(document: dict[str, Any]) -> None:
    proof = document["proof"]
    proof["https://w3id.org/security#expiration"] = {"@value": proof.pop("expires"), "@type": DATE}


@pytest.mark.parametrize("rewrite", [without_status, without_end, without_schema, about_nobody])
@pytest.mark.parametrize("suite", [RDFC, "eddsa-jcs-2022"])
def test_a_member_that_is_written_as_an_iri_or_a_keyword_is_refused(
    suite: Any, rewrite: Callable[[dict[str, Any]], None]
) -> None:
    document = signed(credential(status=status_of(7), valid_until_s=NOW_S + 9), suite=suite)
    lists = with_list(status_list(8))
    assert failures(verified(document, **lists)) == {}
    written = copy.deepcopy(document)
    rewrite(written)
    assert "signature" in failures(verified(written, **lists))


def test_a_revoked_credential_that_has_expired_does_not_become_valid_by_writing_it_differently() -> None:
    document = signed(credential(status=status_of(7), valid_until_s=NOW_S - 9), suite=RDFC)
    assert {"times", "status"} <= failures(verified(document, **with_list(status_list(7)))).keys()
    without_status(document)
    without_end(document)
    assert not verified(document, **with_list(status_list(7))).valid


def test_a_proof_that_has_expired_does_not_become_valid_by_writing_it_differently() -> None:
    document = signed(credential(), suite=RDFC, expires="2020-01-01T00:00:00Z")
    assert not verified(document).valid
    proof_without_end(document)
    assert not verified(document).valid


def test_nobody_presents_somebody_elses_credential_by_writing_its_subject_differently() -> None:
    document = signed(credential(types=("Membership",), claims={"member": "since 2020"}), suite=RDFC)
    asked: dict[str, Any] = {"challenge": "c-1", "domain": "verifier.example"}
    assert verified(presentation(document), **asked).valid
    about_nobody(document)
    assert not verified(presentation(document, holder=STRANGER, holder_did=STRANGER_DID), **asked).valid


def test_values_in_a_language_are_read_as_before() -> None:
    named = {**credential(), "name": {"@value": "Zeugnis", "@language": "de"}}
    assert failures(verified(signed(named, suite=RDFC))) == {}
