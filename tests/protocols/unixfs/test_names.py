import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.multibase import CODEC_RAW
from protocols.ipld.errors import UnusablePath
from protocols.limits import MAX_ENTRY_NAME_BYTES, MAX_PATH_PARTS
from protocols.unixfs.names import is_usable, split_names, split_path, stays_inside

ROOT = Cid.of(CODEC_RAW, b"tide")


@pytest.mark.parametrize("name", ["a", "...", ".hidden", "a b", "\\", "日本語", "x" * MAX_ENTRY_NAME_BYTES])
def test_names_that_a_folder_may_hold(name: str) -> None:
    assert is_usable(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/", "a/b", "../x", "a\0", "x" * (MAX_ENTRY_NAME_BYTES + 1), "ü" * 128, "\udcff"]
)
def test_names_that_no_folder_may_hold(name: str) -> None:
    assert not is_usable(name)


@pytest.mark.parametrize("prefix", ["", "/ipfs/", "ipfs://"])
def test_a_path_is_a_cid_and_names(prefix: str) -> None:
    assert split_path(f"{prefix}{ROOT}") == (ROOT, ())
    assert split_path(f"{prefix}{ROOT}/") == (ROOT, ())
    assert split_path(f"{prefix}{ROOT}/a b/ü.txt") == (ROOT, ("a b", "ü.txt"))
    assert split_path(f"{prefix}{ROOT}/a/") == (ROOT, ("a",))


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "a/b",
        "QmNotACid",
        f"{ROOT}//a",
        f"{ROOT}/a//b",
        f"{ROOT}/a/../b",
        f"{ROOT}/./b",
        f"{ROOT}/a\0",
        f"{ROOT}/" + "a/" * (MAX_PATH_PARTS + 1),
    ],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(UnusablePath):
        split_path(path)


@given(st.lists(st.text(min_size=1, max_size=20).filter(is_usable), max_size=8))
def test_names_come_back(names: list[str]) -> None:
    assert split_names("/".join(names)) == tuple(names)


@pytest.mark.parametrize(
    ("folder", "target"),
    [((), "a"), ((), "a/../b"), (("d",), "../a"), (("d", "e"), "../../a/./b"), ((), "."), (("d",), "..")],
)
def test_a_link_that_stays_inside(folder: tuple[str, ...], target: str) -> None:
    assert stays_inside(folder, target)


@pytest.mark.parametrize(
    ("folder", "target"),
    [
        ((), ".."),
        ((), "/etc/passwd"),
        ((), "a/../../b"),
        (("d",), "../../a"),
        (("d",), "../../d/a"),
        (("d",), "a//../../../b"),
        ((), ""),
        ((), "a\0"),
    ],
)
def test_a_link_that_leads_out(folder: tuple[str, ...], target: str) -> None:
    assert not stays_inside(folder, target)
