"""Verifiable credentials: made, read and checked, with no I/O of its own.

VCDM 2.0 with Data Integrity proofs (eddsa-jcs-2022, eddsa-rdfc-2022), VC-JOSE-COSE as JWT, Bitstring Status List 1.0;
VCDM 1.1 is read as far as it differs only in names. Clock, keys, DID documents, status lists and schemas are arguments.
"""
