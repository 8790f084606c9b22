"""The gossip about playbooks: updates and gate results."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.did import did_key
from identity.keys import KeyPair
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JOSE
from protocols import limits
from protocols.errors import LocalProtocolError, MalformedMessage, RemoteProtocolError
from protocols.playbook.gate import GateResult, sign_gate_result
from protocols.playbook.messages import GateNotice, Update, topic_of


def heads(count: int) -> tuple[Cid, ...]:
    return tuple(Cid.of(CODEC_DAG_JOSE, bytes([number])) for number in range(count))


def test_topics() -> None:
    assert topic_of("common") == "pagi-playbook-v1/common"


@given(st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True), st.integers(1, 64), st.booleans())
def test_round_trip(name: str, count: int, with_snapshot: bool) -> None:
    update = Update(name, heads(count), heads(1)[0] if with_snapshot else None)
    assert Update.from_body(update.to_body()) == update


def test_the_form_on_the_wire() -> None:
    assert Update("common", heads(1)).to_body() == {"playbook": "common", "heads": [str(heads(1)[0])]}


@pytest.mark.parametrize(
    "update",
    [
        Update("Common", heads(1)),
        Update("", heads(1)),
        Update("a" * 65, heads(1)),
        Update("a/b", heads(1)),
        Update("a\n", heads(1)),
        Update("common", ()),
        Update("common", heads(65)),
        Update("common", heads(1) * 2),
        Update("common", (Cid.of(CODEC_DAG_CBOR, b""),)),
        Update("common", heads(1), Cid.of(CODEC_DAG_CBOR, b"")),
    ],
    ids=range(10),
)
def test_out_of_bounds_is_refused_on_both_sides(update: Update) -> None:
    with pytest.raises(LocalProtocolError):
        update.to_body()
    snapshot = {"snapshot": str(update.snapshot)} if update.snapshot else {}
    with pytest.raises(MalformedMessage):
        Update.from_body({"playbook": update.playbook, "heads": [str(head) for head in update.heads], **snapshot})


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "playbook": st.none() | st.text(max_size=5) | st.integers(),
            "snapshot": st.integers() | st.text(max_size=70),
            "heads": st.none() | st.text(max_size=5) | st.lists(st.none() | st.text(max_size=70)),
        },
    )
)
def test_any_body_is_read_or_refused(body: dict[str, object]) -> None:
    for candidate in (body, {"playbook": "common"} | body):
        with pytest.raises(RemoteProtocolError):
            Update.from_body(candidate)


def notice() -> GateNotice:
    keys = KeyPair(bytes(range(32)))
    result = GateResult("common", heads(1)[0], did_key(keys.public), 7, 10, 6, 8, "m" * limits.MAX_MODEL_NAME_CHARS)
    return GateNotice(sign_gate_result(result, keys))


def test_a_gate_result_travels_whole() -> None:
    body = notice().to_body()
    assert GateNotice.from_body(body) == notice()
    assert (body["playbook"], body["revision"]) == ("common", str(heads(1)[0]))
    assert len(str(body)) < limits.MAX_GOSSIP_BYTES / 4


@pytest.mark.parametrize(
    "change",
    [
        {"playbook": "other"},
        {"revision": str(heads(2)[1])},
        {"envelope": None},
        {"envelope": "AAAA"},
        {"envelope": "A" * 1000},
        {"payload": "AAAA"},
        {"payload": "ä"},
        {"payload": "A" * 4000},
    ],
    ids=str,
)
def test_a_gate_result_that_is_not_what_it_says_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(RemoteProtocolError):
        GateNotice.from_body(notice().to_body() | change)
