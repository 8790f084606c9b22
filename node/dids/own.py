"""The DIDs of this twin: its did:key, the other names of the same key, and the names that it had before.

One pair of keys has several names: the `did:key`, which is the twin's name everywhere; a `did:web` where a public URL
is configured; and a `did:peer:2` in each invitation, which carries the services of its day. A retired key still opens
messages that were on their way when it was replaced; nobody writes as it any more.

The ids of keys never change their meaning: in a did:web the present keys after n rotations are `#key-{2n+1}` (Ed25519)
and `#key-{2n+2}` (X25519), so that a sender who holds an old document is still understood.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlsplit

from identity.did import Did, DidDocument, Service, VerificationMethod, did_key, parse_did, resolve_did_key
from identity.did_peer import make_did_peer_2, resolve_did_peer
from identity.errors import MalformedDid
from identity.keys import KeyPair
from node.clock import NowMs, now_ms
from protocols.didcomm.author import AgreementKey, Author, author_of
from storage import successions as rows
from storage.database import Database


class OwnDids:
    """Everything that is ours by name. Made by `load`; without a database it hands out no did:peer."""

    def __init__(
        self,
        keys: KeyPair,
        *,
        retired: Sequence[KeyPair] = (),
        aliases: Sequence[Did] = (),
        rotations: int | None = None,
        database: Database | None = None,
        now: NowMs = now_ms,
    ) -> None:
        """`retired` are the keys before this one, oldest first; `aliases` are did:web or did:peer of any of them."""
        self.did: Final = did_key(keys.public)
        self.retired: Final = tuple(did_key(old.public) for old in retired)
        self._keys = keys
        self._rotations = len(retired) if rotations is None else rotations
        self._database = database
        self._now = now
        self._services: tuple[Service, ...] = ()
        self._authors: dict[Did, Author] = {}
        self._opens: dict[str, AgreementKey] = {}
        self._current: set[Did] = set()
        first = self._rotations - len(retired)  # how many rotations there had been before the oldest key held here
        self._held = {held.public: (held, count) for count, held in enumerate((*retired, keys), first)}
        for old in retired:
            self._learn(author_of(old), current=False)
        self._learn(author_of(keys), current=True)
        for alias in aliases:
            self._add_alias(alias)

    @classmethod
    async def load(
        cls,
        database: Database,
        keys: KeyPair,
        *,
        retired: Sequence[KeyPair] = (),
        rotations: int | None = None,
        web: Did | None = None,
        now: NowMs = now_ms,
    ) -> "OwnDids":
        """With every did:peer that was ever handed out. `web` is the did:web of the configured public URL."""
        handed_out = await database.read(lambda conn: rows.own_dids(conn, "peer"))
        aliases = (*handed_out, *((web,) if web is not None else ()))
        return cls(keys, retired=retired, aliases=aliases, rotations=rotations, database=database, now=now)

    def is_ours(self, did: Did) -> bool:
        """Whether this is a name of ours: current, another name of the same key, or retired."""
        return did in self._authors

    def author(self, did: Did | None = None) -> Author:
        """To write as. Another name of the present key keeps its own key ids; a retired one gives the present twin."""
        return self._authors[did if did is not None and did in self._current else self.did]

    def author_of_retired(self, did: Did) -> Author:
        """A retired name's author: to prove the change of name to somebody who knew it, and for nothing else."""
        return self._authors[did]

    def keys(self) -> Sequence[AgreementKey]:
        """Everything that opens a message to one of our names."""
        return tuple(self._opens.values())

    @property
    def services(self) -> tuple[Service, ...]:
        """Where this twin can be written to besides its announced addresses: a public listener, mediators."""
        return self._services

    def set_services(self, services: Sequence[Service]) -> None:
        """From now on documents and invitations carry these."""
        self._services = tuple(services)

    def document(self) -> DidDocument:
        """The document of our did:key, with the services as they are now known."""
        return replace(resolve_did_key(self.did), services=_services_of(self.did, self._services))

    @property
    def web(self) -> Did | None:
        """Our did:web, if a public URL is configured."""
        return next((did for did in self._current if did.startswith("did:web:")), None)

    @property
    def current(self) -> AbstractSet[Did]:
        """Every name of the present key."""
        return self._current

    def web_document(self) -> Mapping[str, Any] | None:
        """The did.json of our did:web: the keys that we hold now, under its own key ids."""
        if self.web is None:
            return None
        document = _web_document_of(self.web, self._keys, self._rotations)
        document = replace(document, services=_services_of(self.web, self._services))
        return {**document.to_json(), "alsoKnownAs": [self.did]}

    async def peer_did(self) -> Did:
        """A did:peer:2 of our keys with the present services, for somebody who cannot resolve anything else.

        The same keys and services give the same DID. It is remembered for ever: messages to it may come late.
        """
        own = resolve_did_key(self.did)
        did = make_did_peer_2(own.authentication[0].public, own.key_agreement[0].public, self._services)
        if did not in self._authors:
            assert self._database is not None
            await self._database.write(partial(rows.put_own_did, did=did, kind="peer", created_ms=self._now()))
            self._add_alias(did)
        return did

    # How the names hang together

    def _add_alias(self, alias: Did) -> None:
        if alias.startswith("did:web:"):
            for keys, count in self._held.values():
                document = _web_document_of(alias, keys, count)
                self._learn(_author_in(document, keys), current=keys is self._keys)
            return
        document = resolve_did_peer(alias)
        held = self._held.get(document.authentication[0].public)
        if held is not None:  # the name of a key so old that it is not held any more is nobody's
            self._learn(_author_in(document, held[0]), current=held[0] is self._keys)

    def _learn(self, author: Author, *, current: bool) -> None:
        self._authors[author.did] = author
        self._opens.update((key.kid, key) for key in author.agreement)
        if current:
            self._current.add(author.did)


def did_web_of(url: str) -> Did:
    """The did:web of a public URL: `https://example.org:8443/twin` is `did:web:example.org%3A8443:twin`.

    Raises MalformedDid for a URL that no did:web can name.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not host or ":" in host or parts.query or parts.fragment:
        raise MalformedDid(f"no did:web names the URL {url[:200]!r}")
    if parts.port is not None:
        host = f"{host}%3A{parts.port}"
    path = [quote(part, safe="") for part in parts.path.split("/") if part]
    return parse_did(":".join(("did:web", host, *path)))


def _web_document_of(web: Did, keys: KeyPair, rotations: int) -> DidDocument:
    """A did:web's document with the keys that were ours after so many rotations."""
    own = resolve_did_key(did_key(keys.public))
    sign, agree = (
        VerificationMethod(f"{web}#key-{2 * rotations + number}", method.curve, method.public)
        for number, method in enumerate((own.authentication[0], own.key_agreement[0]), start=1)
    )
    return DidDocument(web, (sign,), (agree,), (sign,))


def _services_of(did: Did, services: Sequence[Service]) -> tuple[Service, ...]:
    """The services under ids of this DID: an id is absolute, and a document describes its own subject."""
    return tuple(replace(service, id=f"{did}#{service.id.rpartition('#')[2]}") for service in services)


def _author_in(document: DidDocument, keys: KeyPair) -> Author:
    """The author with the ids that a document gives to our keys."""
    own = resolve_did_key(did_key(keys.public)).key_agreement[0].public
    agreement = (AgreementKey(key.id, keys.agreement_secret) for key in document.key_agreement if key.public == own)
    signing = next(key.id for key in document.authentication if key.public == keys.public)
    return Author(document.did, tuple(agreement), signing, keys.sign)
