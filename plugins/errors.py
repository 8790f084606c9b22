"""Errors of the plugins room, as the host raises them.

PagiError
└── PluginError
    ├── BadPlugin               40062  a plugin or tool that the host cannot register
    ├── ToolExists              40961
    ├── ToolNotFound            40461
    ├── BadArguments            40061  the parameters do not fit the tool's JSON Schema
    ├── HostBusy                50361  too many tool calls at once
    └── RemoteToolError                the tool's fault, not the host's
        ├── ToolFailed          50061
        ├── ToolOutputUnusable  50062  not JSON, or too large
        └── ToolTimeout         50461
"""

from identity.errors import PagiError


class PluginError(PagiError):
    """A tool did not do what it was asked to do."""

    code = 50060
    hint = "`pagi tools` lists the tools and their health."


class BadPlugin(PluginError):
    code = 40062
    hint = "Correct the plugin: its names, its version and the JSON Schema of each tool's parameters."


class ToolExists(PluginError):
    code = 40961
    hint = "Rename the tool, or remove the plugin that already has one of this name."


class ToolNotFound(PluginError):
    code = 40461
    hint = "`pagi tools` lists the tools that this twin has."


class BadArguments(PluginError):
    code = 40061
    hint = "Compare the parameters with the tool's JSON Schema: `pagi tools --json` shows it."


class HostBusy(PluginError):
    code = 50361
    hint = "Try again in a moment. If it stays, a plugin hangs: `pagi tools` shows its health."


class RemoteToolError(PluginError):
    """The tool broke; the host and the twin go on."""


class ToolFailed(RemoteToolError):
    code = 50061
    hint = "Read the tool's message; if the parameters are right, report it to the plugin's author."


class ToolOutputUnusable(RemoteToolError):
    code = 50062
    hint = "Ask the tool for less, or report it to the plugin's author: results are JSON of at most 64 KiB."


class ToolTimeout(RemoteToolError):
    code = 50461
    hint = "Try again with a smaller request; if it stays, report it to the plugin's author."
