"""Checking a signature by a key of a DID document: Ed25519, and ECDSA as JOSE writes it."""

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm

from identity import keys
from identity.credentials.errors import ProofInvalid
from identity.did import VerificationMethod
from identity.errors import BadSignature, UnsupportedKey

ALGORITHMS: Final = {
    "EdDSA": "Ed25519",
    "Ed25519": "Ed25519",
    "ES256": "P-256",
    "ES384": "P-384",
    "ES256K": "secp256k1",
}
"""JOSE algorithms that are spoken, and the curve of each (RFC 7518, RFC 8037, RFC 8812, RFC 9864)."""

_ECDSA: Final[dict[str, tuple[ec.EllipticCurve, HashAlgorithm]]] = {
    "P-256": (ec.SECP256R1(), SHA256()),
    "P-384": (ec.SECP384R1(), SHA384()),
    "secp256k1": (ec.SECP256K1(), SHA256()),
}


def check_signature(method: VerificationMethod, data: bytes, signature: bytes) -> None:
    """Check that the key of `method` signed `data`. An ECDSA signature is r and s, each as long as the curve's field.

    Raises ProofInvalid, whether the signature or the key is bad.
    """
    try:
        if method.curve == "Ed25519":
            keys.verify(method.public, data, signature)
            return
        curve, digest = _ECDSA[method.curve]
        size = (curve.key_size + 7) // 8
        if len(signature) != 2 * size:
            raise ProofInvalid(f"a signature on {method.curve} has {2 * size} bytes")
        r, s = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
        public = ec.EllipticCurvePublicKey.from_encoded_point(curve, method.public)
        public.verify(encode_dss_signature(r, s), data, ec.ECDSA(digest))
    except (BadSignature, InvalidSignature, ValueError) as error:
        raise ProofInvalid("the signature does not match") from error
    except (UnsupportedKey, KeyError) as error:
        raise ProofInvalid(f"the key {method.id[-60:]!r} cannot check signatures") from error
