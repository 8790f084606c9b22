"""The command line itself: options in any place, exit statuses, a quick start."""

import argparse
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.cli.main import main, make_parser

PAGI = [sys.executable, "-c", "import sys; from node.cli.main import main; sys.exit(main())"]


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of all its subcommands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from parsers(child)


def test_every_command_takes_home_and_json_and_has_a_handler() -> None:
    for parser in parsers(make_parser()):
        options = {option for action in parser._actions for option in action.option_strings}
        assert {"--home", "--json"} <= options, parser.prog
        has_children = any(isinstance(action, argparse._SubParsersAction) for action in parser._actions)
        assert has_children or callable(parser.get_default("handler")), parser.prog
        assert parser.description, parser.prog


@pytest.mark.parametrize(
    "words",
    [
        ["--home", "{home}", "--json", "playbook", "show"],
        ["playbook", "--home", "{home}", "show", "--json"],
        ["--json", "playbook", "show", "--home", "{home}"],
        ["--home", "elsewhere", "playbook", "--json", "show", "--home", "{home}"],
    ],
)
def test_common_options_stand_anywhere(
    words: list[str], running_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word.format(home=running_home) for word in words]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "common"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["approvals"], ["approvals", "list"]),
        (["emotion"], ["emotion", "show"]),
        (["fleet"], ["fleet", "status"]),
        (["memory"], ["memory", "list"]),
    ],
)
def test_a_group_by_itself_shows_what_there_is(
    words: list[str], meant: list[str], running_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--home", str(running_home), *words]) == 0
    by_itself = capsys.readouterr().out
    assert main(["--home", str(running_home), *meant]) == 0
    assert by_itself == capsys.readouterr().out
    assert main([*words, "--json", "--home", str(running_home)]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), dict)


def test_every_group_by_itself_stands_for_one_that_shows() -> None:
    alone = {
        *("approvals", "check", "emotion", "fleet", "identity", "invitations", "learning", "memory", "model"),
        *("provider", "redlines", "task", "trust", "vc"),
    }
    found = {
        parser.prog.split()[-1]
        for parser in parsers(make_parser())
        if any(isinstance(action, argparse._SubParsersAction) for action in parser._actions)
        and parser.get_default("handler")
    }
    assert found == alone


@pytest.mark.parametrize(
    "words", [[], ["nothing"], ["ask"], ["playbook"], ["peers", "--limit", "0"], ["peers", "--limit", "x"], ["id", "x"]]
)
def test_wrong_usage_exits_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(words)
    assert raised.value.code == 2
    assert "usage: pagi" in capsys.readouterr().err


def test_without_a_node_it_exits_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(tmp_path), "id", "--json"]) == 3
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert (document["code"], document["status"]) == (50390, 503)
    assert "pagi up" in document["hint"]
    assert str(tmp_path) in err


def test_a_node_that_died_exits_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    (tmp_path / "api").write_text(f"http://127.0.0.1:{port}\n")
    (tmp_path / "api-token").write_text("token\n")
    assert main(["--home", str(tmp_path), "id"]) == 3
    assert f"127.0.0.1:{port}" in capsys.readouterr().err


def test_a_wrong_token_exits_with_1(running_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "api").write_text((running_home / "api").read_text())
    (tmp_path / "api-token").write_text("wrong\n")
    assert main(["--home", str(tmp_path), "id", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["code"] == 40180


def test_the_home_comes_from_the_environment(
    running_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PAGI_HOME", str(running_home))
    assert main(["id"]) == 0
    monkeypatch.delenv("PAGI_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "pagi").symlink_to(running_home)
    assert main(["id"]) == 0
    assert capsys.readouterr().out.count("fake") == 2


@pytest.mark.slow
def test_the_real_command_starts_without_heavy_imports(running_home: Path) -> None:
    code = (
        "import sys\n"
        "from node.cli.main import main\n"
        "status = main(sys.argv[1:])\n"
        "heavy = {'aiohttp', 'asyncio', 'libp2p', 'numpy', 'pydantic', 'nacl', 'trio'} & set(sys.modules)\n"
        "sys.exit(f'heavy: {heavy}' if heavy else status)\n"
    )
    for words in (["version", "--json"], ["--home", str(running_home), "id"]):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_as_a_process_it_keeps_results_and_errors_apart(running_home: Path, tmp_path: Path) -> None:
    good = subprocess.run([*PAGI, "--home", str(running_home), "id", "--json"], capture_output=True, check=False)
    assert (good.returncode, good.stderr) == (0, b"")
    assert json.loads(good.stdout)["name"] == "fake"
    bad = subprocess.run([*PAGI, "--home", str(tmp_path), "id"], capture_output=True, check=False)
    assert (bad.returncode, bad.stdout) == (3, b"")
    assert len(bad.stderr.splitlines()) == 2


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_traceback(running_home: Path) -> None:
    with subprocess.Popen(
        [*PAGI, "--home", str(running_home), "twins"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        error = process.stderr.read()
        assert process.wait(timeout=30) == 1
    assert error == b""
