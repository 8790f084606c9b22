"""Names that certify themselves: keys, DIDs, CIDs, the sealed keystore.

The lowest room: it imports none of the others, and does no I/O beyond the keystore file.
"""
