"""Discover features 2.0: what the other side can do (DIDComm v2.1, "Discover Features Protocol 2.0").

A query matches a whole identifier, or with `*` at its end everything that begins so. Nothing is ever read as a regular
expression. What is disclosed to whom is for the caller to decide, who gives `known`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from protocols import fields, limits
from protocols.conversations.machine import Table
from protocols.conversations.reply import Reply

URI: Final = "https://didcomm.org/discover-features/2.0"
QUERIES: Final = f"{URI}/queries"
DISCLOSE: Final = f"{URI}/disclose"

REQUESTER: Final = Table(
    name="discover-features 2.0",
    role="requester",
    uri=URI,
    start="idle",
    final=frozenset({"told", "unanswered"}),
    transitions={
        ("idle", "send queries"): "waiting",
        ("idle", "receive disclose"): "told",
        ("waiting", "receive disclose"): "told",
        ("waiting", "receive problem-report"): "unanswered",
        ("waiting", "deadline passed"): "unanswered",
    },
)

RESPONDER: Final = Table(
    name="discover-features 2.0",
    role="responder",
    uri=URI,
    start="idle",
    final=frozenset({"disclosed"}),
    transitions={
        ("idle", "receive queries"): "asked",
        ("idle", "send disclose"): "disclosed",
        ("asked", "send disclose"): "disclosed",
    },
)


@dataclass(frozen=True, slots=True)
class Query:
    """Asks for the features of one type whose identifier is `match`, or begins with what stands before its `*`."""

    feature_type: str
    match: str

    def matches(self, feature: "Feature") -> bool:
        """Whether `feature` is asked for."""
        if feature.feature_type != self.feature_type:
            return False
        if self.match.endswith("*"):
            return feature.id.startswith(self.match[:-1])
        return feature.id == self.match


@dataclass(frozen=True, slots=True)
class Queries:
    """The questions of one message. Types that nobody here knows match nothing, as the specification asks."""

    queries: tuple[Query, ...]

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receiver would refuse it."""
        body = {"queries": [{"feature-type": query.feature_type, "match": query.match} for query in self.queries]}
        return fields.sendable(Queries.from_body, body)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        items = fields.sequence(body.get("queries"), "queries", limits.MAX_FEATURE_QUERIES)
        return cls(tuple(_query(item) for item in items))


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing that an agent can do. `feature_type` is `protocol`, `goal-code` or `header`; a protocol has roles."""

    feature_type: str
    id: str
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Disclosures:
    """Features that an agent says it has. Those that are missing say nothing."""

    features: tuple[Feature, ...]

    def to_body(self) -> dict[str, Any]:
        """The message body. Raises LocalProtocolError if the receiver would refuse it."""
        items = [
            {"feature-type": feature.feature_type, "id": feature.id}
            | ({"roles": list(feature.roles)} if feature.roles else {})
            for feature in self.features
        ]
        return fields.sendable(Disclosures.from_body, {"disclosures": items})

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        items = fields.sequence(body.get("disclosures"), "disclosures", limits.MAX_FEATURES)
        return cls(tuple(_feature(item) for item in items))


def disclose(queries: Queries, known: Iterable[Feature]) -> Reply:
    """The features among `known` that are asked for, each once and in their order."""
    found = tuple(feature for feature in known if any(query.matches(feature) for query in queries.queries))
    return Reply(DISCLOSE, Disclosures(found[: limits.MAX_FEATURES]).to_body())


def features_of(tables: Iterable[Table]) -> tuple[Feature, ...]:
    """The protocols that these tables belong to, each with the roles that they are for."""
    roles: dict[str, list[str]] = {}
    for table in tables:
        roles.setdefault(table.uri, []).append(table.role)
    return tuple(Feature("protocol", uri, tuple(dict.fromkeys(played))) for uri, played in roles.items())


def _query(item: object) -> Query:
    query = fields.mapping(item, "queries")
    return Query(
        feature_type=fields.line(query.get("feature-type"), "feature-type", limits.MAX_FEATURE_TYPE_CHARS),
        match=fields.line(query.get("match"), "match", limits.MAX_URI_CHARS),
    )


def _feature(item: object) -> Feature:
    feature = fields.mapping(item, "disclosures")
    return Feature(
        feature_type=fields.line(feature.get("feature-type"), "feature-type", limits.MAX_FEATURE_TYPE_CHARS),
        id=fields.line(feature.get("id"), "id", limits.MAX_URI_CHARS),
        roles=fields.lines(feature.get("roles", []), "roles", limits.MAX_ROLES, limits.MAX_FEATURE_TYPE_CHARS),
    )
