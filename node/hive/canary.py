"""Which jobs are given the bullets that are being tried on a share of them. Pure.

The share is drawn by a job's id, so that a job that is taken up again after a crash is in the same arm.
"""

import hashlib

from storage.learning import Arm


def arm_of(job_id: str, share: float) -> Arm:
    """`canary` for about `share` (0 to 1) of all jobs, `usual` for the rest."""
    drawn = int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:8], "big") / 2**64
    return "canary" if drawn < share else "usual"
