import pytest
from hypothesis import example, given
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
    [((), "a"), ((), "./a//b"), (("d",), "../a"), (("d", "e"), ".././../a/./b"), ((), "."), (("d",), "..")],
)
def test_a_link_that_stays_inside(folder: tuple[str, ...], target: str) -> None:
    assert stays_inside(folder, target)


@pytest.mark.parametrize(
    ("folder", "target"),
    [
        ((), ".."),
        ((), "/etc/passwd"),
        ((), "a/../../b"),
        ((), "a/../b"),
        ((), "d/e/.."),
        (("d",), "../d/e/../../.."),
        (("d",), "../../a"),
        (("d",), "../../d/a"),
        (("d",), "a//../../../b"),
        ((), ""),
        ((), "a\0"),
    ],
)
def test_a_link_that_leads_out(folder: tuple[str, ...], target: str) -> None:
    assert not stays_inside(folder, target)


NAMES = st.sampled_from(["a", "b", "c"])


@given(
    st.dictionaries(
        st.lists(NAMES, min_size=1, max_size=3).map(tuple),
        st.lists(NAMES | st.sampled_from(["..", "."]), min_size=1, max_size=5).map("/".join),
        max_size=6,
    )
)
@example({("d", "e"): "..", ("z",): "d/e/.."})
def test_no_way_through_allowed_links_leads_out(links: dict[tuple[str, ...], str]) -> None:
    """Links in real folders, each allowed by itself, followed step by step as a file system does."""
    folders = {path[:end] for path in links for end in range(len(path))}
    allowed = {
        path: target for path, target in links.items() if path not in folders and stays_inside(path[:-1], target)
    }
    for path in allowed:
        place, to_go, steps = (), list(path), 0
        while to_go and steps < 200:
            part, steps = to_go.pop(0), steps + 1
            if part == "..":
                assert place, f"{path} leads out: {allowed}"
                place = place[:-1]
            elif part != ".":
                if (*place, part) in allowed:
                    to_go = [*allowed[*place, part].split("/"), *to_go]
                else:
                    place = (*place, part)
