"""Every bound on credentials from outside, each with its reason. A bound is checked before the work that it bounds.

They stand here and not in `protocols/limits.py` because this room lies below that one.
"""

from typing import Final

MAX_CREDENTIAL_BYTES: Final = 256 * 1024
"""A credential or presentation as JSON or JWT. Ours have 1 to 8 KiB; a status list's own has at most 30 KiB."""

MAX_DEPTH: Final = 32
"""Nested arrays and objects. A presentation of credentials with evidence has about 10."""

MAX_VALUES: Final = 4096
"""Values in one document, counted over all levels: canonical JSON of so many takes some milliseconds."""

MAX_TEXT_CHARS: Final = 64 * 1024
"""One text inside: an encoded status list without compression has 22,000."""

MAX_RDF_VALUES: Final = 1024
"""Values in a document that is turned into RDF: JSON-LD costs some 50 µs for each."""

MAX_BLANK_NODES: Final = 64
"""Objects without an id in the RDF form, ours have about 5. What look alike are told apart by trying their orders."""

MAX_HASH_STEPS: Final = 8192
"""Steps of the Hash N-Degree Quads algorithm (RDFC-1.0, section 7.1), each order that is tried among them: some 20 ms.
Without a bound, a poison graph of 20 nodes takes years."""

MAX_PERMUTED: Final = 5
"""Blank nodes that look alike and hang on one: 120 orders."""

MAX_CONTEXTS: Final = 8
"""Contexts of one document."""

MAX_TYPES: Final = 16
"""Types of one credential."""

MAX_PROOFS: Final = 8
"""Proofs on one document: each costs a canonicalisation and a signature check."""

MAX_SUBJECTS: Final = 16
"""Subjects of one credential."""

MAX_STATUSES: Final = 4
"""Status entries of one credential; each may cost a fetch."""

MAX_SCHEMAS: Final = 4
"""Schemas of one credential; each may cost a fetch."""

MAX_SCHEMA_BYTES: Final = 64 * 1024
"""A schema that is fetched. Ours have 1 KiB."""

MAX_SCHEMA_MISTAKES: Final = 3
"""Mistakes against a schema that are named."""

MAX_PRESENTED: Final = 16
"""Credentials in one presentation: each is checked whole."""

MAX_URI_CHARS: Final = 2560
"""An id, a context, a verification method: a DID URL of a DID with 2,048 characters."""

MAX_LABEL_CHARS: Final = 256
"""A type, a challenge, a domain, a purpose."""

MAX_PROOF_CHARS: Final = 128
"""A proof value: 64 bytes have at most 89 characters in base58btc."""

MAX_JWT_HEADER_BYTES: Final = 8 * 1024
"""The protected header of a JWT."""

MIN_STATUS_BITS: Final = 131_072
"""The least length of a status list (Bitstring Status List 1.0, section 6.1): a credential hides among so many."""

MAX_STATUS_BITS: Final = 8 * 1024 * 1024
"""The longest status list that is read, one MiB unpacked: 64 times the least."""

MAX_STATUS_SIZE: Final = 8
"""Bits of one entry: more states than any message list needs."""

CLOCK_SKEW_S: Final = 300
"""How far another machine's clock may differ: a credential that was just issued is valid at once."""
