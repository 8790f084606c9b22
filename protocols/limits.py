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

MAX_GOSSIP_BYTES: Final = 16 * 1024
"""A gossiped message, packed. The longest announcement that we make has 11 KiB; what is larger is content and travels
by its CID. Anybody can make authors, and thousands of these are held in memory and kept on disk."""

MAX_BLOCK_BYTES: Final = 1024 * 1024
"""A block that we store. IPFS implementations exchange at most 1–2 MiB."""

MAX_EXCHANGED_BLOCK_BYTES: Final = 512 * 1024
"""A block that libp2p's bitswap carries: it refuses larger ones."""

MAX_REVISION_BYTES: Final = 256 * 1024
"""One block of a playbook revision: half of what bitswap carries, and the chunk size of every IPFS implementation."""

MAX_SYNC_RESPONSE_BYTES: Final = 1024 * 1024
"""One answer of /pagi/sync/1.0: 64 gossip messages of the largest size, 512 of the usual one."""

MAX_SYNC_MESSAGES: Final = 512
"""Messages in one sync answer: each costs a signature check of about 0.1 ms, so an answer costs at most 50 ms."""

MAX_SYNC_ROUNDS: Final = 64
"""Answers taken from one peer in one go: a full table of 8,192 usual messages needs 16; the rest comes later."""

MAX_SYNC_GARBAGE: Final = 16
"""Messages in the answers of one go that are no signed messages at all. An honest peer has verified what it hands on;
each costs us a signature check, and an answer could hold 512 of them."""

SYNC_RATE_PER_S: Final = 2.0
"""Sync answers given to one peer: each is a read of the disk and up to 1 MiB to pack, for a request of 20 bytes."""

SYNC_BURST: Final = 2 * MAX_SYNC_ROUNDS
"""Sync answers given to one peer at once: it takes all that we hold, is cut off, and begins again."""

# Rates and queues

DIDCOMM_RATE_PER_S: Final = 1000.0
"""Private messages taken from one peer. Twice what one pair of twins must reach durably; a flood is held to it."""

DIDCOMM_BURST: Final = 2000
"""Private messages taken from one peer at once: what an outbox has gathered while the peer was away."""

GOSSIP_RATE_PER_S: Final = 20.0
"""Public messages taken from one author. A twin announces itself every 5 minutes and a head on each change."""

GOSSIP_BURST: Final = 200
"""Public messages taken from one author at once: announcements, heads and tasks of a busy twin that comes back."""

STRANGER_ROWS_PER_S: Final = 10.0
"""Public messages taken from one neighbour that take new room on our disk, from authors who are neither named nor
connected: keys cost nothing. A relay with 3,000 twins behind it has each of them announce itself within 5 minutes."""

STRANGER_ROWS_BURST: Final = 1024
"""Such messages taken from one neighbour at once: an eighth of all that are kept. A newcomer learns a swarm of this
size in one go, and a larger one in a few minutes."""

DIDCOMM_STRANGER_RATE_PER_S: Final = 20.0
"""Private messages taken from a peer that nobody here has named: each may cost a decryption, and few will be kept."""

DIDCOMM_STRANGER_BURST: Final = 100
"""Private messages taken from such a peer at once."""

MAIL_BYTES_PER_S: Final = 8 * 1024.0
"""What one named twin may add to our disk on average, 700 MB a day: it is trusted, but perhaps not with the disk."""

MAIL_BURST_BYTES: Final = 256 * 1024 * 1024
"""What one named twin may add to our disk at once: a week of what its outbox has gathered."""

MAIL_ROW_BYTES: Final = 1024
"""What a message costs on disk beside its text: its row in the inbox, its event, and their indexes."""

MAX_UNHANDLED_PER_SENDER: Final = 32
"""Messages of one sender that wait to be worked on: minutes of work for a local model. It is told to try later."""

MAX_WORK_BYTES: Final = 128 * 1024
"""A private message that asks us to work: a question of 16 KiB whose every character JSON has to escape."""

MAX_HISTORY_BYTES_PER_AUTHOR: Final = 64 * 1024 * 1024
"""Playbook revisions kept of one named author, and of all other authors together: 50,000 usual ones. The rest of the
block store is for the owner's own content and for the other authors."""

PRESENCE_ROWS_PER_S: Final = 1 / 60
"""Events in the log about one named twin's coming and going. One that flaps, or wants to fill our disk, is only
broadcast beyond that."""

PRESENCE_ROWS_BURST: Final = 10
"""Such events at once: a few restarts."""

MAX_STRANGER_DIALS: Final = 256
"""Twins that nobody here has named and that wait to be dialled. One that finds no place announces itself again."""

MAX_STRANGER_ADDRESSES: Final = 4
"""Addresses of such a twin that are tried: with each it makes us, and the whole swarm, knock at somebody's door."""

KNOCKS_PER_S: Final = 0.1
"""Dials to one host for such twins: an announcement of somebody else's address must not become a flood there."""

KNOCKS_BURST: Final = 16
"""Dials to one host for such twins at once: as many may share an address behind a router, or a machine."""

WANTS_PER_S: Final = 2000.0
"""Blocks that one peer may ask for: each costs a look at the disk. What it asks beyond that waits on the wire."""

WANTS_BURST: Final = 20_000
"""Blocks that one peer may ask for at once: the longest history that a newcomer fetches, two of each revision."""

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
