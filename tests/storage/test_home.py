import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from storage.errors import HomeBusy, HomeUnwritable
from storage.home import Home

HOLD = """
import sys
from pathlib import Path
from storage.home import Home
with Home(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_create_makes_folders_for_the_owner_alone_and_is_repeatable(tmp_path: Path) -> None:
    home = Home(tmp_path / "a" / "home")
    home.create()
    home.create()
    for folder in (home.path, home.blocks, home.index, home.plugins, home.models, home.logs):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not home.exists


def test_create_tightens_a_home_but_no_folder_that_others_share(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Home(tmp_path).create()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    Home(tmp_path).identity_json.write_bytes(b"{}")
    Home(tmp_path).create()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_second_holder_is_told_who_has_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with home.lock(), pytest.raises(HomeBusy, match=str(os.getpid())) as caught, Home(tmp_path).lock():
        pytest.fail("held twice")
    assert caught.value.pid == os.getpid()
    with home.lock():
        pass


@pytest.mark.slow
def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(HomeBusy) as caught, Home(tmp_path).lock():
            pytest.fail("held twice")
        assert caught.value.pid == child.pid
        child.send_signal(signal.SIGKILL)
        child.wait()
        with Home(tmp_path).lock():
            pass


@pytest.mark.parametrize("where", ["file/home", "file"])
def test_a_home_that_cannot_be_written_says_so(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    home = Home(tmp_path / where)
    with pytest.raises(HomeUnwritable, match=str(tmp_path)) as caught:
        home.create()
    assert "--home" in caught.value.hint
    with pytest.raises(HomeUnwritable), home.lock():
        pytest.fail("held")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_without_permission_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(HomeUnwritable, match="Permission denied"):
        Home(tmp_path / "home").create()
