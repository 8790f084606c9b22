import pytest

from node.cli.progress import amount, bytes_progress, duration

MB = 1_000_000


def test_a_log_gets_a_line_for_each_tenth_with_rate_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    show = bytes_progress("adding", now_s=lambda: now)
    for done in range(0, 101):
        now = done / 10
        show(done * MB, 100 * MB)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[0] == "adding: 0 bytes of 100 MB (0 %)"
    assert lines[5] == "adding: 50 MB of 100 MB (50 %), 10 MB/s, 5 s left"
    assert lines[10] == "adding: 100 MB of 100 MB (100 %), 10 MB/s"


def test_without_a_total_each_doubling_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    show = bytes_progress("adding", now_s=lambda: 0.0)
    for done in range(1, 1000):
        show(done * MB, None)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[-1] == "adding: 537 MB"


def test_what_is_over_at_once_is_not_worth_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show = bytes_progress("adding", quiet_s=1.0, now_s=lambda: 0.5)
    for done in (0, 50, 100):
        show(done, 100)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_one_line_that_changes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    show = bytes_progress("adding", now_s=lambda: 0.0)
    for done in range(101):
        show(done, 100)
    written = capsys.readouterr().err
    assert written.count("\r") == 101
    assert written.count("\n") == 1


def test_amounts_and_times_as_a_person_says_them() -> None:
    assert [amount(size) for size in (0, 999, 1500, 2_500_000, 25_000_000, 3e9)] == [
        *("0 bytes", "999 bytes", "2 kB", "2.5 MB", "25 MB", "3.0 GB")
    ]
    assert [duration(seconds) for seconds in (0.4, 99, 600, 7200)] == ["0 s", "99 s", "10 min", "2.0 h"]
