"""Trust ping, discover features, basic messages, problem reports and the empty message."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import limits
from protocols.conversations import basicmessage, discover_features, empty, problem_report, trust_ping
from protocols.conversations.basicmessage import BasicMessage
from protocols.conversations.discover_features import Disclosures, Feature, Queries, Query, disclose
from protocols.conversations.problem_report import Problem
from protocols.conversations.reply import Reply
from protocols.errors import LocalProtocolError, MalformedMessage, RemoteProtocolError
from protocols.message import Message

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "published.json").read_text())

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def ping(body: dict[str, Any]) -> Message:
    return Message(id="1", type=trust_ping.PING, body=body)


@pytest.mark.parametrize("body", [{}, {"response_requested": True}, {"response_requested": None}])
def test_a_ping_is_answered(body: dict[str, Any]) -> None:
    assert trust_ping.respond(ping(body)) == Reply(trust_ping.PING_RESPONSE)


def test_a_ping_that_asks_for_nothing_is_not_answered() -> None:
    assert trust_ping.respond(ping({"response_requested": False})) is None
    with pytest.raises(MalformedMessage):
        trust_ping.respond(ping({"response_requested": "no"}))


KNOWN = (
    Feature("protocol", "https://didcomm.org/trust-ping/2.0", ("sender", "receiver")),
    Feature("protocol", "https://didcomm.org/trust-ping/1.0"),
    Feature("goal-code", "org.didcomm.sell"),
    Feature("header", "return_route"),
)


@pytest.mark.parametrize(
    ("feature_type", "match", "found"),
    [
        ("protocol", "*", [0, 1]),
        ("protocol", "https://didcomm.org/trust-ping/2.*", [0]),
        ("protocol", "https://didcomm.org/trust-ping/1.0", [1]),
        ("protocol", "https://didcomm.org/trust-ping/1", []),
        ("protocol", ".*", []),
        ("protocol", "*2.0", []),
        ("protocol", "https://didcomm.org/[a-z]*", []),
        ("goal-code", "org.didcomm.*", [2]),
        ("goal-code", "org.didcomm.sell*", [2]),
        ("header", "return_route", [3]),
        ("governance", "*", []),
    ],
)
def test_a_query_matches_a_prefix_and_nothing_cleverer(feature_type: str, match: str, found: list[int]) -> None:
    reply = disclose(Queries((Query(feature_type, match),)), KNOWN)
    assert reply.type == discover_features.DISCLOSE
    assert Disclosures.from_body(reply.body).features == tuple(KNOWN[index] for index in found)


def test_what_two_queries_match_is_disclosed_once() -> None:
    twice = Queries((Query("protocol", "*"), Query("protocol", "https://didcomm.org/trust-ping/*")))
    assert Disclosures.from_body(disclose(twice, KNOWN).body).features == KNOWN[:2]


def test_the_tables_say_which_protocols_and_roles_there_are() -> None:
    assert discover_features.features_of((trust_ping.SENDER, trust_ping.RECEIVER, basicmessage.RECEIVER)) == (
        Feature("protocol", trust_ping.URI, ("sender", "receiver")),
        Feature("protocol", basicmessage.URI, ("receiver",)),
    )


def test_too_many_queries_are_refused() -> None:
    one = {"feature-type": "protocol", "match": "*"}
    Queries.from_body({"queries": [one] * limits.MAX_FEATURE_QUERIES})
    with pytest.raises(MalformedMessage):
        Queries.from_body({"queries": [one] * (limits.MAX_FEATURE_QUERIES + 1)})
    with pytest.raises(MalformedMessage):
        Queries.from_body({"queries": [{"feature-type": "protocol", "match": "x" * (limits.MAX_URI_CHARS + 1)}]})


def test_a_basic_message_is_cleaned_on_either_side() -> None:
    assert BasicMessage("one\r\ntwo\x1b[31m").to_body() == {"content": "one\ntwo[31m"}
    assert BasicMessage.from_body({"content": "one\r\n\u202etwo"}) == BasicMessage("one\ntwo")


def test_a_basic_message_has_a_bound() -> None:
    BasicMessage("a" * limits.MAX_CHAT_BYTES).to_body()
    with pytest.raises(LocalProtocolError):
        BasicMessage("a" * (limits.MAX_CHAT_BYTES + 1)).to_body()
    for content in ("a" * (limits.MAX_CHAT_BYTES + 1), "ä" * limits.MAX_CHAT_BYTES, None, 7):
        with pytest.raises(MalformedMessage):
            BasicMessage.from_body({"content": content})


@pytest.mark.parametrize("case", VECTORS["interpolation"], ids=lambda case: case["source"])
def test_a_problem_in_words(case: dict[str, Any]) -> None:
    assert Problem("e.p.x", case["comment"], tuple(case["args"])).text == case["text"]


def test_the_parts_of_a_problem_code() -> None:
    problem = Problem("w.get-pay-details.xfer.cant-use-endpoint")
    assert (problem.sorter, problem.scope, problem.descriptor) == ("w", "get-pay-details", "xfer.cant-use-endpoint")
    assert problem.within("xfer")
    assert problem.within("xfer.cant-use-endpoint")
    assert not problem.within("xfer.cant")
    assert Problem("e.p.me.res.storage").within("me.res")


@pytest.mark.parametrize("code", ["e.p", "w.m.trust.crypto", "e.some-state.x-1.y"])
def test_a_code_that_is_one(code: str) -> None:
    assert Problem.from_body({"code": code}).code == code


@pytest.mark.parametrize(
    "code", ["", "e", "x.p.msg", "E.p.msg", "e.p.", "e..msg", "e.p.msg.", "e.p.Msg", "e.p.msg\n", None, 7]
)
def test_a_code_that_is_none(code: object) -> None:
    with pytest.raises(MalformedMessage):
        Problem.from_body({"code": code})


def test_a_report_takes_the_comment_of_its_code() -> None:
    for code in (problem_report.UNSUPPORTED, "w.m.me.res", "e.m.trust.crypto.old-key", "e.p.unheard-of"):
        reply = problem_report.report(code, pthid="t", ack=("m",))
        assert (reply.type, reply.pthid, reply.ack) == (problem_report.PROBLEM, "t", ("m",))
    assert problem_report.comment_of("e.m.trust.crypto.old-key") == problem_report.COMMENTS["trust.crypto"]
    assert problem_report.comment_of("e.p.msg.unsupported") == problem_report.COMMENTS["msg"]
    assert problem_report.comment_of("e.p.unheard-of") == ""
    assert problem_report.report("e.p.msg", "Not {1}.", ("so",), pthid="t").body["args"] == ["so"]


@pytest.mark.parametrize(
    "code", [value for name, value in vars(problem_report).items() if name.isupper() and str(value)[1:2] == "."]
)
def test_our_own_codes_are_codes(code: str) -> None:
    assert Problem.from_body({"code": code}).code == code


def test_a_report_that_the_other_side_would_refuse_is_not_made() -> None:
    with pytest.raises(LocalProtocolError):
        problem_report.report("nonsense", pthid="t")
    with pytest.raises(LocalProtocolError):
        problem_report.report("e.p.msg", args=["x"] * (limits.MAX_PROBLEM_ARGS + 1), pthid="t")


def test_an_acknowledgement_has_no_body() -> None:
    assert empty.acknowledge("a", "b") == Reply(empty.EMPTY, ack=("a", "b"))


@given(
    st.dictionaries(
        st.sampled_from(["code", "comment", "args", "escalate_to", "content", "queries", "disclosures"]), JSON
    )
)
def test_any_body_is_read_or_refused(body: dict[str, Any]) -> None:
    for kind in (Problem, BasicMessage, Queries, Disclosures, trust_ping.Ping):
        try:
            read = kind.from_body(body)
        except RemoteProtocolError:
            continue
        assert kind.from_body(read.to_body()) == read


@given(st.text(max_size=60), st.lists(st.none() | st.text(max_size=9), max_size=4))
def test_any_comment_can_be_filled_in(comment: str, args: list[str | None]) -> None:
    assert isinstance(Problem("e.p.x", comment, tuple(args)).text, str)
