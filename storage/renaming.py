"""One twin, another DID: everything that is kept under the old one goes under the new one, in one transaction.

What it said in its own name stays as it was: messages, events, revisions. What was seen of it goes with it.
"""

import sqlite3
from dataclasses import replace

from identity.did import Did
from storage import contacts, experiences, hosted_pins, outbox, tasks, twins
from storage.trust import Trust


def is_kept(conn: sqlite3.Connection, did: Did, trust: Trust) -> bool:
    """Whether the owner has to do with this DID: by the lists, or as a contact."""
    return did in trust.allow or did in trust.block or contacts.get_contact(conn, did) is not None


def renamed(trust: Trust, old: Did, new: Did) -> Trust:
    """The owner's lists after it. The new DID has no better standing than the old one, and none worse.

    A blocked DID stays blocked: its key may be anybody's. An allowed one is allowed no more, for the same reason.
    """
    if old in trust.block:
        return replace(trust, block=trust.block | {new})
    if old in trust.allow:
        return replace(trust, allow=trust.allow - {old} | {new})
    return trust


def rename(conn: sqlite3.Connection, old: Did, new: Did, now_ms: int) -> None:
    """Move what is known of it and what waits for it."""
    contact = contacts.get_contact(conn, old)
    if contact is not None:
        if contacts.get_contact(conn, new) is None:
            contacts.put_contact(
                conn, new, services=contact.services, name=contact.name, source="succession", updated_ms=now_ms
            )
        contacts.remove_contact(conn, old)
    twins.rename_twin(conn, old, new)
    outbox.move_recipient(conn, old, new)
    experiences.succeed(conn, old, new)
    tasks.succeed(conn, old, new)
    hosted_pins.succeed(conn, old, new)
