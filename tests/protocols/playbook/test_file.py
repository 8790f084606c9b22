"""Reading a playbook.toml: the original form whole, and hostile text within bounds."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import limits
from protocols.errors import MalformedMessage, RemoteProtocolError, TooDeep, TooLarge
from protocols.playbook.file import FileBullet, PlaybookFile, leaves, parse

ORIGINAL = '''instructions = """Always: plan -> act -> evaluate -> refine. …"""
version = 5
[[tools]]
name = "system_monitor"
description = "…"
plugin_url = "http://plugin:9001"
endpoint = "/tools/system_monitor"
parameters = { type = "object" }
[metrics]
success_rate = 0.95
average_response_time = 1.2
[optimization]
model_version = "smollm2"
[optimization.meta_orchestration]
new_rule = "move 20% of the load to idle ones"
optimization_weight = 0.2
[sub_agents]
collaboration_mode = "parallel"
[sub_agents.templates]
research = ["planner", "searcher", "critic"]
[context_engineering.filters.pre_execution]
drop = ["small talk"]
[context_engineering.filters.pre_tool_use]
[context_engineering.layers.decomposition]
template = """
query
analyse
synthesise"""
[ethics]
alignment_check = true
[ethics.red_lines]
never = ["harm a person"]
[ethics.harm_categories]
violence = { severity = 3, "sub categories" = ["threat"] }
[[seen]]
on = 2026-11-05T07:30:00Z
by = "us"
'''


def test_the_original_form() -> None:
    file = parse(ORIGINAL)
    assert file.tools == {
        "system_monitor": {
            "description": "…",
            "plugin_url": "http://plugin:9001",
            "endpoint": "/tools/system_monitor",
            "parameters": {"type": "object"},
        }
    }
    assert file.metrics == {"success_rate": 0.95, "average_response_time": 1.2}
    assert file.templates == {"research": ["planner", "searcher", "critic"]}
    assert file.bullets is None
    assert file.notes == ("seen.on: a date is kept as text",)
    assert dict(leaves(file.settings)) == {
        "instructions": "Always: plan -> act -> evaluate -> refine. …",
        "optimization.model_version": "smollm2",
        "optimization.meta_orchestration.new_rule": "move 20% of the load to idle ones",
        "optimization.meta_orchestration.optimization_weight": 0.2,
        "sub_agents.collaboration_mode": "parallel",
        "context_engineering.filters.pre_execution.drop": ["small talk"],
        "context_engineering.filters.pre_tool_use": {},
        "context_engineering.layers.decomposition.template": "query\nanalyse\nsynthesise",
        "ethics.alignment_check": True,
        "ethics.red_lines.never": ["harm a person"],
        "ethics.harm_categories.violence.severity": 3,
        'ethics.harm_categories.violence."sub categories"': ["threat"],
        "seen": [{"on": "2026-11-05T07:30:00+00:00", "by": "us"}],
    }


def test_bullets_that_a_person_wrote() -> None:
    file = parse(
        '[[bullets]]\nsection = "s"\ntext = "t"\n[[bullets]]\nid = "b1"\nsection = "s"\ntext = "u"\ntags = ["x"]'
    )
    assert file.bullets == (FileBullet(None, "s", "t"), FileBullet("b1", "s", "u", ("x",)))
    assert parse("bullets = []").bullets == ()
    assert parse("") == PlaybookFile()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = ", "not TOML"),
        ("a = 1\na = 2", "not TOML"),
        ("instructions = 5", "instructions"),
        ("version = [", "not TOML"),
        ("metrics = 5", "metrics"),
        ('[metrics]\nrate = "high"', "metrics.rate"),
        ("[metrics]\nrate = inf", "metrics.rate"),
        ("[metrics]\nrate = true", "metrics.rate"),
        ("[metrics.deep]\nrate = 1", "metrics.deep"),
        ("[tools]\nname = 'x'", "tools"),
        ("[[tools]]\nx = 1", "number 1: name"),
        ("[[tools]]\nname = 'x'\n[[tools]]\nname = 'x'", "twice"),
        ("[[tools]]\nname = 'x'\nmeta = nan", "the tool x"),
        ("sub_agents = 1", "sub_agents"),
        ("sub_agents.templates = []", "sub_agents.templates"),
        ("[sub_agents.templates]\nx = nan", "'x'"),
        ("[bullets]\nx = 1", "bullets"),
        ("bullets = [1]", "bullets"),
        ("[[bullets]]\nsection = 's'", "number 1: text"),
        ("[[bullets]]\nsection = 's'\ntext = 't'\nid = 5", "number 1: id"),
        ("[[bullets]]\nsection='s'\ntext='t'\nid='b'\n[[bullets]]\nsection='s'\ntext='t'\nid='b'", "twice"),
        ("a = nan", "'a'"),
        ("a.b = [-inf]", "'a.b'"),
        ("a = 1e999", "'a'"),
        ("a = 9007199254740992", "'a'"),
        ("a = " + "9" * 5000, "digits"),
        ("a = 2026-02-31", "not TOML"),
        ('a = "\\u001b[2J"', "'a'"),
        ('"a\\nb" = 1', "'key'"),
        ('"\\u202e" = 1', "'key'"),
        ("x" * 65 + " = 1", "'key'"),
        ("a = '" + "v" * 5000 + "'", "'a'"),
        ("a = [" + "{b = 1}, " * 2000 + "]", "'a'"),
    ],
    ids=lambda value: value[:40].replace("\x1b", "") if isinstance(value, str) else None,
)
def test_what_cannot_be_kept_is_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        parse(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a = 1\n" * (limits.MAX_PLAYBOOK_FILE_BYTES // 6 + 1), TooLarge),
        ("".join(f"k{n}=1\n" for n in range(limits.MAX_PLAYBOOK_FILE_KEYS + 1)), TooLarge),
        ("a = " + "[" * 100_000, TooDeep),
        ("a = " + "{a=" * 100_000, TooDeep),
        ("a = " + "[" * 17 + "]" * 17, TooDeep),
        ("a." * 1_000_000 + "a = 1", TooDeep),
        ("[" + "a . " * 500_000 + "a]", TooDeep),
        ('"a".' * 500_000 + "a = 1", TooDeep),
        ("'a'." * 17 + "a = 1", TooDeep),
    ],
    ids=range(9),
)
def test_hostile_text_is_refused_before_it_is_parsed(
    text: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tomllib, "loads", None)
    with pytest.raises(error):
        parse(text)


def test_brackets_and_dots_within_text_and_comments_are_only_text() -> None:
    text = "[" * 50 + "a." * 50 + '"'
    document = f'a = \'{text}\'\nb = \'\'\'\n{text}\'\'\'\nc = """\n{"[" * 50}\\"\\""" {"a." * 50}"""\n# {text}\n'
    assert set(parse(document).settings) == {"a", "b", "c"}


@pytest.mark.parametrize(
    "text",
    [
        '"""\\' * 100_000,
        '"' * 300_001,
        "'" * 300_001,
        '"""\\"' * 100_000,
        '"\\' * 200_000,
        "'''" + "''" * 200_000,
        "#" * 1_000_000,
        "\\" * 500_000,
    ],
    ids=range(8),
)
def test_the_scan_of_strings_is_linear(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse("a = [" * 17 + text + "\n" + "a = " + text)


TOML_PIECES = st.lists(
    st.sampled_from(
        [*"a=1.[]{}\"'\\#\n ,\x00é", '"""', "'''", "tools", "bullets", "[[bullets]]\n", "id", "metrics", "instructions"]
    )
    | st.sampled_from(["sub_agents.templates", "2026-01-01", "inf", "true", "version"]),
    max_size=30,
).map("".join)


@given(TOML_PIECES | st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        file = parse(text)
    except RemoteProtocolError:
        return
    assert isinstance(file, PlaybookFile)
    assert all(isinstance(key, str) for key, _ in leaves(file.settings))


def test_a_long_file_is_read() -> None:
    text = "".join(f'[[bullets]]\nsection = "s"\ntext = "rule {n}"\n' for n in range(2000))
    bullets = parse(text).bullets
    assert bullets is not None
    assert len(bullets) == 2000
