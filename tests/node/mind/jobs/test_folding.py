"""What a job's record says of what was done."""

from identity.did import Did, did_key
from identity.keys import KeyPair
from node.mind.actions import AskTwin, Candidate, Situation
from node.mind.jobs.folding import observed
from protocols.task import Answer

ANNA, BERT = (did_key(KeyPair(bytes([number]) * 32).public) for number in (1, 2))
ANSWER = Answer(answer="Two tonnes.", sources=(), confidence=0.9, model="none", degraded=False).to_body()


def asked_of(output: dict[str, object]) -> Did:
    action = AskTwin(Candidate(ANNA, "anna", ("mills",), 0.9), "How much?")
    (asked,) = observed(Situation(goal="How much?", steps_left=4), action, output).asked
    assert asked.helped
    return asked.candidate.did


def test_an_answer_that_was_kept_from_before_is_by_whom_it_came_from_then() -> None:
    assert asked_of({"thread": None, "answer": ANSWER}) == ANNA
    assert asked_of({"thread": None, "answer": ANSWER, "reused": True, "by": BERT}) == BERT
