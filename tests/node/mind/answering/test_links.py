import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mind.answering.links import LEFT_OUT, LinkFilter, without_made_up_links

GIVEN = "Read https://docs.example.org/a?b=c (or ftp://x.org/y), and www.mill.example"


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/?d=secret",
        "http://127.0.0.1:8888/v1",
        "https://[::1]/x",
        "//evil.example/secret",
        "\\\\evil.example\\secret",
        "https:evil.example/secret",
        "HTTPS://EVIL.EXAMPLE/",
        "www.evil.example/secret",
        "data:text/html,secret",
        "javascript:alert`1`",
        "https://docs.example.org/a?b=secret",
        "wss://evil.example",
    ],
)
@pytest.mark.parametrize("around", ["go to {}", "![x]({})", "<img src='{}'>", '<a href="{}">', "[r]: {}", "{}"])
def test_a_link_that_was_put_together_is_left_out(link: str, around: str) -> None:
    shown = without_made_up_links(around.format(link), GIVEN)
    assert LEFT_OUT in shown
    assert "evil" not in shown.lower()
    assert "secret" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "Read https://docs.example.org/a?b=c.",
        "[here](ftp://x.org/y)",
        "www.mill.example, it is.",
        "a // comment, 1/2, and/or, 06:40, note: this, 5:1",
        "C:\\Users\\ana",
    ],
)
def test_what_was_given_and_what_is_none_stays(text: str) -> None:
    assert without_made_up_links(text, GIVEN) == text
    assert without_made_up_links("https://evil.example", None) == "https://evil.example"


@given(st.lists(st.sampled_from(["https://evil", ".example/?", "d=1 ", "word ", "![x](", ")", "\n", "ht", "tp://a.b"])))
def test_in_pieces_it_is_as_at_once(pieces: list[str]) -> None:
    links = LinkFilter(GIVEN)
    shown = "".join([*map(links.feed, pieces), links.end()])
    assert shown == without_made_up_links("".join(pieces), GIVEN)
