"""The blocks that rows of the database name besides the pins: what a garbage collection must not take.

A revision is its envelope and its payload; under a snapshot and a gate result there are more blocks, which are found by
their links.
"""

import sqlite3

from identity.cid import Cid


def roots(conn: sqlite3.Connection) -> set[Cid]:
    """The roots of everything that playbooks and other twins' pins need, with all that is under them."""
    rows = conn.execute(
        "SELECT cid FROM revisions UNION SELECT payload_cid FROM revisions"
        " UNION SELECT cid FROM snapshots WHERE status IN ('own', 'provisional')"
        " UNION SELECT cid FROM gate_results UNION SELECT payload_cid FROM gate_results"
        " UNION SELECT cid FROM hosted_pins WHERE status <> 'failed'"
    )
    return {Cid.parse(row[0]) for row in rows}
