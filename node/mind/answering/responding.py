"""The last step of a job: the answer, from all that came together for it.

A capable model is given everything, fenced (context.py), and its words are streamed. Without one the parts answer by
themselves, in the order of how sure they are: what tools gave, what is remembered, what the playbook teaches, what
another twin said; then the answer says so. What an answer rests on is named in it.
"""

import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Final

from node.inference.engine import Engine, ModelSource
from node.memory.told import asks_to_remember
from node.mind.actions import Situation
from node.mind.answering.answering import NO_MODEL, Writer, Written, cited
from node.mind.answering.context import Context, ContextBuilder, Given
from node.mind.answering.fencing import cut
from node.mind.answering.introducing import introduction, of_secret
from node.mind.answering.links import without_made_up_links
from node.mind.answering.stating import (
    MAX_ACT_CHARS,
    acts_of,
    left_unsaid,
    named_origin,
    origin_of,
    results_of,
    stated_in,
    told_before,
)
from node.mind.answering.talking import courtesy, is_talk, only_states
from node.mind.answering.voice import Voice
from node.mind.deciding.asking import asks, asks_of_twin, asks_who_i_am
from node.mind.deciding.certain import (
    certain_result,
    how_to_forget,
    in_a_sentence,
    is_unknown,
    told_then,
)
from node.mind.deciding.decomposition import Decomposer
from node.mind.jobs.leave import in_words
from node.mind.learning.guiding import Guidance
from node.mind.learning.learning import Learning
from node.mind.perceiving.emotion import EmotionState
from node.mind.perceiving.perception import Perceived

_NO_TALK: Final = "I have no model to talk with on this machine."

_WORD: Final = re.compile(r"[^\W_]+")

Tell = Callable[[str], None]
"""Told each piece of the answer as it comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer, and the output of the step that wrote it.

    `quoted`: words were quoted for want of a model, and `reason` says why. `found` is False where nothing answers the
    goal. `guidance` is what of the playbook took part. `certain`: a model would have added nothing.
    """

    text: str
    output: Mapping[str, Any]
    quoted: bool = False
    reason: str | None = None
    found: bool = True
    certain: bool = False
    guidance: Guidance | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A goal that is to be answered now. `noticed` is what was kept of what the owner told in passing."""

    job_id: str
    session_id: str | None
    goal: Perceived
    situation: Situation
    emotion: EmotionState
    noticed: tuple[str, ...] = ()


class Responding:
    """Writes the answers of jobs."""

    def __init__(
        self,
        *,
        model: ModelSource,
        writer: Writer,
        contexts: ContextBuilder,
        voice: Voice,
        learning: Learning,
        decomposer: Decomposer,
    ) -> None:
        self._model = model
        self._writer = writer
        self._contexts = contexts
        self._voice = voice
        self._learning = learning
        self._decomposer = decomposer

    async def respond(self, question: Question, tell: Tell) -> Answer:
        """The answer to a goal from all that is known of it by now."""
        situation = question.situation
        if situation.denied:
            return _refusal(situation)
        if situation.children:
            return await self._from_parts(question)
        if (result := certain_result(situation)) is not None:
            said = in_a_sentence(result, situation.goal)
            return Answer(text=said, output={"from": "tool", "model": NO_MODEL}, certain=True)
        if (told := how_to_forget(situation.goal)) is not None:
            return Answer(text=told, output={"from": "rule", "model": NO_MODEL}, found=False, certain=True)
        if (told := told_then(situation)) is not None:
            return Answer(text=told, output={"from": "memory", "model": NO_MODEL}, certain=True)
        if asks_who_i_am(situation.goal):
            return await self._who_asks(situation)
        if is_unknown(situation):
            return replace(_unknown(situation), certain=True)
        acts = acts_of(situation)
        if acts and len(acts) == len(situation.tool_results):
            worked = any(one.error is None for one in situation.tool_results)
            output = {"from": "tool", "model": NO_MODEL}
            return Answer(text="\n".join(acts), output=output, found=worked, certain=True)
        engine = await self._model.ready()
        if asks_of_twin(situation.goal):
            capable = engine is not None and engine.capable
            told = introduction(await self._voice.identity(), situation.tools, capable=capable)
            return Answer(text=told, output={"from": "rule", "model": NO_MODEL}, certain=True)
        talks = is_talk(situation)
        if question.goal.secrets and not question.noticed and (talks or only_states(situation.goal)):
            told = of_secret(question.goal.secrets[0].kind)
            return Answer(text=told, output={"from": "rule", "model": NO_MODEL}, certain=True)
        if talks:
            return await self._talk(question, engine, tell)
        if engine is not None and engine.capable:
            answer = await self._by_model(question, engine, tell)
        else:
            answer = await self._by_rule(question, tell)
        stopped = [f"(I stopped: {situation.looping}.)"] if situation.looping else []
        return replace(answer, text="\n".join((answer.text, *acts, *stopped)))

    async def _who_asks(self, situation: Situation) -> Answer:
        owner = (await self._voice.identity()).owner
        if owner is None:
            return _unknown(situation)
        return Answer(text=f"You are {owner}.", output={"from": "memory", "model": NO_MODEL}, certain=True)

    async def _by_model(self, question: Question, engine: Engine, tell: Tell) -> Answer:
        """Everything at once, in the twin's own words."""
        guidance = await self._learning.guidance(question.job_id, question.situation.goal)
        context = await self._context(question, engine, guidance)
        written = await self._streamed(context, question.session_id, tell)
        origin, sources = origin_of(question.situation)
        output: dict[str, Any] = {"from": origin, "model": written.model, "context": dict(context.division)}
        if context.left_out:
            output["left_out"] = dict(context.left_out)
        if sources and origin == "memory":
            output["memories"] = [memory_id for memory_id, _ in sources]
        text = "\n".join((written.text, *left_unsaid(question.situation, written.text)))
        if origin != "nothing":
            named = named_origin(question.situation, origin, guidance.playbook)
            before = told_before(question.situation)
            text = cited(text, named, sources, written_by_model=not written.degraded, before=before)
        return _answer(text, written, output, guidance)

    async def _context(self, question: Question, engine: Engine, guidance: Guidance) -> Context:
        situation = question.situation
        return await self._contexts.build(
            goal=question.goal,
            identity=await self._voice.identity(),
            budget_tokens=engine.context_tokens,
            emotion=question.emotion,
            bullets=guidance.texts,
            recalled=situation.support or (() if situation.tool_results else tuple(situation.recalled or ())[:2]),
            turns=situation.turns,
            results=(*results_of(situation), *(Given("what I was taught", text) for text in guidance.own_texts)),
            capable=engine.capable,
            private_allowed=self._model.may_see_private,
        )

    async def _talk(self, question: Question, engine: Engine | None, tell: Tell) -> Answer:
        """No fact is asked for: an answer as in any conversation, whatever is or is not remembered."""
        kept = "; ".join(question.noticed)
        output = {"from": "talk", "noticed": list(question.noticed), "model": NO_MODEL}
        incapable = engine is not None and not engine.capable  # what it would say of a fact, it would make up
        if kept and (incapable or asks_to_remember(question.goal.text)):
            return Answer(text=f"I will remember: {kept}.", output=output, certain=True)
        identity = await self._voice.identity()
        if (engine is None or incapable) and (polite := courtesy(question.goal.text, identity.owner)) is not None:
            return Answer(text=polite, output=output, certain=True)
        if engine is None:
            said_before = any(_NO_TALK in turn.content for turn in question.situation.turns)
            text = f"I will remember: {kept}." if kept else "I hear you." if said_before else f"I hear you. {_NO_TALK}"
            return Answer(text=text, output=output, quoted=True, reason=self._model.reason)
        context = await self._contexts.build(
            goal=question.goal,
            identity=identity,
            budget_tokens=engine.context_tokens,
            emotion=question.emotion,
            recalled=[one for one in question.situation.support if one.content not in question.noticed],
            turns=question.situation.turns,
            capable=engine.capable,
            talk=True,
            private_allowed=self._model.may_see_private,
        )
        written = await self._streamed(context, question.session_id, tell, talk=True)
        if incapable and _same_words(written.text, question.goal.text):
            return Answer(text="I hear you.", output=output, quoted=True, reason="the model repeated what you said")
        return _answer(written.text, written, {"from": "talk", "noticed": list(question.noticed)}, None)

    async def _streamed(self, context: Context, session_id: str | None, tell: Tell, *, talk: bool = False) -> Written:
        pieces: AsyncGenerator[str | Written, None] = self._writer.stream(context, session_id=session_id, talk=talk)
        async with aclosing(pieces):
            async for piece in pieces:
                if isinstance(piece, Written):
                    return piece
                tell(piece)
        raise AssertionError("a stream ends with what was written")

    async def _from_parts(self, question: Question) -> Answer:
        children = question.situation.children
        written = await self._decomposer.synthesise(question.situation.goal, children)
        output = {"from": "parts", "parts": [child.job_id for child in children], "model": written.model}
        found = any(child.status == "done" for child in children)
        return replace(_answer(written.text, written, output, None), found=found)

    async def _by_rule(self, question: Question, tell: Tell) -> Answer:
        """The surest part answers; a small model may word a memory."""
        situation = question.situation
        if (situation.support or situation.taught) and not situation.tool_results:
            return await self._worded(question, tell)
        given = list(stated_in(situation))
        if given:
            return Answer(text="; ".join(text for _, text in given), output={"from": given[0][0]})
        helper = situation.helper
        if helper is not None:
            assert helper.answer is not None
            sources = [(source.memory_id, source.text) for source in helper.answer.sources]
            reply = helper.answer
            text = cited(
                reply.answer, named_origin(situation, "twin", ""), sources, written_by_model=not reply.degraded
            )
            ids = [memory_id for memory_id, _ in sources]
            output = {"from": "twin", "did": helper.candidate.did, "memories": ids, "model": reply.model}
            return Answer(text=text, output=output, quoted=reply.degraded, reason="the other twin has no model")
        return _unknown(situation)

    async def _worded(self, question: Question, tell: Tell) -> Answer:
        """From memory, with the bullets that fit as rules; where nothing is remembered, from those that answer."""
        situation = question.situation
        guidance = await self._learning.guidance(question.job_id, situation.goal)
        origin, sources = origin_of(situation)
        rules = guidance.texts if situation.support else ()
        written = await self._writer.from_notes(situation.goal, [text for _, text in sources], guidance=rules)
        output: dict[str, Any] = {"from": origin}
        if situation.support:
            output["memories"] = [memory.id for memory in situation.support]
        if guidance.given:
            output["bullets"] = [fitting.bullet.id for fitting in guidance.given]
        if written.reason is not None:
            output["degraded"] = written.reason
        named = named_origin(situation, origin, guidance.playbook)
        before = told_before(situation)
        text = cited(written.text, named, sources, written_by_model=not written.degraded, before=before)
        return _answer(text, written, output, guidance)


def _same_words(one: str, other: str) -> bool:
    return _WORD.findall(one.lower()) == _WORD.findall(other.lower())


def _answer(text: str, written: Written, output: Mapping[str, Any], guidance: Guidance | None) -> Answer:
    told = {**output, "model": written.model, **({"note": written.note} if written.note else {})}
    return Answer(text=text, output=told, quoted=written.degraded, reason=written.reason, guidance=guidance)


def _refusal(situation: Situation) -> Answer:
    """The owner did not allow what was to be done: say what, and that it was not done."""
    last = situation.denied[-1]
    what = cut(in_words(last.action), MAX_ACT_CHARS)
    what = without_made_up_links(what, situation.goal)  # a model may have put it together
    text = f"I did not do this: {what} ({last.reason})."
    return Answer(text=text, output={"from": "owner"}, found=False)


def _unknown(situation: Situation) -> Answer:
    reasons = [f"{asked.candidate.did}: {asked.error or 'knew no answer'}" for asked in situation.asked]
    reasons += [f"the task {one.task_id}: {one.error}" for one in situation.delegated if one.error]
    if asks(situation.goal) or situation.asked:
        text = "I do not know: nothing that I remember answers this"
    else:
        text = "I could not do this: nothing that I remember or have a tool for fits it"
    text += f", and those I asked could not help ({'; '.join(reasons)})." if reasons else "."
    return Answer(text=text, output={"from": "nothing"}, found=False)
