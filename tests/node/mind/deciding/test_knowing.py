import pytest

from node.memory.record import Recalled
from node.mind.actions import Asked, Candidate, Child, Delegated, OwnerSaid, Situation, ToolResult, UseTool
from node.mind.deciding.knowing import question_of
from protocols.task import Answer
from tests.node.parts import new_did

GOAL = "When is high water of the port Brest?"
RESULT = ToolResult(UseTool("tide_table", {"port": "Brest"}), "10:12")
ANNA = Candidate(new_did(), "anna", ("tides",), 0.5)


def situation(**fields: object) -> Situation:
    return Situation(**{"goal": GOAL, "steps_left": 8, "recalled": [], **fields})  # type: ignore[arg-type]


def memory(content: str, *, namespace: str = "private") -> Recalled:
    return Recalled(
        id="m1", kind="semantic", content=content, namespace=namespace, score=0.9, ts_ms=0, tags=(), source=None
    )


@pytest.mark.parametrize(
    ("given", "private"),
    [
        (situation(), False),
        (situation(redacted="When is high water of [place]?"), True),
        (situation(redacted=GOAL), False),
        (situation(tool_results=[RESULT]), True),
        (situation(answers=[OwnerSaid("q", "a")]), True),
        (situation(before=[Child("j", "g", "done", "a")]), True),
        (situation(recalled=[memory("High water of the port Brest is at ten")]), True),
        (situation(recalled=[memory("High water of the port Brest is at ten", namespace="shared")]), False),
        (situation(recalled=[memory("something else")]), False),  # it is not shown
    ],
)
def test_a_question_that_holds_what_is_private_says_so(given: Situation, private: bool) -> None:
    question = question_of(given, "session")
    assert (question.private, question.session_id, question.goal) == (private, "session", GOAL)
    assert "something else" not in " ".join(question.known)


def test_what_is_known_is_told_line_by_line_the_newest_last() -> None:
    known = question_of(
        situation(
            recalled=[memory("High water of the port Brest is at ten")],
            before=[Child("j", "Find the port", "done", "Brest")],
            asked=[Asked(ANNA, Answer("At ten.", (), 0.9, "m", degraded=False)), Asked(ANNA, None)],
            delegated=[Delegated("t", "task", None, "at ten", None), Delegated("t", "task", None, None, "no bid")],
            answers=[OwnerSaid("Which port?", "Brest")],
            tool_results=[RESULT, ToolResult(UseTool("tide_table", {}), None, "no port")],
        ),
        None,
    ).known
    assert known == (
        "remembered: High water of the port Brest is at ten",
        "Find the port gave Brest",
        "anna answered: At ten.",
        "the swarm gave: at ten",
        "the swarm gave: no bid",
        'the owner said, asked "Which port?": Brest',
        'tide_table {"port": "Brest"} gave "10:12"',
        "tide_table {} gave an error: no port",
    )
