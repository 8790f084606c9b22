"""Every message that a published specification shows is read, and written again as it stands there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocols.conversations import (
    basicmessage,
    discover_features,
    empty,
    mediation,
    out_of_band,
    pickup,
    problem_report,
    routing,
    trust_ping,
)
from protocols.conversations.tables import TABLES
from protocols.message import Message, read_message

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "published.json").read_text())

Rewrite = Callable[[Message], object]


def delivered(version: pickup.Version) -> Rewrite:
    def rewrite(message: Message) -> object:
        reply = pickup.delivery(
            version, pickup.read_delivery(message), pickup.StatusRequest.from_body(message.body).recipient_did
        )
        assert [one.content() for one in reply.attachments] == [one.content() for one in message.attachments]
        return reply.body

    return rewrite


def _nothing(message: Message) -> object:
    return message.body


REWRITE: dict[str, Rewrite] = {
    trust_ping.PING: lambda m: trust_ping.Ping.from_body(m.body).to_body(),
    trust_ping.PING_RESPONSE: _nothing,
    discover_features.QUERIES: lambda m: discover_features.Queries.from_body(m.body).to_body(),
    discover_features.DISCLOSE: lambda m: discover_features.Disclosures.from_body(m.body).to_body(),
    basicmessage.MESSAGE: lambda m: basicmessage.BasicMessage.from_body(m.body).to_body(),
    empty.EMPTY: _nothing,
    out_of_band.INVITATION: lambda m: out_of_band.read_invitation(m).to_body(),
    problem_report.PROBLEM: lambda m: problem_report.Problem.from_body(m.body).to_body(),
    routing.FORWARD: lambda m: routing.Forward(routing.read_forward(m)[0]).to_body(),
}
for v in mediation.VERSIONS:
    REWRITE |= {
        mediation.REQUEST[v]: _nothing,
        mediation.DENY[v]: _nothing,
        mediation.GRANT[v]: lambda m, v=v: mediation.Grant.from_body(m.body).to_body(v),
        mediation.UPDATE[v]: lambda m: mediation.Update.from_body(m.body).to_body(),
        mediation.UPDATE_RESPONSE[v]: lambda m: mediation.UpdateResponse.from_body(m.body).to_body(),
        mediation.QUERY[v]: lambda m: mediation.Query.from_body(m.body).to_body(),
        mediation.KEYLIST[v]: lambda m, v=v: mediation.Keylist.from_body(m.body, v).to_body(v),
    }
for w in pickup.VERSIONS:
    REWRITE |= {
        pickup.STATUS_REQUEST[w]: lambda m: pickup.StatusRequest.from_body(m.body).to_body(),
        pickup.STATUS[w]: lambda m, w=w: pickup.Status.from_body(m.body, w).to_body(w),
        pickup.DELIVERY_REQUEST[w]: lambda m, w=w: pickup.DeliveryRequest.from_body(m.body, w).to_body(w),
        pickup.DELIVERY[w]: delivered(w),
        pickup.MESSAGES_RECEIVED[w]: lambda m: pickup.MessagesReceived.from_body(m.body).to_body(),
        pickup.LIVE_DELIVERY_CHANGE[w]: lambda m: pickup.LiveDeliveryChange.from_body(m.body).to_body(),
    }


@pytest.mark.parametrize("case", VECTORS["messages"], ids=lambda case: case["message"]["type"].rpartition("org/")[2])
def test_a_published_message_is_written_as_it_was_read(case: dict[str, Any]) -> None:
    message = read_message(case["message"])
    assert REWRITE[message.type](message) == case["message"].get("body", {})


def test_every_message_type_has_a_published_example() -> None:
    assert REWRITE.keys() == {case["message"]["type"] for case in VECTORS["messages"]}


def test_the_tables_name_every_published_message() -> None:
    named = {f"{table.uri}/{event.split()[1]}" for table in TABLES for _, event in table.transitions if " " in event}
    assert set(REWRITE) - named == set()
