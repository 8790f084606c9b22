"""Every bound on what comes from outside, each with its reason.

Sizes are in bytes, times in seconds unless the name says otherwise. A bound is checked before the work that it bounds.
"""

from typing import Final

# Encoding

MAX_JSON_DEPTH: Final = 64
"""Nested arrays and objects in JSON from outside. Nothing that we read needs 16, and no parser's stack is near."""

MAX_ID_CHARS: Final = 256
"""A message or thread id. A UUID has 36 characters; ids are kept for the replay window, so they must be small."""

MAX_URI_CHARS: Final = 512
"""A message type URI. Ours have about 40 characters."""

MAX_KID_CHARS: Final = 2200
"""A key id is a DID of at most 2,048 characters, '#' and a fragment; a did:key's has 106."""

# DIDComm envelopes

MAX_DIDCOMM_BYTES: Final = 1024 * 1024
"""A packed message on any transport. Large content never travels in a message: the message carries a CID."""

MAX_PLAINTEXT_BYTES: Final = 512 * 1024
"""A plaintext message to be packed. Base64 inside base64 (signed inside encrypted) grows it to 16/9, which still fits
MAX_DIDCOMM_BYTES with all headers."""

MAX_RECIPIENTS: Final = 64
"""Recipient entries of one envelope. One DID has a handful of keys; each entry costs a hash input on our side."""

MAX_NESTING: Final = 3
"""Envelopes around one message: anoncrypt(authcrypt(signed(message))) is the deepest that DIDComm v2.1 names."""

MAX_HEADER_BYTES: Final = 8 * 1024
"""The decoded protected header of a JWE or JWS: two key ids at their longest, an ephemeral key and a hash."""

MAX_CACHED_SECRETS: Final = 4096
"""Pairs (own key, other key) whose static X25519 secret is kept: a scalar multiplication saved for 64 bytes each."""

# Time

CLOCK_SKEW_S: Final = 300
"""How far ahead of our clock a `created_time` may be: home computers without time synchronisation drift by minutes."""

REPLAY_WINDOW_S: Final = 7 * 24 * 3600
"""How old a message may be. Ids seen within it are remembered, so a replay is either known or too old. A week lets a
laptop that was closed over a holiday still get its mail."""

# Gossip and catch-up

MAX_GOSSIP_BYTES: Final = 64 * 1024
"""A gossiped message, packed: each peer of the mesh sends it on, and libp2p drops frames over 1 MiB without a word."""

MAX_BLOCK_BYTES: Final = 1024 * 1024
"""A block that we store. IPFS implementations exchange at most 1–2 MiB."""

MAX_EXCHANGED_BLOCK_BYTES: Final = 512 * 1024
"""A block that libp2p's bitswap carries: it refuses larger ones."""

MAX_REVISION_BYTES: Final = 256 * 1024
"""One block of a playbook revision: half of what bitswap carries, and the chunk size of every IPFS implementation."""

MAX_SYNC_RESPONSE_BYTES: Final = 1024 * 1024
"""One answer of /pagi/sync/1.0: 16 gossip messages of the largest size."""

MAX_SYNC_MESSAGES: Final = 512
"""Messages in one sync answer: each costs a signature check of about 0.1 ms, so an answer costs at most 50 ms."""

MAX_SYNC_ROUNDS: Final = 64
"""Answers taken from one peer in one go: more than a full table of 20,000 messages needs."""

# Rates and queues

DIDCOMM_RATE_PER_S: Final = 1000.0
"""Private messages taken from one peer. Twice what one pair of twins must reach durably; a flood is held to it."""

DIDCOMM_BURST: Final = 2000
"""Private messages taken from one peer at once: what an outbox has gathered while the peer was away."""

GOSSIP_RATE_PER_S: Final = 20.0
"""Public messages taken from one author. A twin announces itself every 5 minutes and a head on each change."""

GOSSIP_BURST: Final = 200
"""Public messages taken from one author at once: announcements, heads and tasks of a busy twin that comes back."""

MAX_RATED_KEYS: Final = 16384
"""Peers or authors whose rate is tracked, about 200 bytes each; the one that was silent longest is forgotten first."""

MAX_STRANGER_REQUESTS: Final = 5
"""First messages kept from a DID that nobody here has named: enough to introduce oneself, too few to fill a disk."""

MAX_ALL_REQUESTS: Final = 1000
"""First messages kept from all strangers together: new DIDs cost nothing, so the share of each one is no bound."""

MAX_STRANGER_MESSAGE_BYTES: Final = 64 * 1024
"""A packed first message: with MAX_ALL_REQUESTS, strangers can fill 64 MB of a disk and no more."""

MAX_IN_FLIGHT_PER_PEER: Final = 64
"""Requests of one peer that are handled at once; the rest waits in its stream, under the transport's backpressure."""

# The owner's API

MAX_API_BODY_BYTES: Final = 1024 * 1024
"""The body of one HTTP request to the owner's API, files apart."""

# Playbook revisions, swarm, task and sync messages

MAX_CBOR_ITEMS: Final = 32 * 1024
"""Values in one dag-cbor document. A revision with every operation it may hold has fewer than 10,000; counting this
many takes some 10 ms, which bounds what hostile bytes can cost."""

MAX_ENVELOPE_BYTES: Final = 512
"""The dag-jose block of a revision: one CID, one key id and one signature are about 310 bytes."""

MAX_PARENTS: Final = 64
"""Heads that one revision joins, and heads named in one update. More are joined in two steps."""

MAX_OPS: Final = 256
"""Operations of one revision: what a person can still review."""

MAX_TEXT_BYTES: Final = 4 * 1024
"""A bullet's text or a revision's critique. Bullets go into prompts, so they must stay short."""

MAX_SECTION_CHARS: Final = 64
"""The section that a bullet stands in: a heading."""

MAX_TAGS: Final = 16
"""Tags of one bullet."""

MAX_TAG_CHARS: Final = 64
"""One tag: a word or two."""

MAX_EVIDENCE: Final = 32
"""What a revision was learnt from: CIDs, or ids of messages and jobs."""

MAX_EVIDENCE_CHARS: Final = 256
"""An id in the evidence, as long as a message id may be."""

MAX_COUNT_STEP: Final = 1000
"""How far one operation may raise a bullet's counter: no single revision drowns what all others have counted."""

MAX_VALUE_BYTES: Final = 4 * 1024
"""A setting's value, or a tool's description with its JSON Schema, encoded."""

MAX_VALUE_DEPTH: Final = 12
"""Nesting of such a value. A JSON Schema for a tool's parameters needs about 8."""

MAX_REVISION_DEPTH: Final = MAX_VALUE_DEPTH + 3
"""Nesting of a revision: the revision, its operations, one operation, and that one's value."""

MAX_METRIC_SUM: Final = 1e15
"""What one operation may add to a metric: millions of those still add up exactly and far from overflow."""

MAX_METRIC_COUNT: Final = 10**9
"""How many observations one operation may report."""

MAX_TWIN_NAME_CHARS: Final = 64
"""The name that an owner gives a twin: one line in a list."""

MAX_ADDRESSES: Final = 16
"""Addresses that a twin announces: a few interfaces, transports and relays."""

MAX_ADDRESS_CHARS: Final = 256
"""One multiaddr; through a relay it holds two peer IDs and has about 180 characters."""

MAX_CAPABILITIES: Final = 32
"""Kinds of work that a twin announces."""

MAX_CAPABILITY_CHARS: Final = 64
"""One of them: a word such as `research`."""

MAX_TOPICS: Final = 16
"""Subjects that a twin says it can be asked about."""

MAX_TOPIC_CHARS: Final = 48
"""One subject: a word or two."""

MAX_VERSION_CHARS: Final = 64
"""A program's version."""

MAX_QUESTION_BYTES: Final = 16 * 1024
"""A question to another twin: what fits into a small model's context with room for memories."""

MAX_ANSWER_BYTES: Final = 64 * 1024
"""An answer: many times what a local model writes."""

MAX_SOURCES: Final = 16
"""Memories named in one answer."""

MAX_SOURCE_BYTES: Final = 2 * 1024
"""What is quoted of one memory."""

MAX_MEMORY_ID_CHARS: Final = 128
"""A memory's id: a UUID or a CID."""

MAX_MODEL_NAME_CHARS: Final = 128
"""The name of the model that wrote an answer."""

MAX_SYNC_REQUEST_BYTES: Final = 64
"""A sync request: two numbers."""
