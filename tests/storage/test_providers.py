"""The list of providers on disk."""

from dataclasses import replace
from pathlib import Path

from storage import providers
from storage.connection import connect_writer
from storage.migrate import migrate
from storage.providers import ProviderRow

ROW = ProviderRow(
    name="a",
    kind="openai",
    base_url="https://api.example.com/v1",
    model="m",
    sees_private=False,
    capable=True,
    context_tokens=4096,
    price_in=0.25,
    price_out=2,
    sealed_key=b"sealed",
)


def test_providers_are_kept_in_order(tmp_path: Path) -> None:
    conn = connect_writer(tmp_path / "node.db")
    migrate(conn, tmp_path / "node.db")
    rows = [replace(ROW, name=name) for name in "abc"]
    assert all(providers.add(conn, row) for row in rows)
    assert not providers.add(conn, rows[0])
    assert providers.all_in_order(conn) == rows
    providers.set_order(conn, ["c", "a", "b"])
    changed = replace(ROW, name="a", kind="anthropic", sealed_key=None, sees_private=True)
    assert providers.replace(conn, changed)
    assert not providers.replace(conn, replace(ROW, name="d"))
    assert providers.all_in_order(conn) == [rows[2], changed, rows[1]]
    assert providers.remove(conn, "c")
    assert not providers.remove(conn, "c")
    assert providers.add(conn, rows[2])
    assert [row.name for row in providers.all_in_order(conn)] == ["a", "b", "c"]
    conn.close()
