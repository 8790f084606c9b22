"""Coordinate mediation: client and mediator talk to each other, in both versions; bounds and hostile messages."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.did import Did
from protocols import limits
from protocols.conversations import mediation, problem_report
from protocols.conversations.mediation import (
    MEDIATOR,
    RECIPIENT,
    Client,
    Denied,
    Grant,
    Keylist,
    NotUpdated,
    Query,
    Standing,
    Update,
    UpdateResponse,
    Version,
    answer,
)
from protocols.conversations.reply import Reply
from protocols.errors import LocalProtocolError, MalformedMessage, RemoteProtocolError, UnexpectedMessage
from protocols.message import Message

Say = Callable[..., Message]

ROUTE = Did("did:example:mediator")
DIDS = [Did(f"did:example:{index}") for index in range(limits.MAX_KEYLIST + 1)]
THEIRS = Did("did:example:somebody-else")

both_versions = pytest.mark.parametrize("version", mediation.VERSIONS)


def mediate(standing: Standing, message: Message, *, grants: bool = True) -> tuple[Standing, Reply]:
    return answer(standing, message, grants=grants, routing_dids=(ROUTE,), allows=lambda did: did != THEIRS)


def as_message(reply: Reply) -> Message:
    return Message(id="1", type=reply.type, body=reply.body)


def talk(client: Client, asked: Reply, standing: Standing) -> tuple[Client, Any, Standing]:
    standing, reply = mediate(standing, as_message(asked))
    client, said = client.receive(as_message(reply))
    return client, said, standing


@both_versions
def test_from_the_request_to_a_keylist(version: Version) -> None:
    client, asked = Client(version).request()
    assert asked.return_route == "all"
    client, granted, standing = talk(client, asked, Standing())
    assert granted == Grant((ROUTE,))
    assert client.routing_dids == (ROUTE,)
    client, asked = client.update(add=[*DIDS[:2], THEIRS], remove=[DIDS[5]])
    client, updated, standing = talk(client, asked, standing)
    assert isinstance(updated, UpdateResponse)
    assert [one.result for one in updated.outcomes] == ["success", "success", "client_error", "no_change"]
    assert [one.holds for one in updated.outcomes] == [True, True, False, True]
    client, asked = client.update(add=[DIDS[0]], remove=[DIDS[1]])
    client, updated, standing = talk(client, asked, standing)
    assert [one.result for one in updated.outcomes] == ["no_change", "success"]
    assert standing == Standing("granted", (DIDS[0],))
    client, asked = client.query(limit=10)
    client, keylist, standing = talk(client, asked, standing)
    assert keylist == Keylist((DIDS[0],), 0, 0)
    assert client.state == "registered"


@both_versions
def test_a_mediator_that_does_not_want_to(version: Version) -> None:
    client, asked = Client(version).request()
    standing, reply = mediate(Standing("granted", (DIDS[0],)), as_message(asked), grants=False)
    assert standing == Standing("none", ())
    client, said = client.receive(as_message(reply))
    assert (client.state, said) == ("denied", Denied())
    with pytest.raises(UnexpectedMessage):
        client.request()


@both_versions
def test_problems_and_silence(version: Version) -> None:
    report = as_message(problem_report.report("e.p.me", pthid="1"))
    client, _ = Client(version).request()
    assert client.receive(report) == (replace(client, state="denied"), Denied())
    assert client.gave_up() == Client(version)
    registered = Client(version, "registered")
    asked, _ = registered.update(add=DIDS[:1])
    assert asked.receive(report)[1] == NotUpdated()
    assert asked.gave_up().state == "granted"
    asked, _ = registered.query()
    assert asked.receive(report) == (registered, NotUpdated())
    with pytest.raises(UnexpectedMessage):
        registered.gave_up()


@both_versions
def test_nothing_is_registered_before_it_is_granted(version: Version) -> None:
    for asked in (Reply(mediation.UPDATE[version], Update(()).to_body()), Reply(mediation.QUERY[version])):
        with pytest.raises(UnexpectedMessage):
            mediate(Standing(), as_message(asked))


@both_versions
def test_a_keylist_is_bounded(version: Version) -> None:
    standing = Standing("granted", tuple(DIDS[: limits.MAX_KEYLIST - 1]))
    _, asked = Client(version, "granted").update(add=DIDS[limits.MAX_KEYLIST - 1 :])
    standing, reply = mediate(standing, as_message(asked))
    outcomes = UpdateResponse.from_body(reply.body).outcomes
    assert [one.result for one in outcomes] == ["success", "client_error"]
    assert len(standing.keylist) == limits.MAX_KEYLIST
    with pytest.raises(LocalProtocolError):
        Client(version, "granted").update(add=[Did(f"did:example:x{index}") for index in range(limits.MAX_KEYLIST + 1)])


@both_versions
def test_a_keylist_in_pages(version: Version) -> None:
    standing = Standing("granted", tuple(DIDS[:5]))

    def page(query: Query) -> Keylist:
        _, reply = mediate(standing, Message(id="1", type=mediation.QUERY[version], body=query.to_body()))
        return Keylist.from_body(reply.body, version)

    assert page(Query()) == Keylist(tuple(DIDS[:5]), 0, 0)
    assert page(Query(2, 1)) == Keylist((DIDS[1], DIDS[2]), 1, 2)
    assert page(Query(2, 4)) == Keylist((DIDS[4],), 4, 0)
    assert page(Query(2, 99)) == Keylist((), 99, 0)


def test_either_form_of_a_routing_did_is_read() -> None:
    assert Grant.from_body({"routing_did": ROUTE}) == Grant.from_body({"routing_did": [ROUTE]}) == Grant((ROUTE,))
    assert Grant((ROUTE,)).to_body("2.0") == {"routing_did": ROUTE}
    for broken in (None, [], "nobody", [7], [ROUTE] * (limits.MAX_ROUTING_DIDS + 1)):
        with pytest.raises(MalformedMessage):
            Grant.from_body({"routing_did": broken})


def test_other_protocols_and_versions_are_not_meant() -> None:
    for message_type in (mediation.GRANT["3.0"], "https://didcomm.org/coordinate-mediation/1.0/mediate-request", "x"):
        with pytest.raises(UnexpectedMessage):
            mediate(Standing(), Message(id="1", type=message_type))
    with pytest.raises(UnexpectedMessage):
        Client("3.0", "requested").receive(Message(id="1", type=mediation.GRANT["2.0"], body={"routing_did": ROUTE}))


VALUES = (
    st.none()
    | st.text(max_size=5)
    | st.integers()
    | st.just(ROUTE)
    | st.just([{"recipient_did": ROUTE, "action": "add"}])
)
ANSWERS = [
    message_type
    for types in (mediation.GRANT, mediation.DENY, mediation.UPDATE_RESPONSE, mediation.KEYLIST)
    for message_type in types.values()
]
MESSAGES = st.builds(
    lambda message_type, body: Message(id="1", type=message_type, body=body),
    st.sampled_from([*mediation.MEDIATOR_TYPES, *ANSWERS, problem_report.PROBLEM, "x"]),
    st.dictionaries(
        st.sampled_from(["routing_did", "updates", "updated", "paginate", "keys", "dids", "pagination"]), VALUES
    ),
)


@given(st.lists(MESSAGES, max_size=8), st.sampled_from(mediation.VERSIONS), st.lists(st.booleans(), max_size=8))
def test_random_messages_never_leave_the_tables(messages: list[Message], version: Version, acts: list[bool]) -> None:
    client, standing = Client(version), Standing()
    for message, act in zip(messages, [*acts, *[True] * 8], strict=False):
        before, kept = client, standing
        try:
            client = client.request()[0] if act and client.state == "none" else client.receive(message)[0]
            standing, _ = mediate(standing, message)
        except RemoteProtocolError:
            assert client is before or standing is kept
        assert client.state in RECIPIENT[version].states
        assert standing.state in MEDIATOR[version].states
        assert set(standing.keylist) <= {ROUTE}
