import asyncio
from pathlib import Path

import pytest
from nacl.bindings import crypto_scalarmult_base

from identity.did import DIDCOMM_SERVICE, Did, Endpoint, Service, did_key, resolve_did_key
from identity.did_peer import resolve_did_peer
from identity.errors import MalformedDid
from identity.keys import agreement_key_of
from node.dids.own import OwnDids, did_web_of
from storage.database import Database
from tests.node.parts import new_did, new_keys

WEB = Did("did:web:example.org%3A8443:twin")
OLD, KEYS = new_keys(), new_keys()
HOME = Service(f"{did_key(KEYS.public)}#didcomm-0", DIDCOMM_SERVICE, (Endpoint("https://example.org/didcomm"),))


def secrets_of(own: OwnDids) -> dict[str, bytes]:
    held = own.keys()
    return {key.kid: key.secret for key in held}


def test_a_twin_without_other_names() -> None:
    own = OwnDids(KEYS)
    document = resolve_did_key(own.did)
    assert own.is_ours(own.did)
    assert not own.is_ours(new_did())
    assert own.author() == own.author(own.did) == own.author(new_did())
    assert list(secrets_of(own)) == [document.key_agreement[0].id]
    assert own.document() == document
    assert own.web_document() is None


def test_the_document_carries_the_services_as_they_are_now() -> None:
    own = OwnDids(KEYS, aliases=[WEB])
    own.set_services([HOME])
    assert own.document().services == (HOME,)
    web = own.web_document()
    assert web is not None
    assert [service["id"] for service in web["service"]] == [f"{WEB}#didcomm-0"]
    own.set_services([])
    assert own.document().services == ()


def test_the_web_document_holds_our_present_keys_and_no_other() -> None:
    own = OwnDids(KEYS, retired=[OLD], aliases=[WEB])
    web = own.web_document()
    assert web is not None
    assert (web["id"], web["alsoKnownAs"]) == (WEB, [own.did])
    methods = {method["id"]: method["publicKeyMultibase"] for method in web["verificationMethod"]}
    signing, agreement = resolve_did_key(own.did).authentication[0], resolve_did_key(own.did).key_agreement[0]
    assert methods == {
        f"{WEB}#key-3": signing.id.partition("#")[2],
        f"{WEB}#key-4": agreement.id.partition("#")[2],
    }
    assert web["keyAgreement"] == [f"{WEB}#key-4"]


def test_key_ids_of_a_did_web_keep_their_meaning_when_the_key_is_replaced() -> None:
    before, after = OwnDids(OLD, aliases=[WEB]), OwnDids(KEYS, retired=[OLD], aliases=[WEB])
    assert before.author(WEB).agreement[0].kid == f"{WEB}#key-2"
    secrets = secrets_of(after)
    assert secrets[f"{WEB}#key-2"] == OLD.agreement_secret
    assert secrets[f"{WEB}#key-4"] == KEYS.agreement_secret
    forgetful = OwnDids(KEYS, retired=[], rotations=1, aliases=[WEB])
    assert f"{WEB}#key-4" in secrets_of(forgetful)
    assert f"{WEB}#key-2" not in secrets_of(forgetful)


def test_a_retired_name_is_ours_and_opens_but_nobody_writes_as_it() -> None:
    own = OwnDids(KEYS, retired=[OLD])
    old = did_key(OLD.public)
    assert own.is_ours(old)
    assert own.author(old).did == own.did
    assert own.retired == (old,)
    publics = {crypto_scalarmult_base(secret) for secret in secrets_of(own).values()}
    assert publics == {agreement_key_of(OLD.public), agreement_key_of(KEYS.public)}
    assert own.author_of_retired(old).signing_kid.startswith(old)


def test_an_alias_writes_with_its_own_key_ids() -> None:
    author = OwnDids(KEYS, aliases=[WEB]).author(WEB)
    assert (author.did, author.signing_kid) == (WEB, f"{WEB}#key-1")
    assert author.agreement[0].secret == KEYS.agreement_secret


def test_a_did_peer_is_remembered_for_ever_and_the_same_for_the_same_services(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database.open(tmp_path / "node.db") as database:
            own = await OwnDids.load(database, OLD)
            own.set_services([HOME])
            peer = await own.peer_did()
            assert peer == await own.peer_did()
            document = resolve_did_peer(peer)
            assert document.authentication[0].public == OLD.public
            assert document.services[0].endpoints == HOME.endpoints
            assert own.author(peer).did == peer
            assert own.author(peer).agreement[0].kid == document.key_agreement[0].id
            own.set_services([])
            other = await own.peer_did()
            assert other != peer
        async with Database.open(tmp_path / "node.db") as database:
            again = await OwnDids.load(database, OLD, web=WEB)
            assert all(again.is_ours(did) for did in (peer, other, WEB))
            rotated = await OwnDids.load(database, KEYS, retired=[OLD])
            assert rotated.is_ours(peer)
            assert rotated.author(peer).did == rotated.did, "a name of a retired key is retired too"
            assert document.key_agreement[0].id in secrets_of(rotated)
            strangers = await OwnDids.load(database, KEYS)
            assert not strangers.is_ours(peer)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "did"),
    [
        ("https://example.org", "did:web:example.org"),
        ("https://example.org/", "did:web:example.org"),
        ("https://example.org:8443/twin", "did:web:example.org%3A8443:twin"),
        ("http://127.0.0.1:9000/a/b/", "did:web:127.0.0.1%3A9000:a:b"),
    ],
)
def test_the_did_web_of_a_public_url(url: str, did: str) -> None:
    assert did_web_of(url) == did


@pytest.mark.parametrize("url", ["example.org", "ftp://example.org", "https://", "https://a.org/?q", "https://[::1]/"])
def test_a_url_that_no_did_web_can_name(url: str) -> None:
    with pytest.raises(MalformedDid):
        did_web_of(url)
