"""Which slot a request gets: a chat goes on where its words are, and loses them to nobody who has another place."""

from hypothesis import given
from hypothesis import strategies as st

from node.inference.slots import Slots, _common

SYSTEM = "You are a twin. " * 50


def took(slots: Slots, prompt: str, session: str | None = None) -> int:
    number = slots.take(prompt, session)
    slots.give_back(number)
    return number


def test_two_chats_under_one_system_prompt_keep_a_slot_each() -> None:
    slots = Slots(2)
    one, other = SYSTEM + "user\nMy name is Ana. " * 20, SYSTEM + "user\nMy name is Bob. " * 20
    assert took(slots, one) != took(slots, other)
    for _ in range(3):
        one, other = one + "and then? " * 9, other + "and then? " * 9
        first = took(slots, one)
        assert took(slots, other) != first
        assert took(slots, one) == first


def test_a_question_after_a_long_common_beginning_goes_on_from_it() -> None:
    slots = Slots(4)
    assert len({took(slots, SYSTEM + f"user\nquestion {n}") for n in range(9)}) == 1


def test_a_session_takes_its_own_slot_though_the_end_of_its_prompt_is_another() -> None:
    slots = Slots(3)
    first = took(slots, SYSTEM + "what was recalled " * 90, "chat")
    assert took(slots, SYSTEM + "what was recalled this time " * 90, "chat") == first
    assert took(slots, SYSTEM + "what was recalled by others " * 90, "another") != first


def test_another_kind_of_prompt_of_the_session_leaves_its_conversation_where_it_is() -> None:
    slots = Slots(4)
    chat, choice = SYSTEM + "user\nMy name is Ana. " * 20, "You choose one tool. " * 60
    first = took(slots, chat, "chat")
    chosen = took(slots, choice + "for this", "chat")
    assert chosen != first
    for turn in range(3):
        chat += "and then? " * 9
        assert took(slots, chat, "chat") == first
        assert took(slots, choice + f"for that {turn}", "chat") == chosen


def test_without_anything_in_common_the_oldest_goes() -> None:
    slots = Slots(2)
    assert took(slots, "a" * 99) != took(slots, "b" * 99)
    assert took(slots, "c" * 99) == 0
    assert took(slots, "b" * 99) == 1


def test_a_slot_in_use_is_nobody_elses() -> None:
    slots = Slots(2)
    first = slots.take("same")
    assert slots.take("same") != first
    slots.give_back(first)
    assert slots.take("other") == first


@given(st.text("ab", max_size=12), st.text("ab", max_size=12))
def test_the_common_beginning_is_as_long_as_it_is(one: str, other: str) -> None:
    length = _common(one, other)
    assert one[:length] == other[:length]
    assert one[length : length + 1] != other[length : length + 1] or length == min(len(one), len(other))


@given(st.lists(st.tuples(st.text("ab", max_size=6), st.sampled_from([None, "x", "y"]), st.booleans()), max_size=40))
def test_no_slot_is_given_twice(requests: list[tuple[str, str | None, bool]]) -> None:
    slots, taken = Slots(3), set[int]()
    for prompt, session, end in requests:
        if len(taken) < 3:
            number = slots.take(prompt, session)
            assert number not in taken
            taken.add(number)
        if end and taken:
            slots.give_back(taken.pop())
