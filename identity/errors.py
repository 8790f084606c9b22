"""Errors of the identity room, and the root that every room's errors share.

PagiError                       code, hint: what the API and the CLI show
├── IdentityError
│   ├── MalformedMultibase      40001  text that is not the multibase it claims to be
│   ├── MalformedCid            40002
│   ├── MalformedDid            40003
│   ├── UnsupportedKey          40004  a key type or a low-order point that we refuse
│   │   └── UnknownKeyType      40008  a key of a type or curve that we do not speak
│   ├── UnsignableArtifact      40005  JSON that has no canonical form
│   ├── MalformedDocument       40006  not the DID document that it should be
│   ├── UnknownDidMethod        40007  a DID of a method that we do not resolve
│   ├── NotResolvedYet          50306  the document has to be fetched first; carries the DID
│   ├── UnresolvableDid         50207  the document cannot be had
│   ├── SuccessionRefused       40094  a claim that one DID took another's place, which does not hold
│   └── BadSignature            40101
└── KeystoreError
    ├── KeystoreMissing         40411
    ├── KeystoreExists          40911
    ├── WrongPassphrase         40111
    ├── PassphraseNeeded        40112
    ├── PassphraseUnfit         40013  too short or too long to seal with
    └── KeystoreDamaged         50011
"""

from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from identity.did import Did


class PagiError(Exception):
    """The root of every error that a person may see.

    `code` is stable: its first three digits are the HTTP status. `hint` says what to do next.
    """

    code: ClassVar[int] = 50000
    hint: ClassVar[str] = "Look at the log for the trace id."


class IdentityError(PagiError):
    """Something that names or proves a twin is not what it claims to be."""

    code = 40000
    hint = "Ask the sender for a correct value."


class MalformedMultibase(IdentityError):
    code = 40001
    hint = "Use base58btc ('z…'), base32 lower case ('b…') or base64url ('u…')."


class MalformedCid(IdentityError):
    code = 40002
    hint = "Use a CIDv1 (or a CIDv0) with a sha2-256 hash, such as 'bafkrei…'."


class MalformedDid(IdentityError):
    code = 40003
    hint = "Write the DID whole and without '#', '?' or '/'; a twin's own looks like 'did:key:z6Mk…'."


class UnsupportedKey(IdentityError):
    code = 40004
    hint = "Use a key on the curve that it names and not of low order; twins sign with Ed25519."


class UnknownKeyType(UnsupportedKey):
    code = 40008
    hint = "Use a key on Ed25519, X25519, P-256, P-384, P-521 or secp256k1."


class UnsignableArtifact(IdentityError):
    code = 40005
    hint = "Use whole numbers below 2^53, no NaN or infinity, and valid Unicode; write other numbers as text."


class MalformedDocument(IdentityError):
    code = 40006
    hint = "Whoever the DID belongs to must publish a correct DID document (DID Core 1.0)."


class UnknownDidMethod(IdentityError):
    code = 40007
    hint = "Use a did:key, did:peer (2 or 4) or did:web."


class NotResolvedYet(IdentityError):
    """The document of `did` is not at hand: resolve it, then repeat what needed it."""

    code = 50306
    hint = "Try again in a few seconds; `pagi resolve DID` shows whether the document can be had."

    def __init__(self, did: "Did") -> None:
        super().__init__(f"the document of {did[:120]!r} is not at hand")
        self.did: Final = did


class UnresolvableDid(IdentityError):
    code = 50207
    hint = "Check the DID, and that its host can be reached from here; a failure is remembered for a minute."


class SuccessionRefused(IdentityError):
    code = 40094
    hint = "Nothing was changed. Ask the twin's owner by another way whether its key was replaced."


class BadSignature(IdentityError):
    code = 40101
    hint = "The content was changed, or another key signed it: do not use it."


class KeystoreError(PagiError):
    """The keystore file cannot give us our key."""

    code = 50010
    hint = "Check the file identity.json in the twin's home."


class KeystoreMissing(KeystoreError):
    code = 40411
    hint = "Run `pagi init` to make a home, or name another one with --home."


class KeystoreExists(KeystoreError):
    code = 40911
    hint = "This home already has an identity. Use it, or name another home with --home."


class WrongPassphrase(KeystoreError):
    code = 40111
    hint = "Try the passphrase again. Without it the key cannot be recovered; restore a backup instead."


class PassphraseNeeded(KeystoreError):
    code = 40112
    hint = "Name a file that holds the passphrase with --passphrase-file, or start the twin from a terminal."


class PassphraseUnfit(KeystoreError):
    code = 40013
    hint = "Choose a passphrase of 8 to 1024 characters; several words are easier to keep than signs."


class KeystoreDamaged(KeystoreError):
    code = 50011
    hint = "Restore identity.json from a backup."
