"""The network room of the node: the only place that imports libp2p.

`port` is what the rest of the node sees; `libp2p_network.open_network` makes one. libp2p runs in one thread of
its own with a trio loop; bytes and value types cross the border, libp2p's objects never do.
"""
