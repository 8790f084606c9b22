import os

from identity.did import did_key
from identity.keys import KeyPair, verify
from protocols.didcomm.author import AgreementKey, Author, agreement_keys, as_author, author_of

KEYS = KeyPair(os.urandom(32))


def test_the_author_of_a_key_pair_is_its_did_key() -> None:
    author = author_of(KEYS)
    assert author.did == did_key(KEYS.public)
    assert author.signing_kid.startswith(f"{author.did}#z6Mk")
    verify(KEYS.public, b"data", author.sign(b"data"))
    assert author_of(KEYS) is as_author(KEYS) is as_author(author)


def test_every_form_of_our_own_gives_its_keys() -> None:
    alias = AgreementKey("did:web:example.org#1", os.urandom(32), "P-256")
    author = Author(alias.did, (alias,), "did:web:example.org#0", KEYS.sign)
    assert list(agreement_keys([KEYS, author, alias])) == [*author_of(KEYS).agreement, alias, alias]


def test_secrets_are_never_shown() -> None:
    author = author_of(KEYS)
    shown = repr(author)
    assert author.did in shown
    for secret in (KEYS.agreement_secret, KEYS.seed):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
    assert "sign=" not in shown
