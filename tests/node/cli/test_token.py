import stat
from pathlib import Path

from node.cli.up import _token
from storage.home import Home


def test_the_token_is_for_its_owner_alone_and_stays(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    token = _token(home)
    assert len(token) >= 43, "256 bits"
    assert stat.S_IMODE(home.api_token.stat().st_mode) == 0o600
    assert _token(home) == token
    other = Home(tmp_path / "other")
    other.create()
    assert _token(other) != token
