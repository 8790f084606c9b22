"""The tools that the twin built for its owner, each a formula."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BuiltTool:
    """A formula with a name. `parameters` says what each variable is, in the order they were given."""

    name: str
    description: str
    parameters: Mapping[str, str]
    expression: str
    built_ms: int


def put(conn: sqlite3.Connection, tool: BuiltTool) -> None:
    """Keep a tool whose name is free."""
    conn.execute(
        "INSERT INTO built_tools (name, description, parameters, expression, built_ms) VALUES (?,?,?,?,?)",
        (tool.name, tool.description, json.dumps(dict(tool.parameters)), tool.expression, tool.built_ms),
    )


def remove(conn: sqlite3.Connection, name: str) -> bool:
    """Drop a tool; whether there was one."""
    return conn.execute("DELETE FROM built_tools WHERE name = ?", (name,)).rowcount == 1


def everything(conn: sqlite3.Connection) -> list[BuiltTool]:
    """All of them, by name. How many there can be is bounded by whoever builds them."""
    rows = conn.execute("SELECT name, description, parameters, expression, built_ms FROM built_tools ORDER BY name")
    return [BuiltTool(name, about, json.loads(given), formula, ms) for name, about, given, formula, ms in rows]
