"""Rotation: a new key for a twin that is stopped, and the papers that the old key leaves behind.

The papers are what the old key signs, once: the credential, the public message that carries it, and the JWT of
`from_prior`. They lie in the keystore beside the retired key, so one rename of that file is the whole rotation; the
twin publishes them when it comes up (`node.dids.rotation_news`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from identity import keystore
from identity.did import Did, did_key
from identity.errors import KeystoreDamaged
from identity.keys import SEED_BYTES, KeyPair
from identity.keystore import Keystore, Retired
from identity.succession import make_succession
from node.clock import NowMs, now_ms
from node.ids import time_ordered_id
from protocols.didcomm.author import author_of
from protocols.didcomm.envelope import pack_signed
from protocols.didcomm.from_prior import make_from_prior
from protocols.message import Message
from protocols.succession import SUCCESSION, SuccessionNotice

_NAMES: Final = ("credential", "announcement", "from_prior")


@dataclass(frozen=True, slots=True)
class Papers:
    """What a retired key signed about its successor. `announcement` is the packed public message."""

    old: Did
    new: Did
    credential: Mapping[str, Any]
    announcement: bytes
    from_prior: str

    def to_texts(self) -> dict[str, str]:
        """As the keystore keeps them."""
        credential = orjson.dumps(self.credential).decode()
        return dict(zip(_NAMES, (credential, self.announcement.decode(), self.from_prior), strict=True))


def papers_of(retired: Retired) -> Papers:
    """Read them back. Raises KeystoreDamaged."""
    try:
        credential, announcement, from_prior = (retired.papers[name] for name in _NAMES)
        document = orjson.loads(credential)
        new = Did(document["credentialSubject"]["successor"])
    except (KeyError, TypeError, ValueError) as error:
        raise KeystoreDamaged("the papers of a retired key are damaged") from error
    return Papers(did_key(retired.keys.public), new, document, announcement.encode(), from_prior)


def draw_up(old: KeyPair, new: KeyPair, *, at_ms: int) -> Papers:
    """What the old key has to sign so that others follow the new one."""
    author, successor = author_of(old), did_key(new.public)
    credential = make_succession(old=old, new=new, now_s=at_ms // 1000)
    announcement = Message(
        id=time_ordered_id(at_ms),
        type=SUCCESSION,
        body=SuccessionNotice(credential["id"], credential).to_body(),
        from_=author.did,
        created_time=at_ms // 1000,
    )
    return Papers(
        old=author.did,
        new=successor,
        credential=credential,
        announcement=pack_signed(announcement, signer=old),
        from_prior=make_from_prior(old=author, new_did=successor, iat=at_ms // 1000),
    )


def rotate(path: Path, held: Keystore, *, passphrase: str | None, now: NowMs = now_ms) -> Did:
    """Give the keystore at `path` a new key, sealed by the same passphrase; the caller holds the home's lock.

    Whatever crashes, the twin is the old one or the new one. Raises KeystoreError.
    """
    seed = os.urandom(SEED_BYTES)
    new = KeyPair(seed)
    papers = draw_up(held.keys, new, at_ms=now())
    keystore.replace_key(path, held, seed, papers=papers.to_texts(), passphrase=passphrase)
    return papers.new
