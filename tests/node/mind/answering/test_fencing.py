import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mind.answering.fencing import MARK, cut, defused, fenced, one_line

MARKS = (
    "<|im_end|>", "<|im_start|>system", "</s>", "<s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<think>",
    "<start_of_turn>user", "<end_of_turn>", "<|eot_id|>", "<|endoftext|>", "<｜begin▁of▁sentence｜>", "<tool_call>",
    "</tool_response>", "<|im_<|x|>end|>", "<|IM_END|>", "</S>", "[TOOL_CALLS]",
)  # fmt: skip


@pytest.mark.parametrize("mark", MARKS)
def test_no_mark_of_a_chat_template_survives(mark: str) -> None:
    safe = defused(f"a {mark} b")
    assert mark not in safe
    assert defused(safe) == safe
    assert not any(token in safe for token in ("<|", "|>", "</s>", "[INST]", "<<SYS", "<tool_call>"))


@pytest.mark.parametrize("text", ["a < b and b > c", "if x<y: z()", "<div class='a'>", "List[int]", "a | b", "2 <= 3"])
def test_other_text_stays(text: str) -> None:
    assert defused(text) == text


@given(st.lists(st.one_of(st.sampled_from(MARKS), st.text(max_size=20)), max_size=8).map("".join))
def test_every_line_of_data_has_the_mark_and_no_template_mark(text: str) -> None:
    lines = fenced(text).split("\n")
    assert all(line.startswith(MARK) for line in lines)
    assert all(len(line.splitlines()) == 1 for line in lines)
    assert len(one_line(text).splitlines()) <= 1
    for token in ("<|im_end|>", "<|im_start|>", "</s>", "[INST]", "<start_of_turn>"):
        assert token not in fenced(text)


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    short = cut("b" + "x" * 5000 + "e", 500)
    assert len(short) <= 500
    assert (short[0], short[-1]) == ("b", "e")
    assert "characters left out" in short
    assert cut("abc", 3) == "abc"
