"""The links of a block, by its codec: what has to be there too for the whole of a DAG to be there."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JOSE, CODEC_DAG_JSON, CODEC_DAG_PB, CODEC_RAW
from protocols import dag_cbor
from protocols.errors import MalformedMessage
from protocols.ipld import dag_json, dag_pb
from protocols.ipld.errors import UnknownCodec
from protocols.limits import MAX_DAG_VALUE_DEPTH


def links_of(cid: Cid, block: bytes) -> tuple[Cid, ...]:
    """The CIDs that a block names, each once, in the order of their first place. The block's hash is not checked.

    Raises MalformedMessage if the block is not of its codec, or names anything by another hash than sha2-256 (also one
    by `identity`); TooLarge or TooDeep if it holds more values than are looked at; UnknownCodec.
    """
    return tuple(dict.fromkeys(repeated_links_of(cid, block)))


def repeated_links_of(cid: Cid, block: bytes) -> tuple[Cid, ...]:
    """The CIDs that a block names, as often as it names them, in its order. Raises like `links_of`."""
    read = _READERS.get(cid.codec)
    if read is None:
        raise UnknownCodec(f"the links of {cid} cannot be read: its codec is 0x{cid.codec:x}")
    return tuple(read(block))


def knows(codec: int) -> bool:
    """Whether blocks of this codec have links that can be read, or have none."""
    return codec in _READERS


def _raw(block: bytes) -> Iterable[Cid]:
    return ()


def _dag_pb(block: bytes) -> Iterable[Cid]:
    return (link.cid for link in dag_pb.decode(block).links)


def _dag_cbor(block: bytes) -> Iterable[Cid]:
    return map(dag_pb.any_cid, dag_cbor.links(block, max_depth=MAX_DAG_VALUE_DEPTH))


def _dag_jose(block: bytes) -> Iterable[Cid]:
    """The payload of a JWS is a link although it is written as bytes; a JWE names nothing that can be seen."""
    envelope = dag_cbor.parse(block, max_depth=MAX_DAG_VALUE_DEPTH)
    if isinstance(envelope, dict) and isinstance(payload := envelope.get("payload"), bytes):
        return (dag_pb.any_cid(payload), *_dag_cbor(block))
    if isinstance(envelope, dict) and isinstance(envelope.get("ciphertext"), bytes):
        return _dag_cbor(block)
    raise MalformedMessage("the block is not dag-jose: it is neither signed nor encrypted")


def _dag_json(block: bytes) -> Iterable[Cid]:
    return dag_json.links(block, max_depth=MAX_DAG_VALUE_DEPTH)


_READERS: Final[Mapping[int, Callable[[bytes], Iterable[Cid]]]] = {
    CODEC_RAW: _raw,
    CODEC_DAG_PB: _dag_pb,
    CODEC_DAG_CBOR: _dag_cbor,
    CODEC_DAG_JOSE: _dag_jose,
    CODEC_DAG_JSON: _dag_json,
}
