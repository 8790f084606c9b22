"""The plugin host: which tools there are, and calling them so that none can hurt the node.

A call is checked against the tool's JSON Schema first, has a time limit, and gives JSON of bounded size. A tool that
raises, hangs, calls sys.exit or ignores its cancellation is an error of that tool. The host does not sandbox: what it
runs in this process is trusted code, and kinds that are not are run elsewhere.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import jsonschema_rs
import orjson

from plugins.errors import (
    BadArguments,
    BadPlugin,
    HostBusy,
    ToolExists,
    ToolFailed,
    ToolNotFound,
    ToolOutputUnusable,
    ToolTimeout,
)
from plugins.sdk import Effect, Plugin, Tool, ToolError

logger = logging.getLogger(__name__)

Kind = Literal["builtin", "native", "wasm", "mcp", "built"]
Health = Literal["ok", "failing"]

DEFAULT_TIMEOUT_S: Final = 10.0
"""Tools aim at 100 ms; a person waits ten seconds for one, not longer."""

MAX_PARAMETERS_BYTES: Final = 65_536
MAX_OUTPUT_BYTES: Final = 65_536
"""A result goes into a model's context or an API answer. Larger content is stored, and the result carries its CID."""

MAX_RUNNING: Final = 64
"""Calls at once, those that were given up but ignore their cancellation included."""

FAILING_AFTER: Final = 3
"""Failures of a tool in a row after which its health says so."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class ToolInfo:
    """A tool as listings show it. `parameters` is its JSON Schema; for a goal an `owner_only` tool waits for leave."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    plugin: str
    kind: Kind
    health: Health
    owner_only: bool = False
    effect: Effect = "acts"


@dataclass(slots=True)
class _Registered:
    tool: Tool
    plugin: Plugin
    kind: Kind
    validator: jsonschema_rs.Validator
    failures_in_a_row: int = 0

    def info(self) -> ToolInfo:
        health: Health = "failing" if self.failures_in_a_row >= FAILING_AFTER else "ok"
        return ToolInfo(
            self.tool.name,
            self.tool.description,
            self.tool.parameters,
            self.plugin.name,
            self.kind,
            health,
            self.tool.owner_only,
            self.tool.effect,
        )


@dataclass(slots=True, kw_only=True)
class PluginHost:
    """The tools of one twin. Used from one asyncio loop."""

    timeout_s: float = DEFAULT_TIMEOUT_S
    max_output_bytes: int = MAX_OUTPUT_BYTES
    check: Callable[[], None] = lambda: None
    """Called before each call of a tool; what it raises keeps the tool from being called."""
    _tools: dict[str, _Registered] = field(default_factory=dict)
    _running: set[asyncio.Task[Any]] = field(default_factory=set)

    def register(self, plugin: Plugin, *, kind: Kind = "builtin") -> None:
        """Take in all tools of a plugin, or none. Raises BadPlugin or ToolExists."""
        if not _NAME.fullmatch(plugin.name) or not plugin.version or not plugin.skills.is_file():
            raise BadPlugin(f"plugin {plugin.name!r} needs a plain name, a version and a SKILLS.md")
        fresh: dict[str, _Registered] = {}
        for tool in plugin.tools:
            if not _NAME.fullmatch(tool.name):
                raise BadPlugin(f"not a tool name: {tool.name!r}")
            if tool.name in self._tools or tool.name in fresh:
                raise ToolExists(f"there is already a tool {tool.name!r}")
            fresh[tool.name] = _Registered(tool, plugin, kind, _validator_of(tool))
        self._tools |= fresh

    def unregister(self, plugin_name: str) -> bool:
        """Drop a plugin's tools; calls that run go on. False if there is no such plugin."""
        names = [name for name, entry in self._tools.items() if entry.plugin.name == plugin_name]
        for name in names:
            del self._tools[name]
        return bool(names)

    def plugins(self) -> tuple[Plugin, ...]:
        """The plugins that have at least one tool here, in the order they came."""
        return tuple({entry.plugin.name: entry.plugin for entry in self._tools.values()}.values())

    def list(self) -> tuple[ToolInfo, ...]:
        """All tools, by name."""
        return tuple(self._tools[name].info() for name in sorted(self._tools))

    async def execute(self, name: str, parameters: Mapping[str, Any]) -> Any:
        """Call a tool and give its result, plain JSON values.

        Raises ToolNotFound, BadArguments, HostBusy, ToolFailed, ToolTimeout or ToolOutputUnusable.
        """
        self.check()
        entry = self._tools.get(name)
        if entry is None:
            raise ToolNotFound(f"no tool {name!r}")
        arguments = _checked(entry, parameters)
        if len(self._running) >= MAX_RUNNING:
            raise HostBusy(f"{MAX_RUNNING} tool calls are running")
        try:
            result = self._plain(name, await self._run(entry.tool, arguments))
        except (ToolFailed, ToolTimeout, ToolOutputUnusable):
            entry.failures_in_a_row += 1
            raise
        entry.failures_in_a_row = 0
        return result

    async def _run(self, tool: Tool, arguments: Mapping[str, Any]) -> Any:
        task = asyncio.create_task(_contained(tool, arguments), name=f"tool {tool.name}")
        self._running.add(task)
        task.add_done_callback(self._forget)
        try:
            # asyncio.timeout would wait for a tool that ignores its cancellation; this does not.
            done, _ = await asyncio.wait({task}, timeout=self.timeout_s)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not done:
            task.cancel()
            raise ToolTimeout(f"tool {tool.name!r} gave no result within {self.timeout_s:g} s")
        return task.result()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as seen: a call that was given up has nobody to tell

    def _plain(self, name: str, result: Any) -> Any:
        try:
            encoded = orjson.dumps(result)
        except TypeError as error:  # orjson.JSONEncodeError is a TypeError
            raise ToolOutputUnusable(f"tool {name!r} gave a result that is not JSON: {error}") from None
        if len(encoded) > self.max_output_bytes:
            raise ToolOutputUnusable(f"tool {name!r} gave {len(encoded)} bytes; {self.max_output_bytes} are allowed")
        return orjson.loads(encoded)


async def _contained(tool: Tool, arguments: Mapping[str, Any]) -> Any:
    """Run the tool; whatever it raises becomes ToolFailed."""
    try:
        return await tool.run(arguments)
    except ToolError as error:
        raise ToolFailed(f"{tool.name}: {error}") from None
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        raise ToolFailed(f"{tool.name}: it cancelled itself") from None
    except (Exception, SystemExit) as error:
        # The text of an unexpected error may hold the caller's data: the log gets its type, and so does the caller.
        logger.warning("tool %s raised %s", tool.name, type(error).__name__)
        raise ToolFailed(f"{tool.name}: unexpected {type(error).__name__}") from error


def _validator_of(tool: Tool) -> jsonschema_rs.Validator:
    """Compile the schema: nothing is fetched, no pattern backtracks, and messages do not quote values."""
    if tool.parameters.get("type") != "object":
        raise BadPlugin(f"tool {tool.name!r}: the parameters' schema must be of type object")
    try:
        return jsonschema_rs.validator_for(
            dict(tool.parameters), offline=True, mask="the value", pattern_options=jsonschema_rs.RegexOptions()
        )
    except (ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise BadPlugin(f"tool {tool.name!r}: not a usable JSON Schema: {reason}") from error


def _checked(entry: _Registered, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters as plain JSON. Raises BadArguments, naming the first mistakes."""
    try:
        encoded = orjson.dumps(dict(parameters))
    except TypeError as error:
        raise BadArguments(f"the parameters are not JSON: {error}") from None
    if len(encoded) > MAX_PARAMETERS_BYTES:
        raise BadArguments(f"the parameters have {len(encoded)} bytes; {MAX_PARAMETERS_BYTES} are allowed")
    plain: dict[str, Any] = orjson.loads(encoded)
    mistakes = [
        f"{'.'.join(str(part) for part in error.instance_path) or 'parameters'}: {error.message[:200]}"
        for error, _ in zip(entry.validator.iter_errors(plain), range(3), strict=False)
    ]
    if mistakes:
        raise BadArguments("; ".join(mistakes))
    return plain
