"""What the models ask of text that goes out in a message: nothing that its receiver would refuse."""

from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from node.api.routes_mail import FileName
from node.api.wire import Distinct, OneLine, many_lines

LINE = TypeAdapter(Annotated[str, OneLine])
TEXT = TypeAdapter(Annotated[str, many_lines(8)])
LIST = TypeAdapter(Annotated[list[str], Distinct])
FILE = TypeAdapter(FileName)


@pytest.mark.parametrize("text", ["", "Grüße, Welt", "a" * 1000])
def test_a_line_is_taken(text: str) -> None:
    assert LINE.validate_python(text) == text


@pytest.mark.parametrize("text", ["a\nb", "a\tb", "\x85", "\u202eexe.txt", "\x00", "\ud800"])
def test_a_line_has_nothing_that_cannot_be_seen(text: str) -> None:
    with pytest.raises(ValidationError):
        LINE.validate_python(text)


def test_text_is_measured_in_bytes() -> None:
    assert TEXT.validate_python("a\n\tb") == "a\n\tb"
    assert TEXT.validate_python("üüüü") == "üüüü"
    for text in ("üüüüü", "\x85", "\ud800"):
        with pytest.raises(ValidationError):
            TEXT.validate_python(text)


def test_a_list_names_each_thing_once() -> None:
    assert LIST.validate_python(["a", "b"]) == ["a", "b"]
    with pytest.raises(ValidationError):
        LIST.validate_python(["a", "b", "a"])


@pytest.mark.parametrize("name", ["a", "a.txt", ".profile", "...", "..a", "a..", "Grüße.pdf"])
def test_the_name_of_a_file_is_taken(name: str) -> None:
    assert FILE.validate_python(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "/a", "a/b", "a\\b", "../a", ".\\a", "a\nb"])
def test_a_path_is_no_name_of_a_file(name: str) -> None:
    with pytest.raises(ValidationError):
        FILE.validate_python(name)
