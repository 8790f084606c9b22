import json

from hypothesis import assume, given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.multibase import CODEC_DAG_JOSE
from node.memory.memory import Recalled
from node.mind.actions import Asked, Candidate, Situation, ToolResult, UseTool
from node.mind.learning.reflection import ROUTING, Lesson, asked_by, reflect
from protocols.playbook.merge import Bullet
from protocols.playbook.revision import new_ops
from protocols.task import Answer, Source
from tests.node.parts import new_did

ANNA, BERT = new_did(), new_did()
REVISION = Cid.of(CODEC_DAG_JOSE, b"revision")


def bullet(did: str, key: str = "b" + "a" * 32) -> Bullet:
    return Bullet(key, ROUTING, "ask", (f"ask:{did}",), 0, 0, ANNA, REVISION)


def asked(did: str, text: str | None, *, topics: tuple[str, ...] = ("tides",), error: str | None = None) -> Asked:
    reply = None if text is None else Answer(text, (Source("m1", text, 0.9),), 0.9, "model", degraded=False)
    return Asked(Candidate(did, "Anna", topics, 0.5), reply, "thread-1" if reply else None, error)  # type: ignore[arg-type]


def lesson(*entries: Asked, goal: str = "goal", bullets: tuple[Bullet, ...] = ()) -> Lesson:
    made = reflect(Situation(goal=goal, steps_left=3, asked=entries), job_id="7", seconds=1.23456, bullets=bullets)
    assert made is not None
    return made


def test_who_asked_nobody_learned_nothing() -> None:
    assert reflect(Situation(goal="goal", steps_left=3), job_id="7", seconds=1, bullets=()) is None


def test_one_that_helped_is_recommended_for_its_topics() -> None:
    made = lesson(asked(ANNA, "yes", topics=("tides", "flour")))
    assert made.ops[0] == {
        "op": "add",
        "section": ROUTING,
        "text": f"Questions about tides, flour: ask {ANNA}.",
        "tags": [f"ask:{ANNA}"],
    }
    assert made.ops[1:] == (
        {"op": "metric", "name": "success_rate", "sum": 1.0, "count": 1},
        {"op": "metric", "name": "average_response_time", "sum": 1.235, "count": 1},
    )
    assert made.evidence == ("job:7", "thread:thread-1")


def test_a_recommendation_that_is_known_is_counted() -> None:
    known = bullet(ANNA)
    assert lesson(asked(ANNA, "yes"), bullets=(known,)).ops[0] == {"op": "helpful", "id": known.id}
    assert lesson(asked(ANNA, None, error="silence"), bullets=(known,)).ops[0] == {"op": "harmful", "id": known.id}
    assert lesson(asked(ANNA, None), bullets=(bullet(BERT),)).ops[0]["op"] == "metric"  # nothing to count
    assert asked_by(Bullet("x", "manners", "ask", (f"ask:{ANNA}",), 0, 0, ANNA, REVISION)) is None


words = st.text(st.characters(categories=("Ll", "Lu", "Nd")), min_size=12, max_size=40)


@given(goal=words, text=words, error=words, memory=words, topics=st.lists(words, max_size=16), data=st.data())
def test_a_lesson_holds_nothing_of_goal_answer_or_memory_and_always_fits(
    goal: str, text: str, error: str, memory: str, topics: list[str], data: st.DataObject
) -> None:
    secrets = {goal, text, error, memory}
    public = " ".join([ANNA, BERT, *topics])
    assume(not any(secret in public for secret in secrets))
    recalled = Recalled(
        id="m1", kind="semantic", content=memory, namespace="private", score=0.1, ts_ms=0, tags=(memory,), source=memory
    )
    entries = data.draw(
        st.lists(
            st.sampled_from(
                [
                    asked(ANNA, text, topics=tuple(topics)),
                    asked(BERT, None, topics=tuple(topics), error=error),
                    asked(BERT, "", topics=tuple(topics)),
                ]
            ),
            min_size=1,
            max_size=3,
        )
    )
    situation = Situation(
        goal=goal,
        steps_left=1,
        recalled=[recalled],
        tool_results=[ToolResult(UseTool("clock", {}), {"result": text})],
        asked=entries,
    )
    known = data.draw(st.sampled_from([(), (bullet(ANNA),), (bullet(BERT), bullet(ANNA))]))
    made = reflect(situation, job_id="7", seconds=1.0, bullets=known)
    assert made is not None
    written = json.dumps([made.critique, made.ops, made.evidence], ensure_ascii=False)
    assert not any(secret in written for secret in secrets)
    assert new_ops(made.ops, author=ANNA, height=1)  # what every playbook takes
