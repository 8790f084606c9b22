"""The keystore file: what it gives back, what it refuses, and what it never shows."""

import json
import os
import signal
import stat
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity import keystore
from identity.did import did_key
from identity.errors import (
    KeystoreDamaged,
    KeystoreError,
    KeystoreExists,
    KeystoreMissing,
    PagiError,
    PassphraseNeeded,
    PassphraseUnfit,
    WrongPassphrase,
)
from identity.keys import KeyPair
from identity.multibase import base64url
from identity.sealing import Kdf

CHEAP = Kdf(opslimit=1, memlimit_bytes=8192)
SEED = bytes(range(32))
PASSPHRASE = "correct horse battery"


def never_asked() -> str | None:
    raise AssertionError("nobody should be asked for a passphrase")


def make(folder: Path, passphrase: str | None = PASSPHRASE) -> Path:
    path = folder / "identity.json"
    keystore.create(path, SEED, passphrase, kdf=CHEAP)
    return path


def change(path: Path, **members: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | members))


def test_a_sealed_keystore_gives_the_key_back(tmp_path: Path) -> None:
    opened = keystore.load(make(tmp_path), lambda: PASSPHRASE)
    assert opened.keys.seed == SEED
    assert opened.did == did_key(KeyPair(SEED).public)
    assert opened.sealed
    assert not opened.readable_by_others


def test_an_unsealed_keystore_says_so_and_asks_nobody(tmp_path: Path) -> None:
    path = make(tmp_path, None)
    assert json.loads(path.read_text())["sealed"] is False
    opened = keystore.load(path, never_asked)
    assert (opened.keys.seed, opened.sealed) == (SEED, False)


@pytest.mark.slow  # 256 MiB of argon2id, twice
def test_the_default_cost_is_moderate(tmp_path: Path) -> None:
    path = tmp_path / "identity.json"
    keystore.create(path, SEED, PASSPHRASE)
    kdf = json.loads(path.read_text())["kdf"]
    assert (kdf["opslimit"], kdf["memlimit_bytes"]) == (3, 256 * 1024 * 1024)
    assert keystore.load(path, lambda: PASSPHRASE).keys.seed == SEED


def test_two_keystores_of_one_seed_share_nothing_secret(tmp_path: Path) -> None:
    first = json.loads(make(tmp_path).read_text())
    (tmp_path / "identity.json").unlink()
    second = json.loads(make(tmp_path).read_text())
    assert first["kdf"]["salt"] != second["kdf"]["salt"]
    assert first["cipher"]["nonce"] != second["cipher"]["nonce"]
    assert first["ciphertext"] != second["ciphertext"]


def test_the_file_is_for_its_owner_alone_and_nothing_else_is_left(tmp_path: Path) -> None:
    old_mask = os.umask(0)
    try:
        path = make(tmp_path)
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_others_may_read_is_reported(tmp_path: Path) -> None:
    path = make(tmp_path, None)
    path.chmod(0o640)
    assert keystore.load(path, never_asked).readable_by_others


def test_an_existing_keystore_is_never_replaced(tmp_path: Path) -> None:
    path = make(tmp_path)
    before = path.read_bytes()
    with pytest.raises(KeystoreExists):
        keystore.create(path, bytes(32), None)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match="cannot be written"):
        keystore.create(tmp_path / "missing" / "identity.json", SEED, None)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeystoreError, match="No space left"):
        make(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_file_and_its_folder_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    real = os.fsync

    def watched(handle: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(handle).st_mode))
        real(handle)

    monkeypatch.setattr(os, "fsync", watched)
    make(tmp_path)
    assert synced == [False, True]


def test_a_missing_keystore(tmp_path: Path) -> None:
    with pytest.raises(KeystoreMissing):
        keystore.load(tmp_path / "identity.json", never_asked)


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match="cannot be read"):
        keystore.load(tmp_path, never_asked)


def test_a_wrong_passphrase(tmp_path: Path) -> None:
    with pytest.raises(WrongPassphrase):
        keystore.load(make(tmp_path), lambda: PASSPHRASE + "!")


def test_nobody_to_ask(tmp_path: Path) -> None:
    with pytest.raises(PassphraseNeeded):
        keystore.load(make(tmp_path), lambda: None)


@pytest.mark.parametrize("passphrase", ["", "seven 7", "x" * 1025])
def test_passphrases_out_of_bounds(tmp_path: Path, passphrase: str) -> None:
    with pytest.raises(PassphraseUnfit):
        make(tmp_path, passphrase)
    assert list(tmp_path.iterdir()) == []
    path = make(tmp_path)
    with pytest.raises(WrongPassphrase):
        keystore.load(path, lambda: passphrase)


def test_composed_and_decomposed_accents_are_one_passphrase(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "cafés à gogo") for form in ("NFC", "NFD"))
    assert composed != decomposed
    assert keystore.load(make(tmp_path, composed), lambda: decomposed).keys.seed == SEED


@pytest.mark.parametrize(
    "kdf",
    [
        {"opslimit": 17},
        {"opslimit": 0},
        {"opslimit": True},
        {"opslimit": 1.5},
        {"memlimit_bytes": 100 * 2**30},
        {"memlimit_bytes": 2**30 + 1},
        {"memlimit_bytes": 1},
        {"memlimit_bytes": "8192"},
        {"name": "scrypt"},
        {"salt": "AAAA"},
        {"salt": "!"},
        {"salt": None},
    ],
)
def test_a_hostile_key_derivation_is_refused_before_anybody_is_asked(tmp_path: Path, kdf: dict[str, Any]) -> None:
    path = make(tmp_path)
    change(path, kdf=json.loads(path.read_text())["kdf"] | kdf)
    with pytest.raises(KeystoreDamaged):
        keystore.load(path, never_asked)


@pytest.mark.parametrize(
    "members",
    [
        {"format": "something-else"},
        {"version": 2},
        {"sealed": "yes"},
        {"sealed": False},
        {"did": 7},
        {"kdf": None},
        {"cipher": {"name": "rot13"}},
        {"ciphertext": "AAAA"},
        {"extra": float("nan")},
        {"extra": "\ud800"},
    ],
)
def test_damaged_files_are_refused_before_anybody_is_asked(tmp_path: Path, members: dict[str, Any]) -> None:
    path = make(tmp_path)
    change(path, **members)
    with pytest.raises(KeystoreDamaged):
        keystore.load(path, never_asked)


@pytest.mark.parametrize(
    "members", [{"did": "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"}, {"note": "added later"}]
)
def test_the_header_is_authenticated(tmp_path: Path, members: dict[str, Any]) -> None:
    path = make(tmp_path)
    change(path, **members)
    with pytest.raises(WrongPassphrase):
        keystore.load(path, lambda: PASSPHRASE)


def test_an_unsealed_key_that_is_not_the_named_one(tmp_path: Path) -> None:
    path = make(tmp_path, None)
    change(path, did="did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK")
    with pytest.raises(KeystoreDamaged):
        keystore.load(path, never_asked)


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{", b"\xff", b"[" * 10_000, b" " * 20_000])
def test_files_that_are_no_keystore(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "identity.json"
    path.write_bytes(data)
    with pytest.raises(KeystoreDamaged):
        keystore.load(path, never_asked)


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_no_changed_byte_gives_another_key(tmp_path_factory: pytest.TempPathFactory, place: int, byte: int) -> None:
    path = make(tmp_path_factory.mktemp("home"))
    data = bytearray(path.read_bytes())
    data[place % len(data)] = byte
    path.write_bytes(data)
    try:
        opened = keystore.load(path, lambda: PASSPHRASE)
    except KeystoreError:
        return
    assert opened.keys.seed == SEED


def test_the_secret_is_in_no_representation_and_no_error(tmp_path: Path) -> None:
    path = make(tmp_path, None)
    encoded = json.loads(path.read_text())["seed"]
    opened = keystore.load(path, never_asked)
    assert SEED.hex() not in repr(opened)
    assert encoded not in repr(opened)
    change(path, did="did:key:z6Mk")
    with pytest.raises(PagiError) as caught:
        keystore.load(path, never_asked)
    assert encoded not in repr(caught.value)
    sealed = tmp_path / "sealed.json"
    keystore.create(sealed, SEED, PASSPHRASE, kdf=CHEAP)
    with pytest.raises(WrongPassphrase) as refused:
        keystore.load(sealed, lambda: "another passphrase")
    assert "passphrase" in str(refused.value)
    assert "another passphrase" not in str(refused.value)
    assert PASSPHRASE not in str(refused.value)


def rotated(path: Path, passphrase: str | None, times: int = 1) -> list[bytes]:
    """Replace the key so often; gives the seeds, the first one first."""
    seeds = [SEED]
    for number in range(1, times + 1):
        seeds.append(bytes([number]) * 32)
        held = keystore.load(path, lambda: passphrase)
        papers = {"credential": f"paper {number}"}
        keystore.replace_key(path, held, seeds[-1], papers=papers, passphrase=passphrase, kdf=CHEAP)
    return seeds


@pytest.mark.parametrize("passphrase", [PASSPHRASE, None])
def test_a_new_key_takes_the_old_ones_place_and_keeps_it(tmp_path: Path, passphrase: str | None) -> None:
    path = make(tmp_path, passphrase)
    first, second, third = rotated(path, passphrase, 2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    opened = keystore.load(path, lambda: passphrase)
    assert (opened.keys.seed, opened.rotations, opened.sealed) == (third, 2, passphrase is not None)
    assert [old.keys.seed for old in opened.retired] == [first, second]
    assert [old.papers for old in opened.retired] == [{"credential": "paper 1"}, {"credential": "paper 2"}]
    dids = [did_key(KeyPair(seed).public) for seed in (first, second)]
    assert keystore.names_in(path) == (opened.did, tuple(dids))
    assert [name.name for name in tmp_path.iterdir()] == ["identity.json"]
    if passphrase is not None:
        text = path.read_text()
        assert not any(base64url(seed) in text for seed in (first, second, third))


def test_keys_from_very_long_ago_are_dropped_and_counted(tmp_path: Path) -> None:
    path = make(tmp_path)
    seeds = rotated(path, PASSPHRASE, keystore.MAX_RETIRED + 2)
    opened = keystore.load(path, lambda: PASSPHRASE)
    assert [old.keys.seed for old in opened.retired] == seeds[2:-1]
    assert opened.rotations == keystore.MAX_RETIRED + 2


@pytest.mark.parametrize(
    "members",
    [
        {"retired": []},
        {"retired": None},
        {"retired": [{"did": "did:key:z6Mk", "papers": {}}] * 9},
        {"retired": [{"did": 7, "papers": {}}]},
        {"retired": [{"did": "did:key:z6Mk", "papers": {"a": 1}}]},
        {"retired": ["x"]},
        {"rotations": 0},
        {"rotations": True},
        {"version": 1},
    ],
)
def test_a_damaged_list_of_retired_keys_is_refused_before_anybody_is_asked(
    tmp_path: Path, members: dict[str, Any]
) -> None:
    path = make(tmp_path)
    rotated(path, PASSPHRASE)
    change(path, **members)
    with pytest.raises(KeystoreDamaged):
        keystore.load(path, never_asked)


def test_the_papers_are_authenticated_with_the_keys(tmp_path: Path) -> None:
    path = make(tmp_path)
    rotated(path, PASSPHRASE)
    (entry,) = json.loads(path.read_text())["retired"]
    change(path, retired=[{**entry, "papers": {"credential": "another"}}])
    with pytest.raises(WrongPassphrase):
        keystore.load(path, lambda: PASSPHRASE)


def test_a_crash_at_any_step_of_a_rotation_leaves_the_old_key_or_the_new(tmp_path: Path) -> None:
    """Each call that reaches the disk is once the last one."""
    seen = set()
    for step in range(1, 50):
        folder = tmp_path / str(step)
        folder.mkdir()
        path = make(folder)
        held = keystore.load(path, lambda: PASSPHRASE)
        child = os.fork()
        if child == 0:  # pragma: no cover - it dies in here
            try:
                _die_at(step)
                keystore.replace_key(path, held, bytes(32), papers={}, passphrase=PASSPHRASE, kdf=CHEAP)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        opened = keystore.load(path, lambda: PASSPHRASE)
        assert opened.keys.seed in (SEED, bytes(32))
        assert [old.keys.seed for old in opened.retired] == ([] if opened.keys.seed == SEED else [SEED])
        seen.add(opened.keys.seed)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
            break
    assert seen == {SEED, bytes(32)}
    assert step > 4


def _die_at(step: int) -> None:
    """Kill this process just before its `step`-th change of the file system."""
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in {"open", "os.rename", "os.remove", "os.link", "tempfile.mkstemp", "test.fsync"}:
            count += 1
            if count >= step:
                os.kill(os.getpid(), signal.SIGKILL)

    real = os.fsync

    def fsync(handle: int) -> None:
        sys.audit("test.fsync")
        real(handle)

    os.fsync = fsync
    sys.addaudithook(hook)
