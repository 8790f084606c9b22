"""The table of every role of every protocol: what docs/protocols is drawn of, and what discover-features discloses."""

from typing import Final

from protocols.conversations import (
    basicmessage,
    contract_net,
    credential_status,
    discover_features,
    empty,
    mediation,
    out_of_band,
    pickup,
    pinning,
    problem_report,
    routing,
    trust_ping,
)
from protocols.conversations.machine import Table

TABLES: Final[tuple[Table, ...]] = (
    trust_ping.SENDER,
    trust_ping.RECEIVER,
    discover_features.REQUESTER,
    discover_features.RESPONDER,
    basicmessage.SENDER,
    basicmessage.RECEIVER,
    empty.SENDER,
    empty.RECEIVER,
    problem_report.SENDER,
    problem_report.RECEIVER,
    out_of_band.SENDER,
    out_of_band.RECEIVER,
    routing.SENDER,
    routing.MEDIATOR,
    routing.RECIPIENT,
    *mediation.RECIPIENT.values(),
    *mediation.MEDIATOR.values(),
    *pickup.RECIPIENT.values(),
    *pickup.MEDIATOR.values(),
    contract_net.REQUESTER,
    contract_net.WORKER,
    credential_status.VERIFIER,
    credential_status.ISSUER,
    pinning.CLIENT,
    pinning.HOST,
)
