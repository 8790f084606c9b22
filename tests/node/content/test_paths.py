import pytest

from node.content.errors import TreeRefused
from node.content.paths import check_link, safe_names
from protocols import limits


@pytest.mark.parametrize(
    ("path", "names"),
    [(".", ()), ("./", ()), ("a", ("a",)), ("./a//b/", ("a", "b")), ("...", ("...",)), ("ä/b c", ("ä", "b c"))],
)
def test_paths_inside_a_folder(path: str, names: tuple[str, ...]) -> None:
    assert safe_names(path) == names


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "..", "a/../b", "a/..", "\udcff", "n" * 256, "/".join("a" * (limits.MAX_PATH_PARTS + 1)), "a\0b"],
)
def test_paths_that_lead_out_or_cannot_be_are_refused(path: str) -> None:
    with pytest.raises(TreeRefused):
        safe_names(path)


@pytest.mark.parametrize(("path", "target"), [("a", "b"), ("a/b", "../c"), ("a/b/c", "../../d/e"), ("a", "./b/c")])
def test_links_that_stay_inside(path: str, target: str) -> None:
    check_link(path.split("/"), target)


@pytest.mark.parametrize(
    ("path", "target"),
    [("a", "/etc/passwd"), ("a", ".."), ("a/b", "../.."), ("a/b", "../../x"), ("a", ""), ("a", "b/../c"), ("a", "x\0")],
)
def test_links_that_leave_or_may_leave_are_refused(path: str, target: str) -> None:
    with pytest.raises(TreeRefused):
        check_link(path.split("/"), target)
