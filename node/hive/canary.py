"""Which jobs are given the bullets that are being tried on a share of them. Pure.

The share is drawn by the job and the revision, so that a job that is taken up again after a crash is given the same,
and so that of two revisions which are tried at once neither is judged by the other.
"""

import hashlib

from identity.cid import Cid


def is_tried_on(job_id: str, revision: Cid, share: float) -> bool:
    """True for about `share` (0 to 1) of all jobs."""
    drawn = hashlib.sha256(job_id.encode() + bytes(revision)).digest()
    return int.from_bytes(drawn[:8], "big") / 2**64 < share
