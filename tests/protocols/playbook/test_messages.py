"""The playbook update message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JOSE
from protocols.errors import LocalProtocolError, MalformedMessage, RemoteProtocolError
from protocols.playbook.messages import Update, topic_of


def heads(count: int) -> tuple[Cid, ...]:
    return tuple(Cid.of(CODEC_DAG_JOSE, bytes([number])) for number in range(count))


def test_topics() -> None:
    assert topic_of("common") == "pagi-playbook-v1/common"


@given(st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True), st.integers(1, 64))
def test_round_trip(name: str, count: int) -> None:
    update = Update(name, heads(count))
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
    ],
    ids=range(9),
)
def test_out_of_bounds_is_refused_on_both_sides(update: Update) -> None:
    with pytest.raises(LocalProtocolError):
        update.to_body()
    with pytest.raises(MalformedMessage):
        Update.from_body({"playbook": update.playbook, "heads": [str(head) for head in update.heads]})


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "playbook": st.none() | st.text(max_size=5) | st.integers(),
            "heads": st.none() | st.text(max_size=5) | st.lists(st.none() | st.text(max_size=70)),
        },
    )
)
def test_any_body_is_read_or_refused(body: dict[str, object]) -> None:
    for candidate in (body, {"playbook": "common"} | body):
        with pytest.raises(RemoteProtocolError):
            Update.from_body(candidate)
