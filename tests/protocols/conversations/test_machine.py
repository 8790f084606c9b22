"""What holds for the table of every role of every protocol."""

import importlib
import pkgutil
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import conversations
from protocols.conversations import trust_ping
from protocols.conversations.machine import Table
from protocols.conversations.tables import TABLES
from protocols.errors import UnexpectedMessage
from protocols.message import Message


def test_no_table_is_left_out_or_stands_there_twice() -> None:
    for module in pkgutil.iter_modules(conversations.__path__):
        for name, value in vars(importlib.import_module(f"{conversations.__name__}.{module.name}")).items():
            held = value.values() if isinstance(value, Mapping) else (value,)
            assert all(one in TABLES for one in held if isinstance(one, Table)), name
    assert len({(table.name, table.role) for table in TABLES}) == len(TABLES)


def test_every_protocol_has_both_sides() -> None:
    for table in TABLES:
        assert [other for other in TABLES if other.name == table.name and other.role != table.role], table.name


def test_every_state_is_reachable_and_leads_somewhere() -> None:
    for table in TABLES:
        reached, border = {table.start}, {table.start}
        while border:
            border = {then for (state, _), then in table.transitions.items() if state in border} - reached
            reached |= border
        assert reached == set(table.states), table
        assert {state for state, _ in table.transitions} == reached - table.final, table


def test_a_final_state_is_final() -> None:
    for table in TABLES:
        assert table.final <= set(table.states)
        for state in table.final:
            for _, event in table.transitions:
                with pytest.raises(UnexpectedMessage):
                    table.after(state, event)


@given(data=st.data())
def test_random_events_never_leave_the_table(data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(TABLES))
    every = [*sorted({event for _, event in table.transitions}), "receive x", "send x", ""]
    state = table.start
    for event in data.draw(st.lists(st.sampled_from(every), max_size=12)):
        if (state, event) in table.transitions:
            state = table.after(state, event)
        else:
            with pytest.raises(UnexpectedMessage):
                table.after(state, event)
        assert state in table.states


def test_a_message_of_another_protocol_is_not_an_event() -> None:
    table = trust_ping.RECEIVER
    assert table.received("idle", Message(id="1", type=trust_ping.PING)) == "asked"
    for message_type in ("https://didcomm.org/trust-ping/1.0/ping", "ping", "/ping", "https://x.example/ping"):
        with pytest.raises(UnexpectedMessage):
            table.received("idle", Message(id="1", type=message_type))


def test_a_problem_report_is_an_event_wherever_the_table_names_it() -> None:
    report = Message(id="1", type="https://didcomm.org/report-problem/2.0/problem-report")
    assert trust_ping.SENDER.received("waiting", report) == "answered"
    with pytest.raises(UnexpectedMessage):
        trust_ping.RECEIVER.received("idle", report)


def test_the_diagram() -> None:
    table = Table(
        name="x",
        role="y",
        uri="z",
        start="on demand",
        final=frozenset({"done"}),
        transitions={("on demand", "go"): "done"},
    )
    assert table.mermaid().splitlines() == [
        "stateDiagram-v2",
        "    on_demand : on demand",
        "    [*] --> on_demand",
        "    on_demand --> done : go",
        "    done --> [*]",
    ]


def test_what_stands_in_diagrams_needs_no_escape() -> None:
    for table in TABLES:
        for text in (*table.states, *(event for _, event in table.transitions)):
            assert not set(text) & set(':;"<>{}#%'), text
