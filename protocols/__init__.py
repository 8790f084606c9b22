"""Everything that twins say to each other, without I/O: bytes in, values and bytes out.

Envelopes, messages, playbook revisions and their merge, limits. Time, entropy and the resolving of DIDs are arguments;
an import contract keeps clocks, randomness, sockets, threads and databases out of this room.
"""
