"""The archive inside: `tar` reads what we write, and we read nothing that could leave the home."""

import contextlib
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.backup.archive import END, MAX_NAME_BYTES, Entry, content_of, header_of, next_entry, padding_of
from node.backup.errors import BackupUnsafe


class Bytes:
    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size_bytes: int) -> bytes:
        data = self._file.read(size_bytes)
        if len(data) < size_bytes:
            raise EOFError
        return data


def archive(*files: tuple[str, bytes]) -> bytes:
    parts = [header_of(Entry(name, len(data))) + data + padding_of(len(data)) for name, data in files]
    return b"".join(parts) + END


def made_by_tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def read(data: bytes) -> dict[str, bytes]:
    source, found = Bytes(data), {}
    while (entry := next_entry(source)) is not None:
        found[entry.name] = b"".join(content_of(entry, source))
    return found


NAME = st.text(st.characters(exclude_characters="/\\\0", codec="utf-8"), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..")
)


@given(st.dictionaries(st.lists(NAME, min_size=1, max_size=4).map("/".join), st.binary(max_size=1500), max_size=5))
def test_what_was_written_is_read_and_tar_agrees(files: dict[str, bytes]) -> None:
    whole = archive(*files.items())
    assert read(whole) == files
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        members = {info.name: info for info in tar.getmembers()}
        assert {name: info.size for name, info in members.items()} == {name: len(data) for name, data in files.items()}


def test_a_file_may_be_larger_than_eight_gigabytes() -> None:
    entry = next_entry(Bytes(header_of(Entry("node.db", 1 << 40))))
    assert entry == Entry("node.db", 1 << 40)


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../up", "a/../b", "a//b", "./a", "a/.", "", "a/", "a\\b", "x" * (MAX_NAME_BYTES + 1)],
)
def test_a_name_that_leads_elsewhere_is_neither_written_nor_read(name: str) -> None:
    with pytest.raises(BackupUnsafe):
        header_of(Entry(name, 0))
    info = tarfile.TarInfo(name)
    with pytest.raises(BackupUnsafe):
        read(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + END)


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
        tarfile.GNUTYPE_SPARSE,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.GNUTYPE_LONGLINK,
    ],
)
def test_what_is_no_file_is_refused(kind: bytes) -> None:
    info = tarfile.TarInfo("blocks")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(BackupUnsafe):
        read(info.tobuf(tarfile.GNU_FORMAT) + END)


def test_extended_headers_are_refused_whatever_is_in_them() -> None:
    data = made_by_tar((tarfile.TarInfo("ü" * 60), b""), form=tarfile.PAX_FORMAT)
    with pytest.raises(BackupUnsafe):
        read(data)


def test_a_long_name_without_a_file_or_without_end() -> None:
    long = header_of(Entry("x" * 300, 0))
    with pytest.raises(BackupUnsafe):
        read(long[: -tarfile.BLOCKSIZE] + END)
    endless = tarfile.TarInfo("././@LongLink")
    endless.type, endless.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    with pytest.raises(BackupUnsafe):
        read(endless.tobuf(tarfile.GNU_FORMAT))


@given(st.binary(min_size=512, max_size=2048))
def test_any_bytes_are_an_archive_or_refused(data: bytes) -> None:
    with contextlib.suppress(BackupUnsafe, EOFError):
        read(data)
