"""Errors of IPLD and UnixFS, in the tree of `protocols.errors`.

RemoteProtocolError
├── UnknownCodec    41537  a block of a codec whose links we cannot read
├── NoSuchEntry     40437  a path that leads nowhere in its DAG
└── UnusablePath    40037  what is no path, or leads out of its folder
LocalProtocolError
└── UnusableName    42237  a name that no folder may hold
"""

from protocols.errors import LocalProtocolError, RemoteProtocolError


class UnknownCodec(RemoteProtocolError):
    code = 41537
    hint = "Only raw, dag-pb, dag-cbor, dag-json and dag-jose are read: convert it, or keep its blocks one by one."


class NoSuchEntry(RemoteProtocolError):
    code = 40437
    hint = "Look at what the folder holds, and name one of its entries."


class UnusablePath(RemoteProtocolError):
    code = 40037
    hint = "Write a path as CID/folder/file, without empty parts, '.' and '..'."


class UnusableName(LocalProtocolError):
    code = 42237
    hint = "A name in a folder has 1 to 255 bytes of UTF-8, is not '.' or '..', and holds neither '/' nor NUL."
