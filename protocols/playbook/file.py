"""Reading a playbook.toml, ours or one of the original form, into what it says of a playbook.

Every table that has no meaning of its own is a setting, so nothing gets lost. TOML is richer than a playbook in one
place: a date has no type there, and is kept as text; `PlaybookFile.notes` says where. The text is measured before the
parser sees it, whose cost is the square of a dotted key's length.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, cast

from protocols import fields, limits
from protocols.errors import MalformedMessage, TooDeep, TooLarge
from protocols.playbook.keys import join_key
from protocols.playbook.ops import RENDERED_TABLES, TEMPLATES, Value, read_value

_STRING_OR_COMMENT: Final = re.compile(
    r'"""(?:[^"\\]|\\.?|"(?!""))*+(?:"""|\Z)'
    r"|'''(?:[^']|'(?!''))*+(?:'''|\Z)"
    r'|"(?:[^"\\\n]|\\.?)*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+",
    re.DOTALL,
)
"""Each matches wherever it begins, and the first two up to the end of the text if need be: the scan stays linear."""

_LONG_KEY: Final = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{limits.MAX_PLAYBOOK_FILE_DEPTH}}}")
_NOT_BRACKETS: Final = re.compile(r"[^][{}]++")


@dataclass(frozen=True, slots=True)
class FileBullet:
    """A bullet of a file. One that a person wrote has no `id`, and perhaps no tags."""

    id: str | None
    section: str
    text: str
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class PlaybookFile:
    """What a file says. `settings` are nested tables, `instructions` among them; `bullets` is None without a list.

    `notes` are lines for whoever gave the file: what was read otherwise than it stands there.
    """

    settings: Mapping[str, Value] = field(default_factory=dict)
    tools: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    templates: Mapping[str, Value] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    bullets: tuple[FileBullet, ...] | None = None
    notes: tuple[str, ...] = ()


def parse(text: str) -> PlaybookFile:
    """Read a playbook.toml. Raises RemoteProtocolError: TooLarge, TooDeep, or MalformedMessage that names the place."""
    return read_tables(parse_toml(text))


def parse_toml(text: str) -> Mapping[str, object]:
    """Parse TOML within the bounds on files. Raises RemoteProtocolError."""
    if (
        len(text) > limits.MAX_PLAYBOOK_FILE_BYTES
        or len(text.encode(errors="surrogatepass")) > limits.MAX_PLAYBOOK_FILE_BYTES
    ):
        raise TooLarge(f"the file is over {limits.MAX_PLAYBOOK_FILE_BYTES} bytes")
    text = text.removeprefix("\ufeff")
    _check_shape(_STRING_OR_COMMENT.sub("s", text))
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MalformedMessage(f"not TOML: {error}") from error
    except ValueError as error:  # the interpreter's own bound on the digits of a whole number
        raise MalformedMessage("not TOML: a number of too many digits, or a date that does not exist") from error


def read_tables(document: Mapping[str, object]) -> PlaybookFile:
    """What a parsed file, TOML or JSON, says of a playbook. Raises MalformedMessage."""
    notes: list[str] = []
    tables = {key: _plain(value, key, notes) for key, value in document.items()}
    bullets = tables.get("bullets")
    templates = _templates(tables)
    settings = {key: value for key, value in tables.items() if key not in RENDERED_TABLES and key != TEMPLATES[0]}
    agents = tables.get(TEMPLATES[0])
    if isinstance(agents, Mapping) and (others := {k: v for k, v in agents.items() if k != TEMPLATES[1]}):
        settings[TEMPLATES[0]] = others
    if "instructions" in settings and not isinstance(settings["instructions"], str):
        raise MalformedMessage("'instructions' is not text")
    for key, value in leaves(settings):
        read_value(value, key)
    return PlaybookFile(
        settings=cast(Mapping[str, Value], settings),
        tools=_tools(tables.get("tools", [])),
        templates={_name(key, "templates"): read_value(body, key) for key, body in templates.items()},
        metrics=_metrics(tables.get("metrics", {})),
        bullets=None if bullets is None else _bullets(bullets),
        notes=tuple(notes),
    )


def leaves(tables: Mapping[str, object], above: tuple[str, ...] = ()) -> Iterator[tuple[str, object]]:
    """The settings of nested tables by their dotted keys: what is no table, or an empty one, or as deep as keys go."""
    for key, value in tables.items():
        path = (*above, key)
        if isinstance(value, Mapping) and value and len(path) < limits.MAX_KEY_SEGMENTS:
            yield from leaves(value, path)
        else:
            yield join_key(path), value


def _check_shape(bare: str) -> None:
    """Bound depth and number of keys of TOML text whose strings and comments were taken out."""
    if bare.count("=") > limits.MAX_PLAYBOOK_FILE_KEYS:
        raise TooLarge(f"the file has over {limits.MAX_PLAYBOOK_FILE_KEYS} keys")
    steps = (1 if bracket in "[{" else -1 for bracket in _NOT_BRACKETS.sub("", bare))
    if _LONG_KEY.search(bare) or max(accumulate(steps), default=0) > limits.MAX_PLAYBOOK_FILE_DEPTH:
        raise TooDeep(f"tables or arrays are nested over {limits.MAX_PLAYBOOK_FILE_DEPTH} deep")


def _plain(value: object, where: str, notes: list[str]) -> object:
    """A value without dates, each of which is noted. Its depth was bounded."""
    if isinstance(value, Mapping):
        return {key: _plain(item, f"{where}.{key}", notes) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, where, notes) for item in value]
    if hasattr(value, "isoformat"):
        notes.append(f"{where}: a date is kept as text")
        return str(value.isoformat())
    return value


def _templates(tables: Mapping[str, object]) -> Mapping[str, object]:
    agents = tables.get(TEMPLATES[0], {})
    templates = agents.get(TEMPLATES[1], {}) if isinstance(agents, Mapping) else None
    if not isinstance(templates, Mapping):
        raise MalformedMessage("[sub_agents] or [sub_agents.templates] is not a table")
    return templates


def _tools(value: object) -> dict[str, Mapping[str, Value]]:
    tools: dict[str, Mapping[str, Value]] = {}
    for number, item in enumerate(_rows(value, "tools"), 1):
        name = _name(item.get("name"), f"tools, number {number}: name")
        if name in tools:
            raise MalformedMessage(f"the tool {name!r} stands twice in [[tools]]")
        meta = read_value({key: value for key, value in item.items() if key != "name"}, f"the tool {name}")
        assert isinstance(meta, Mapping)
        tools[name] = meta
    return tools


def _metrics(value: object) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise MalformedMessage("'metrics' is not a table")
    most = limits.MAX_METRIC_SUM
    return {_name(key, "metrics"): fields.number(item, f"metrics.{key}", -most, most) for key, item in value.items()}


def _bullets(value: object) -> tuple[FileBullet, ...]:
    found = []
    for number, item in enumerate(_rows(value, "bullets"), 1):
        where = f"bullets, number {number}"
        key, tags = item.get("id"), item.get("tags")
        found.append(
            FileBullet(
                id=None if key is None else fields.line(key, f"{where}: id", limits.MAX_SECTION_CHARS),
                section=fields.line(item.get("section"), f"{where}: section", limits.MAX_SECTION_CHARS),
                text=fields.text(item.get("text"), f"{where}: text", limits.MAX_TEXT_BYTES, min_bytes=1),
                tags=None
                if tags is None
                else fields.lines(tags, f"{where}: tags", limits.MAX_TAGS, limits.MAX_TAG_CHARS),
            )
        )
    keys = [bullet.id for bullet in found if bullet.id is not None]
    if len(set(keys)) != len(keys):
        raise MalformedMessage("an 'id' stands twice in [[bullets]]")
    return tuple(found)


def _rows(value: object, name: str) -> Sequence[Mapping[str, object]]:
    rows = fields.sequence(value, name, limits.MAX_PLAYBOOK_FILE_KEYS)
    return [fields.mapping(row, name) for row in rows]


def _name(value: object, name: str) -> str:
    return fields.line(value, name, limits.MAX_KEY_SEGMENT_CHARS)
