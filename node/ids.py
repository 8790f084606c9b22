"""Ids that grow with time (UUIDv7, RFC 9562, section 5.7): of two messages the later has the greater id."""

import secrets
import uuid


def time_ordered_id(now_ms: int) -> str:
    """A new UUIDv7 for a Unix time in milliseconds."""
    value = (now_ms & (1 << 48) - 1) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))
