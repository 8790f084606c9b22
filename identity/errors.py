"""Errors of the identity room, and the root that every room's errors share.

PagiError                       code, hint: what the API and the CLI show
├── IdentityError
│   ├── MalformedMultibase      40001  text that is not the multibase it claims to be
│   ├── MalformedCid            40002
│   ├── MalformedDid            40003
│   ├── UnsupportedKey          40004  a key type or a low-order point that we refuse
│   ├── UnsignableArtifact      40005  JSON that has no canonical form
│   └── BadSignature            40101
└── KeystoreError
    ├── KeystoreMissing         40411
    ├── KeystoreExists          40911
    ├── WrongPassphrase         40111
    ├── PassphraseNeeded        40112
    ├── PassphraseUnfit         40013  too short or too long to seal with
    └── KeystoreDamaged         50011
"""

from typing import ClassVar


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
    hint = "Use a did:key of an Ed25519 key, such as 'did:key:z6Mk…'."


class UnsupportedKey(IdentityError):
    code = 40004
    hint = "Use an Ed25519 or X25519 key that is not of low order."


class UnsignableArtifact(IdentityError):
    code = 40005
    hint = "Use whole numbers below 2^53, no NaN or infinity, and valid Unicode; write other numbers as text."


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
