"""UnixFS: files, folders and symbolic links as blocks, byte for byte as Kubo lays them out for CIDv1.

Sources: UnixFS (https://specs.ipfs.tech/unixfs/), dag-pb (https://ipld.io/specs/codecs/dag-pb/spec/).
"""
