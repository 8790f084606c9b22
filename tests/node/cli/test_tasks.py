"""What `pagi task` takes."""

import pytest

from node.cli.main import main


@pytest.mark.parametrize("quality", ["-0.1", "1.01", "nan", "good"])
def test_a_quality_is_a_share(quality: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["task", "rate", "id", quality])
    assert ended.value.code == 2
    assert "QUALITY" in capsys.readouterr().err
