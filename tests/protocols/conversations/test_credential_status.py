import pytest

from protocols import limits
from protocols.conversations import credential_status, problem_report
from protocols.conversations.credential_status import ISSUER, STATUS_LIST, STATUS_REQUEST, VERIFIER, StatusRequest
from protocols.errors import LocalProtocolError, MalformedMessage
from protocols.message import Message

LIST = {"type": ["VerifiableCredential", "BitstringStatusListCredential"]}
ASKED = Message(id="q", type=STATUS_REQUEST, body=StatusRequest(7).to_body())


def test_a_request_and_its_answer() -> None:
    assert StatusRequest.from_body(ASKED.body) == StatusRequest(7)
    reply = credential_status.status_list(7, LIST)
    answer = Message(id="a", type=reply.type, body=reply.body, thid="q")
    assert credential_status.read_status_list(answer) == LIST
    assert VERIFIER.received(VERIFIER.sent("idle", ASKED.type), answer) == "answered"
    assert ISSUER.sent(ISSUER.received("idle", ASKED), reply.type) == "done"


def test_a_list_that_is_not_there_is_a_problem_and_no_list() -> None:
    reply = credential_status.unknown(ASKED)
    assert (reply.type, reply.pthid) == (problem_report.PROBLEM, "q")
    report = Message(id="p", type=reply.type, body=reply.body, pthid="q")
    assert credential_status.read_status_list(report) is None
    assert VERIFIER.received("waiting", report) == "unanswered"
    assert ISSUER.sent("asked", reply.type) == "done"


@pytest.mark.parametrize("body", [{}, {"credential": "x"}, {"credential": [LIST]}])
def test_an_answer_without_a_list_brings_none(body: dict[str, object]) -> None:
    assert credential_status.read_status_list(Message(id="a", type=STATUS_LIST, body=body)) is None


@pytest.mark.parametrize("number", [None, 0, -1, "1", 1.5, True, limits.MAX_STATUS_LIST_NUMBER + 1])
def test_a_request_for_no_number_of_a_list_is_refused(number: object) -> None:
    with pytest.raises(MalformedMessage):
        StatusRequest.from_body({"list": number})
    with pytest.raises(LocalProtocolError):
        StatusRequest(number).to_body()  # type: ignore[arg-type]
