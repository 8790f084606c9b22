"""DIDComm v2.1 envelopes around messages: what the rest of the program uses of them.

Pure: entropy and the resolving of DIDs are arguments, time checks are in `protocols.message`.
"""

from protocols.didcomm.jwe import ENCRYPTED
from protocols.didcomm.opening import Unpacked, unpack, verify_signed
from protocols.didcomm.packing import Form, pack_anoncrypt, pack_authcrypt, pack_private, pack_signed
from protocols.didcomm.resolving import Resolve

__all__ = [
    "ENCRYPTED",
    "Form",
    "Resolve",
    "Unpacked",
    "pack_anoncrypt",
    "pack_authcrypt",
    "pack_private",
    "pack_signed",
    "unpack",
    "verify_signed",
]
