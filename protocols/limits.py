"""Every bound on what comes from outside, each with its reason.

Sizes are in bytes, times in seconds unless the name says otherwise. A bound is checked before the work that it bounds.
One file on purpose, however long: whoever asks what an attacker can cost us reads it here from top to bottom.
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

MAX_REVISION_BYTES: Final = 256 * 1024
"""One block of a playbook revision: half of what libp2p's bitswap carries, and the usual chunk size of IPFS."""

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

MAX_KEY_SEGMENTS: Final = 8
"""Tables within each other that a setting's key goes down, the setting included."""

MAX_KEY_SEGMENT_CHARS: Final = 64
"""The name of one such table or setting, and of a tool, a metric or a template: a few words."""

MAX_METRIC_SUM: Final = 1e15
"""What one operation may add to a metric: millions of those still add up exactly and far from overflow."""

MAX_METRIC_COUNT: Final = 10**9
"""How many observations one operation may report."""

MAX_SNAPSHOT_CHUNKS: Final = 256
"""Chunks of a playbook's snapshot, of MAX_REVISION_BYTES each: 64 MiB, the history of a million small revisions."""

MAX_SNAPSHOT_ROOT_BYTES: Final = 32 * 1024
"""The root of a snapshot: links to its heads and chunks, and some numbers."""

MAX_GATE_RESULT_BYTES: Final = 1024
"""What a twin says of its held-out checks of a revision: five numbers, three names and a link."""

MAX_CHECKS: Final = 10_000
"""Held-out checks that one result may claim to have made."""

MAX_PLAYBOOK_FILE_BYTES: Final = 4 * 1024 * 1024
"""A playbook.toml or an artifact that is read: 10,000 bullets of the usual length, some seconds of parsing."""

MAX_PLAYBOOK_FILE_KEYS: Final = 200_000
"""Keys in such a file: a bullet has seven."""

MAX_PLAYBOOK_FILE_DEPTH: Final = 16
"""Tables and arrays within each other in such a file, and words of one dotted key: more than a value may have."""

MAX_FILE_OPS: Final = 10_000
"""Operations that one file may amount to: 40 full revisions."""

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

# Message headers and attachments

MAX_ATTACHMENTS: Final = 64
"""Attachments of one message: a full delivery of a mediator's queue. Their bytes count towards MAX_PLAINTEXT_BYTES."""

MAX_FILENAME_CHARS: Final = 255
"""An attachment's file name: as long as common file systems take it."""

MAX_MEDIA_TYPE_CHARS: Final = 255
"""An attachment's media type: RFC 6838, section 4.2, allows 127 characters on either side of the slash."""

MAX_ATTACHMENT_DESCRIPTION_CHARS: Final = 1024
"""What an attachment is, in words for a person."""

MAX_ATTACHMENT_LINKS: Final = 8
"""Places to fetch one attachment from."""

MAX_LINK_CHARS: Final = 2048
"""One of them: the longest URL that every browser takes."""

MAX_ATTACHMENT_HASH_CHARS: Final = 256
"""An attachment's multihash as text; that of SHA2-256 has 46 characters, that of SHA2-512 in hexadecimal 132."""

MAX_ACKS: Final = 64
"""Messages whose receipt one message asks for or confirms. Each costs a look into the outbox."""

MAX_FROM_PRIOR_CHARS: Final = 12 * 1024
"""The JWT that announces a sender's new DID: two DIDs and a key id at their longest, in base64."""

# Mediation: mail that a relay keeps for twins that are away

MAX_MEDIATORS: Final = 4
"""Mediators that a twin announces: enough that one may be down."""

MAX_MEDIATOR_URIS: Final = 4
"""Places at which one mediator takes mail: two addresses, HTTP and WebSocket."""

MAX_MEDIATOR_DID_CHARS: Final = 1024
"""A mediator's DID: a did:peer:2 with two keys and a service has some 300 characters."""

MAX_MEDIATORS_CHARS: Final = 3072
"""All DIDs and places in one announcement together: with them the longest announcement has 15 KiB, and is gossiped."""

RELAY_RATE_PER_S: Final = 500.0
"""Messages that a relay opens for one peer or IP address: forwards, and what clients ask. Each costs 0.3 ms, a row."""

RELAY_BURST: Final = 4000
"""Such messages at once: what the outbox of a twin has gathered for several that are away."""

RELAY_BYTES_PER_TOKEN: Final = 16 * 1024
"""A longer message counts as several: opening and keeping it costs more."""

FORWARDED_BYTES_PER_S: Final = 256 * 1024.0
"""What one peer or IP address may add to the disk of a relay on average: to fill 4 GiB takes it hours."""

FORWARDED_BURST_BYTES: Final = 64 * 1024 * 1024
"""What it may add at once: one client's whole share."""

GRANTS_PER_S: Final = 1 / 60
"""New clients that a relay takes from one peer or IP address: keys cost nothing, and each has a share of the disk."""

GRANTS_BURST: Final = 64
"""New clients from there at once: the twins of one household or machine."""

MAX_MEDIATED_ANSWERS: Final = 16
"""Answers of a relay that are under way to one peer: one that asks and does not listen costs no more."""

MAX_LIVE_CLIENTS: Final = 20_000
"""Clients that a relay pushes to: an entry of a kilobyte for each. Those beyond fetch their mail now and then."""

LIVE_WINDOW: Final = 64
"""Messages pushed to a client that it has not confirmed. One that confirms nothing makes us read no more than that."""

LIVE_BATCH_BYTES: Final = 128 * 1024
"""Packed messages in one push, unless one is longer: with `LIVE_PUSHES` it bounds the memory of slow clients."""

LIVE_PUSHES: Final = 128
"""Pushes under way at once. A client that takes nothing is not pushed to again until it asks."""

LIVE_PUSHES_PER_SOURCE: Final = 4
"""Of these to one peer or IP address: keys cost nothing, and one that takes nothing holds its turn for ten seconds."""

MAX_RELAY_CONNECTIONS: Final = 2048
"""Connections to the public listener of a relay: its clients keep theirs open. Each costs some 60 KB."""

# Taking messages in, live routes and answers at once

MAX_LIVE_ROUTES: Final = 4096
"""Agents that can be reached over a connection that they keep open; a connection of its own bound is behind each."""

MAX_LIVE_ROUTES_PER_DID: Final = 4
"""Such connections of one agent: a few devices, and one that broke without telling."""

MEDIATED_RATE_PER_S: Final = 500.0
"""Private messages taken from one mediator: it brings what everybody wrote to us, and is paced by our own requests."""

MEDIATED_BURST: Final = 2000
"""Private messages taken from one mediator at once: what it kept while we were away."""

HTTP_RATE_PER_S: Final = 50.0
"""Private messages taken from one IP address: who is behind it is known only after a decryption of 0.1 ms or more. New
messages of those whom the owner named do not count."""

HTTP_BURST: Final = 400
"""Private messages taken from one IP address at once: several agents may share it behind a router."""

MAX_DIDS_RESOLVED_AT_ONCE: Final = 16
"""Senders' documents that are fetched at one time. A message can name any host: we must not become a flood there."""

SENDER_RESOLVE_RATE_PER_S: Final = 0.2
"""Fetches of unknown senders' documents that one source can cause."""

SENDER_RESOLVE_BURST: Final = 10
"""Fetches of unknown senders' documents that one source can cause at once."""

SENDER_RESOLVE_TIMEOUT_S: Final = 5.0
"""How long a message waits for its sender's document. It is offered again later, when the document may be known."""

ANSWER_RATE_PER_S: Final = 2.0
"""Answers given at once to one stranger: each costs an encryption, and a question of 1 KB can ask for more."""

ANSWER_BURST: Final = 20
"""Answers given at once to one stranger in one go."""

NAMED_ANSWER_RATE_PER_S: Final = 100.0
"""Answers given at once to one whom the owner named."""

NAMED_ANSWER_BURST: Final = 1000
"""Answers given at once to one whom the owner named, in one go: a mediator that hands over a full queue."""

MAX_ANSWERS_WAITING: Final = 1024
"""Answers and acknowledgements that wait to be sent, a few KB each. None is promised: what is over is dropped."""

PROBLEM_REPORTS_PER_S: Final = 0.1
"""Reports to one named twin that nobody here knows its messages: each is a row on our disk and a message to it."""

PROBLEM_REPORTS_BURST: Final = 10
"""Such reports at once: one for each type that a protocol has."""

MAX_RETURN_ROUTE_AGE_S: Final = 300
"""How old a message may be that opens a way back over its connection. An older one may be a recording that somebody
else plays to us to have what we write to its author."""

MAX_SEEN_RETURN_ROUTES: Final = 16384
"""Messages of that age whose ids are remembered, so that each opens a way back only once."""

# Conversations

MAX_FEATURE_QUERIES: Final = 32
"""Questions in one discover-features message: each is compared with everything that we can do."""

MAX_FEATURES: Final = 256
"""Features in one disclosure: many times the protocols that any agent speaks."""

MAX_FEATURE_TYPE_CHARS: Final = 64
"""A kind of feature, such as `goal-code`."""

MAX_ROLES: Final = 16
"""Roles that an agent plays in one protocol."""

MAX_CHAT_BYTES: Final = 64 * 1024
"""The text of a basic message: what a person writes, or pastes."""

MAX_INVITATION_URL_CHARS: Final = 16 * 1024
"""An invitation as a URL: a did:peer with several services in base64, and a request or two. A QR code ends at 4,296."""

MAX_INVITATION_ATTACHMENTS: Final = 8
"""Alternatives that one invitation offers."""

MAX_GOAL_CHARS: Final = 256
"""A goal in words, and a goal code: a line that a person reads before accepting."""

MAX_ACCEPT: Final = 8
"""Profiles that an invitation or a service accepts; two are defined."""

MAX_ACCEPT_CHARS: Final = 64
"""A profile, such as `didcomm/v2`."""

MAX_FORWARDED_BYTES: Final = 352 * 1024
"""A packed message that a mediator takes and all that it delivers at once: in base64 it fits MAX_PLAINTEXT_BYTES."""

MAX_ROUTING_DIDS: Final = 4
"""DIDs that a mediator grants as routes to itself."""

MAX_KEYLIST: Final = 64
"""DIDs that a mediator takes messages for on behalf of one client, and changes to them in one message."""

MAX_KEYLIST_PAGE: Final = 256
"""DIDs in one answer about a keylist. Another mediator may allow more of them than we do."""

MAX_DELIVERY: Final = 64
"""Messages in one delivery: as many as a message has attachments."""

MAX_RECEIVED_IDS: Final = 256
"""Messages that one `messages-received` clears from a queue: some deliveries at once."""

MAX_PROBLEM_CODE_CHARS: Final = 128
"""A problem's code: a handful of words with dots between them."""

MAX_PROBLEM_COMMENT_CHARS: Final = 1024
"""A problem in words; people read it."""

MAX_PROBLEM_ARGS: Final = 16
"""Values for the places in a problem's comment."""

MAX_PROBLEM_ARG_CHARS: Final = 512
"""One of them: a URL or an id."""

MAX_TASK_BYTES: Final = 4 * 1024
"""A task's text. It is gossiped, and JSON may escape each of its characters: it must fit MAX_GOSSIP_BYTES."""

MAX_REQUIREMENTS: Final = 16
"""Capabilities that a task asks for."""

MAX_PRICE: Final = 1e12
"""What a bid asks for, in whatever the two sides count; beyond it additions lose the cents."""

MAX_ETA_S: Final = 30 * 24 * 3600
"""How long a worker may say that it needs: a month."""

MAX_NOTE_CHARS: Final = 512
"""Why a task was refused or failed, or how far it is: one line."""

# Bringing messages out

MAX_ROUTES: Final = 16
"""Ways to one recipient that are tried for one message. Each can cost a dial of seconds; its document names them."""

MAX_HOPS: Final = 4
"""Mediators on one way. Each wraps the message once more, which makes it a third longer."""

MAX_CIRCUITS: Final = 4096
"""Places that did not answer, and rest for a while: remembered for as many, those that failed last."""

STRANGER_POSTS_PER_S: Final = 4.0
"""Messages brought to one host for recipients whom nobody named here: their documents can name a victim's host."""

STRANGER_POSTS_BURST: Final = 128
"""Messages brought to one such host at once: twice what is under way to one recipient."""

MAX_SOCKETS_OUT: Final = 32
"""WebSockets to mediators and agents that are kept open. The one that was used longest ago gives way."""

SOCKET_OUT_IDLE_S: Final = 60.0
"""A WebSocket to somebody is closed when nothing went either way for this long."""

# Who comes after whom

MAX_SUCCESSION_BYTES: Final = 4 * 1024
"""A succession's credential. With two did:key and two proofs it has 1.5 KiB; checking it costs two signatures."""

MAX_SUCCESSION_STEPS: Final = 8
"""Successions that are followed in one go: a twin that was away while another one replaced its key again and again."""

SUCCESSION_RATE_PER_S: Final = 0.1
"""Successions taken from one author or sender: nobody has a new key every minute, and each costs two signatures."""

SUCCESSION_BURST: Final = 16
"""Successions taken from one of them at once: all that a twin has ever had, from its present DID."""

# The public listener

PUBLIC_RATE_PER_S: Final = 50.0
"""Requests to the public listener from one IP address; not the messages that were taken, which intake counts."""

PUBLIC_BURST: Final = 400
"""Requests to the public listener from one IP address at once."""

MAX_PUBLIC_CONNECTIONS: Final = 512
"""Connections to the public listener. Each costs a few tens of KB, and a place among the process's open files."""

MAX_PUBLIC_CONNECTIONS_PER_HOST: Final = 64
"""Connections to the public listener from one IP address: many agents may share it behind a router, not all places."""

MAX_PUBLIC_BODIES: Final = 32
"""Request bodies that are read at once, of MAX_DIDCOMM_BYTES each: 32 MiB in all. The others wait their turn."""

PUBLIC_HEAD_S: Final = 10.0
"""How long a connection may take for the head of its first request: one that trickles it holds a place."""

PUBLIC_BODY_S: Final = 30.0
"""How long a request body may take, its turn included: 1 MiB over a poor line."""

PUBLIC_IDLE_S: Final = 15.0
"""How long a connection is kept open between two requests."""

PUBLIC_REPLY_S: Final = 10.0
"""How long the response to a POST waits for a reply to its message, if the sender takes it there."""

PUBLIC_FIRST_FRAME_S: Final = 30.0
"""How long a WebSocket may be open without a message that was taken."""

MAX_PUBLIC_REFUSED_FRAMES: Final = 16
"""Frames in a row that are no messages for us; then the WebSocket is closed. Each costs a decryption at most."""

MAX_PUBLIC_UNREAD_BYTES: Final = 64 * 1024 * 1024
"""What all connections to the public listener have sent and nobody has read: 64 frames that do not end, each as long as
a message may be. Whoever has most of it makes room."""

PUBLIC_STALL_S: Final = 30.0
"""How long what was written to a connection may wait to be taken, also while it is closed: whoever takes nothing would
keep its place for ever."""

PUBLIC_SEND_S: Final = 10.0
"""How long a WebSocket may take to accept a message that goes back over it."""

# Credentials: what is fetched for them. The bounds on their form stand in `identity/credentials/bounds.py`.

MAX_STATUS_LIST_BYTES: Final = 256 * 1024
"""A status list's credential that is fetched. One of 131,072 random bits has 24 KiB."""

CREDENTIAL_FETCH_S: Final = 10.0
"""How long a status list or a schema may take: checking a credential waits for it."""

STATUS_LIST_KEPT_S: Final = 300.0
"""How long a fetched status list is used again if it does not say: a revocation is seen within five minutes."""

STATUS_LIST_KEPT_MOST_S: Final = 3600.0
"""How long it is used again whatever it says."""

MAX_STATUS_LISTS_KEPT: Final = 64
"""Fetched status lists that are kept: 16 MiB at the most."""

MAX_STATUS_LIST_NUMBER: Final = 2**31
"""The number of a status list in a request; nobody issues enough for a thousand."""

# Blocks.

MAX_BLOCKS_AT_ONCE: Final = 64
"""Blocks asked for by one call: with chunks of 256 KiB they are 16 MiB of memory, with the largest blocks 128 MiB."""

UNASKED_BLOCKS_PER_S: Final = 0.1
"""Blocks that nobody asked for, or whose hash is not the one that was asked for, taken from one peer: honest ones send
none, or one whose want was taken back a moment ago."""

UNASKED_BLOCKS_BURST: Final = 32
"""Such blocks from one peer at once, each up to 4 MiB to receive and to hash; then it is ignored."""

BITSWAP_IGNORED_S: Final = 600.0
"""How long such a peer is ignored: nothing is read from it by bitswap, given to it or asked of it."""

FRAMES_PER_S: Final = 20_000.0
"""Frames of the muxer that are read from one connection, some 4 µs each. Ten times what the quickest gossip needs, and
with full frames more than a gigabyte; what a peer sends beyond that waits on the wire."""

FRAMES_BURST: Final = 40_000
"""Such frames at once: no gossip and no transfer comes near."""

FRAMES_FOR_A_STREAM: Final = 10
"""What opening a stream counts among these frames: it starts a task that agrees on a protocol."""

MAX_ENTRY_NAME_BYTES: Final = 255
"""A name in a folder, in UTF-8: the longest that common file systems take."""

MAX_SYMLINK_BYTES: Final = 4096
"""The target of a symbolic link: the longest path that Linux takes."""

MAX_PATH_PARTS: Final = 128
"""Names in one path. Each costs a block to read, and in a sharded folder a few."""

MAX_FILE_DEPTH: Final = 32
"""Levels of a file's tree. With 174 links in a node 8 levels are more than any disk holds; other layouts, such as
Kubo's trickle, are deeper. Each level costs a block for the first byte."""

MAX_DAG_VALUE_DEPTH: Final = 64
"""Nesting inside a dag-cbor, dag-json or dag-jose block of a stranger, whose links are looked for."""

MAX_CAR_ROOTS: Final = 256
"""Roots of one CAR file: each is pinned after an import, and stands in a header that is held whole."""

MAX_CAR_HEADER_BYTES: Final = 16 * 1024
"""The header of a CAR file with as many roots as it may have, each of some 43 bytes."""

# Content routing: the DHT and IPNS

MAX_DHT_REQUEST_BYTES: Final = 32 * 1024
"""A request of the DHT: the longest carries an IPNS record and some addresses."""

MAX_DHT_REPLY_BYTES: Final = 256 * 1024
"""A reply of the DHT: 20 servers and a thousand providers. Parsed, one of empty peers takes 36 times its own size."""

MAX_DHT_KEY_BYTES: Final = 80
"""A multihash, or a namespace with a peer ID: the bound that the other implementations keep."""

MAX_DHT_PEERS: Final = 64
"""Peers that are read from one list of a DHT message, the first ones: the specification's k is 20."""

MAX_DHT_ADDRESSES: Final = 16
"""Addresses of one peer in a DHT message: some interfaces with some transports each."""

MAX_DHT_ADDRESS_BYTES: Final = 256
"""One of these, in its binary form: one with a relay before it has about 100."""

MAX_PROVIDER_RECORDS: Final = 65_536
"""Provider records that a server keeps, of some 530 bytes each: 35 MB."""

MAX_PROVIDER_RECORDS_PER_PEER: Final = 4096
"""Of these from one peer: the roots that a twin has are some hundreds."""

MAX_PROVIDER_RECORDS_PER_KEY: Final = 256
"""Of these for one content; the oldest goes. More than anybody asks for, and a flood of names costs no more."""

PROVIDER_RECORD_S: Final = 48 * 3600
"""How long a provider record is kept (libp2p Kademlia specification, section "Content provider advertisement")."""

REPROVIDE_S: Final = 22 * 3600
"""How often a provider tells again (the same section)."""

MAX_PROVIDERS_ANSWERED: Final = 20
"""Providers in one reply, chosen by chance: who floods a key with names cannot say which of them are seen."""

MAX_DHT_VALUES: Final = 16_384
"""IPNS records that a server keeps, of some 400 bytes each."""

MAX_DHT_VALUES_BYTES: Final = 32 * 1024 * 1024
"""The memory of these; each has at most MAX_IPNS_RECORD_BYTES."""

MAX_DHT_VALUES_PER_PEER: Final = 256
"""Of these brought by one peer: its own name, and those that it keeps alive for others."""

DHT_VALUE_S: Final = 48 * 3600
"""How long an IPNS record is kept after it was brought, whatever it says itself."""

DHT_REQUESTS_PER_S: Final = 50.0
"""Requests that a DHT server takes from one peer; it is not read from while it is over that."""

DHT_REQUESTS_BURST: Final = 500
"""Requests that a DHT server takes from one peer at once: a twin that comes back and provides all that it has."""

DHT_ALL_REQUESTS_PER_S: Final = 400.0
"""Requests that a DHT server takes from all peers together, a millisecond each: gossip and mail must go on."""

DHT_ALL_REQUESTS_BURST: Final = 2000
"""Such requests at once: the twins that come back after the server was restarted."""

MAX_DHT_STREAMS: Final = 8
"""Streams of the DHT that one peer may have open here: the other implementations keep one or a few."""

MAX_DHT_ASKED: Final = 60
"""Peers asked in one lookup: three times k. Peers that name ever closer ones could lead us on without end."""

MAX_DHT_LOOKUP_DIALS: Final = 12
"""Peers dialled in one lookup: each is a knock at a door that a stranger named."""

MAX_DHT_DIALS_AT_ONCE: Final = 4
"""Such dials at one time, over all lookups."""

MAX_DHT_LOOKUPS: Final = 16
"""Lookups at one time; the others wait their turn."""

MAX_IPNS_RECORD_BYTES: Final = 10 * 1024
"""An IPNS record (IPNS specification, section "Record size limit")."""

MAX_IPNS_VALUE_BYTES: Final = 2048
"""The path that an IPNS record names: a CID, and a path within it."""

MAX_IPNS_NAME_CHARS: Final = 128
"""A name in any of its forms: base36 of an Ed25519 key has 62."""

MAX_IPNS_TTL_S: Final = 3600.0
"""How long a record is used without asking again, whatever it says itself."""

MAX_RESOLVED_NAMES: Final = 1024
"""Names whose records are remembered, of half a kilobyte each."""

MAX_PROFILE_BYTES: Final = 128 * 1024
"""A twin's profile, with all its members at their bounds."""

MAX_PROFILE_PLAYBOOKS: Final = 64
"""Playbooks in a profile."""

MAX_PROFILE_HEADS: Final = 32
"""Heads of one playbook in a profile."""

MAX_PROVIDER_DIALS: Final = 8
"""Providers of one content that are dialled: anybody can claim to have it, at any address."""

MAX_PROVIDER_SEARCHES: Final = 1024
"""Contents whose last search for providers is remembered: a fetch that goes on asks for the same one again."""

MAX_PROVIDED: Final = 4096
"""Contents that one twin tells the DHT of: as many records as a server takes from one peer."""

# Playbooks: histories and snapshots

MAX_HISTORY_WANTS: Final = 64
"""Revisions that one history request names as wanted, and as had: as many as one revision has parents."""

MAX_HISTORY_REQUEST_BYTES: Final = 8 * 1024
"""A history request: twice 64 CIDs of 41 bytes as links, and a name."""

MAX_HISTORY_ANSWER_BYTES: Final = 1024 * 1024
"""One answer: some 1,700 usual revisions, and at least three of the largest."""

MAX_HISTORY_ANSWER_REVISIONS: Final = 2048
"""Revisions in one answer: each costs the requester 0.1 ms to verify."""

MAX_HISTORY_READS: Final = 4096
"""Revisions looked at for one answer, two blocks each: some 0.4 s of one thread. What the requester has may have to be
walked through as well, to leave it out; what is left out of an answer is asked for again, and nothing else is lost."""

HISTORY_RATE_PER_S: Final = 2.0
"""History answers given to one peer: each may cost half a second of one thread and 1 MiB of the line."""

HISTORY_BURST: Final = 128
"""History answers given to one peer at once: the longest history, and hundreds of small steps in between."""

MAX_HISTORY_ANSWERS_AT_ONCE: Final = 2
"""History answers under way at once, whoever asks: keys cost nothing, and each answer holds its blocks in memory."""

MAX_HISTORY_REVISIONS: Final = 50_000
"""Revisions taken in by one walk: the longest history that a newcomer fetches. A step of the walk costs 1 KB."""

MAX_HISTORY_BYTES: Final = 64 * 1024 * 1024
"""Bytes taken in by one walk: 50,000 usual revisions. They are on disk before they are judged; a walk that is refused
takes them away again."""

# Content.

MAX_DAG_BLOCKS: Final = 1_000_000
"""Blocks of one DAG that is fetched, pinned, exported or imported: 250 GB in usual chunks, some 150 MB of memory."""

MAX_DAG_DEPTH: Final = 65_536
"""Links on the way from a DAG's root to a block. A file needs 5; a playbook's history has one for each revision."""

MAX_FETCH_CALLS: Final = 4
"""Calls for blocks that one transfer has under way, so that the line is never idle while one call ends."""

BLOCKS_PER_FETCH: Final = 16
"""Blocks of one such call: 4 MiB of usual chunks, 64 MiB in all calls together with the largest blocks."""

MAX_READ_AHEAD: Final = 32
"""Blocks that are got ahead of whoever reads a file: 8 MiB of usual chunks, 32 MiB of the largest."""

MAX_FOLDER_ENTRIES: Final = 1_000_000
"""Entries of one folder that are listed. They are sorted in memory, about 200 bytes each."""

MAX_PATH_BYTES: Final = 4096
"""A path, as long as the common systems take it."""

MAX_TREE_ENTRIES: Final = 1_000_000
"""Files, folders and links of one folder that is added: their names and CIDs are held in memory, 400 bytes each."""

MAX_TAR_HEADER_BYTES: Final = 64 * 1024
"""A header that carries names too long for a tar header proper: two paths and some attributes."""

MAX_TAR_TAIL_BYTES: Final = 16 * 1024 * 1024
"""Zeros behind the end of a tar stream. Programs fill up a record, which has 10 KiB unless they are told otherwise."""

MAX_PIN_NAME_CHARS: Final = 255
"""What a pin is called: a line in a list. Kubo takes as many bytes."""

# The trustless gateway on the public listener

MAX_GATEWAY_RESPONSES: Final = 32
"""Responses of the gateway under way at once, each with a block or two in memory: 64 MiB with the largest blocks."""

MAX_GATEWAY_RESPONSES_PER_HOST: Final = 8
"""Such responses to one IP address: as many as a browser opens connections, and a few behind the same router."""

MAX_GATEWAY_BYTES: Final = 4 * 1024**3
"""One CAR file that is served. Whoever wants more of a DAG asks for its parts: a few blocks can name each other for
ever, if duplicates are wanted."""

MAX_GATEWAY_BLOCKS: Final = 1_000_000
"""Blocks of such a file: each costs a look at the disk, however small it is."""

MAX_GATEWAY_AHEAD: Final = 262_144
"""Links of a DAG that wait to be followed, about 100 bytes each: ten of the fullest blocks below each other."""

GATEWAY_S: Final = 900.0
"""How long a response may take as a whole: 4 GiB at 40 Mbit/s. It holds a place among those under way."""

GATEWAY_STALL_S: Final = 30.0
"""How long a client may take nothing of its response."""

MAX_ACCEPT_HEADER_CHARS: Final = 2048
"""An Accept header of the gateway's: a dozen of media types with their parameters."""

# Judging of playbook revisions

MAX_PIECES_COMPARED: Final = 4096
"""Sentences of one revision that are compared with the red lines by meaning, 30 µs each. The usual one has ten; one
that has more is looked at by a person."""

MAX_BULLETS_COMPARED: Final = 50_000
"""Bullets of one playbook whose vectors are held to find those that say the same: 51 MB. Later ones stand alone."""

# Pins kept for others

MAX_HOSTED_PINS_PER_CLIENT: Final = 1000
"""Pins that a host keeps for one client, whatever their size: a row of the disk each."""

MAX_HOSTED_PINS: Final = 65_536
"""Pins that a host keeps for all of its clients."""

HOSTED_BLOCK_BYTES: Final = 512
"""What a block of a hosted pin counts beside its bytes, so that many tiny ones cost no more than a few large ones."""

MAX_HOSTED_ASKED: Final = 50
"""Pins that one message asks about, or tells of: 20 KB with their names."""

MAX_PINNING_REASON_CHARS: Final = 300
"""Why a host could not keep something: one line."""

MAX_HOSTED_AT_ONCE: Final = 4
"""Transfers for clients that a host has under way, each with some MiB in memory."""

HOSTED_FETCH_S: Final = 3600.0
"""How long one attempt of a host may take. What came stays, and the next attempt goes on from there."""

HOSTED_KEPT_ASKING_MS: Final = 7 * 86_400_000
"""How long a host goes on looking for what nobody gives it: as long as an undelivered message is tried."""

MAX_PLAYBOOKS: Final = 64
"""Playbooks that one twin keeps: each is in memory, and each goal looks through all of them."""

MAX_ORDER_REASON_CHARS: Final = 256
"""Why a fleet was stopped: one sentence that every twin of it shows."""

# Providers of models

MAX_PROVIDER_REPLY_BYTES: Final = 16 * 1024**2
"""One streamed answer: 30,000 tokens as chunks of 500 bytes each."""

MAX_PROVIDER_EVENT_BYTES: Final = 1024**2
"""One event of such an answer: a chunk that holds the whole of a tool's arguments."""

MAX_PROVIDER_ERROR_BYTES: Final = 64 * 1024
"""An error document of a provider; what follows is not read."""

MAX_PROVIDER_DEPTH: Final = 32
"""Nesting of a chunk: choices, delta, tool calls, function and some levels to spare."""

MAX_PROVIDER_TOOL_CALLS: Final = 64
"""Tool calls of one answer. A model asks for a few."""

MAX_PROVIDER_CHARS_PER_TOKEN: Final = 32
"""Text that is taken for each token that was asked for. No usable text has half of that on average."""
