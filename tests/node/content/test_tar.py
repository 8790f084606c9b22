import asyncio
import io
import tarfile

import pytest

from node.content.errors import TreeRefused
from node.content.tar import Member, TarStream
from protocols import limits
from tests.node.content.content_parts import pieces, tar_of

MEMBERS: dict[str, bytes | str | None] = {
    "docs": None,
    "docs/empty": b"",
    "docs/tide.txt": b"tide" * 1000,
    "link": "docs/tide.txt",
    "long/" + "n" * 180 + "/" + "ö" * 90: b"deep",
}


def read(data: bytes, piece_bytes: int = 65536) -> dict[str, tuple[Member, bytes]]:
    async def main() -> dict[str, tuple[Member, bytes]]:
        tar = TarStream(pieces(data, piece_bytes))
        return {member.path: (member, b"".join([p async for p in tar.content()])) async for member in tar.members()}

    return asyncio.run(main())


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("piece_bytes", [1, 511, 512, 70_000])
def test_members_come_whole_from_pieces_of_any_size(kind: int, piece_bytes: int) -> None:
    found = read(tar_of(MEMBERS, kind), piece_bytes)
    assert found.keys() == MEMBERS.keys()
    for path, value in MEMBERS.items():
        member, content = found[path]
        if isinstance(value, bytes):
            assert (member.kind, content, member.size_bytes) == ("file", value, len(value))
        else:
            assert (member.kind, member.target) == (("folder", "") if value is None else ("symlink", value))


def test_content_that_is_not_read_is_passed_over() -> None:
    async def main() -> list[str]:
        return [member.path async for member in TarStream(pieces(tar_of(MEMBERS))).members()]

    assert asyncio.run(main()) == list(MEMBERS)


def special(kind: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("special")
        info.type, info.linkname = kind, "other"
        tar.addfile(info)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.LNKTYPE])
def test_what_is_neither_file_nor_folder_nor_link_is_refused(kind: bytes) -> None:
    with pytest.raises(TreeRefused, match="special"):
        read(special(kind))


def test_a_folder_has_no_content_that_could_be_lost() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("n" * 120 + "/")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"tide"))
    with pytest.raises(TreeRefused, match="is no file"):
        read(buffer.getvalue())


def test_no_tar_and_half_a_tar_are_refused() -> None:
    whole = tar_of({"a": b"tide" * 500})
    with pytest.raises(TreeRefused, match="not sent as a tar stream"):
        read(b"no tar at all" * 100)
    for cut in (0, 100, 512, 1000, 2047):
        with pytest.raises(TreeRefused, match="ends in the middle"):
            read(whole[:cut])
    with pytest.raises(TreeRefused, match="damaged"):
        read(bytes([whole[0] ^ 1]) + whole[1:])


def test_headers_without_bound_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TreeRefused, match="header"):
        read(tar_of({"n" * (limits.MAX_TAR_HEADER_BYTES + 1): b""}, tarfile.GNU_FORMAT))
    monkeypatch.setattr(limits, "MAX_TAR_TAIL_BYTES", 20_000)
    with pytest.raises(TreeRefused, match="behind the end"):
        read(tar_of({"a": b""}) + bytes(30_000))


@pytest.mark.parametrize("records", [b"17 path", b"x path=a\n", b"9 path=a\n" * 2 + b"99999999999 a=b\n", b"8 path=a"])
def test_damaged_pax_records_are_refused(records: bytes) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(records)
    header = info.tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(TreeRefused):
        read(header + records + bytes(-len(records) % 512) + tar_of({"a": b""}))
