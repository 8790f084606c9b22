"""Blocks of IPLD that anybody's tools read: dag-pb, dag-json, the links of every codec that we know, and CAR files.

dag-cbor stands in `protocols.dag_cbor`, and the one dag-jose envelope that we write in `protocols.playbook.dag_jose`.
"""
