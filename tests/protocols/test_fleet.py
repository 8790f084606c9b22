import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import limits
from protocols.errors import MalformedMessage
from protocols.fields import MAX_SAFE_INTEGER
from protocols.fleet import ORDERS, RESUME, Order
from protocols.gossip import check_body, slot_of
from protocols.message import Message
from protocols.swarm import SHUTDOWN


def message(kind: str, body: dict[str, object]) -> Message:
    return Message(id="m", type=kind, body=body, from_=None, created_time=1)


@given(st.integers(1, MAX_SAFE_INTEGER), st.text(max_size=400))
def test_an_order_comes_back_as_it_was_sent(sequence: int, reason: str) -> None:
    order = Order.from_body(Order(sequence, reason).to_body())
    assert order.sequence == sequence
    assert len(order.reason) <= limits.MAX_ORDER_REASON_CHARS
    assert "\n" not in order.reason


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"sequence": 0},
        {"sequence": "1"},
        {"sequence": True},
        {"sequence": 1.5},
        {"sequence": 2**60},
        {"sequence": 1, "reason": "x" * 257},
        {"sequence": 1, "reason": "a\nb"},
        {"sequence": 1, "reason": None},
    ],
)
def test_what_is_no_order_is_refused_before_it_is_kept(body: dict[str, object]) -> None:
    for kind in ORDERS:
        with pytest.raises(MalformedMessage):
            check_body(message(kind, body))


def test_of_an_authors_orders_the_newest_is_kept() -> None:
    body: dict[str, object] = {"sequence": 1}
    assert slot_of(message(SHUTDOWN, body)) == slot_of(message(RESUME, body)) == (SHUTDOWN, "")
