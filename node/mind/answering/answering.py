"""Writing an answer from a context: by the model if there is one, else by quoting what was found and saying so."""

import logging
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from identity.errors import PagiError
from node.events import EventBus
from node.inference.engine import ChatRequest, Completion, ModelSource
from node.inference.errors import BudgetExhausted
from node.mind.answering.context import Context, of_notes
from node.mind.answering.links import LinkFilter, without_made_up_links
from node.mind.relevance import salient_words

logger = logging.getLogger(__name__)

MAX_QUOTED_CHARS: Final = 300
"""Two or three sentences of the memory that an answer rests on."""

NO_MODEL: Final = "none"
"""The model's name in an answer that no model wrote."""

_PIECE: Final = re.compile(r"[^.!?\n]{0,400}(?:[.!?]+\s*|\n\s*|$)|[^.!?\n]{400}")
"""A sentence or a line, with what ends it."""

_SENTENCE_END: Final = re.compile(r"[.!?](?=\s|$)")

_NUMBER: Final = re.compile(r"\d+")

MADE_UP: Final = "what the model wrote does not stand in what is remembered"

_UNKNOWN: Final = "I do not know: nothing that I remember answers this."


@dataclass(frozen=True, slots=True)
class Written:
    """An answer's text, who wrote it, why no model did if none did, and what the owner should be told of it."""

    text: str
    model: str
    degraded: bool
    reason: str | None = None
    note: str | None = None


class Writer:
    """Writes answers with the models that the twin has."""

    def __init__(self, model: ModelSource, events: EventBus) -> None:
        self._model = model
        self._events = events

    async def write(self, context: Context, *, session_id: str | None = None, shown: bool = True) -> Written:
        """The whole answer. See `stream`."""
        async with aclosing(self.stream(context, session_id=session_id, shown=shown)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Written):
                    return piece
        raise AssertionError("a stream ends with what was written")

    async def from_notes(
        self, question: str, notes: Sequence[str], *, guidance: Sequence[str] = (), shown: bool = True
    ) -> Written:
        """Answer from notes alone, best first: see `context.of_notes`."""
        return await self.write(of_notes(question, notes, guidance=guidance), shown=shown)

    async def stream(
        self, context: Context, *, session_id: str | None = None, talk: bool = False, shown: bool = True
    ) -> AsyncGenerator[str | Written, None]:
        """The answer's text in pieces as they come, then what was written as the last item.

        Where the model breaks after the first piece, the last item has the text that counts, and the pieces do not.
        `talk` asks for no fact, so that any model may answer it without notes. What a model that is not capable writes
        comes only as the last item, and where it is not the notes' own, the best note is quoted instead.

        Raises BudgetExhausted, unless it is not `shown` to the owner: then the best note is quoted, as where there is
        no model.
        """
        engine = await self._model.ready()
        if not context.notes and (engine is None or not (engine.capable or talk)):
            yield Written(_UNKNOWN, NO_MODEL, degraded=False)
            return
        if engine is None:
            yield _quoted(context, self._model.reason)
            return
        request = ChatRequest(
            turns=context.turns,
            max_tokens=context.max_tokens,
            temperature=context.temperature,
            private=context.private,
            session_id=session_id,
            shown=shown,
        )
        asked = {"model": engine.name, "turns": len(context.turns)}
        await self._events.publish("inference_requested", engine.name, asked)
        completion: Completion | None = None
        links = LinkFilter(context.linkable)
        try:
            async with aclosing(engine.stream(request)) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    if not isinstance(piece, str):
                        completion = piece
                    elif (text := links.feed(piece)) and engine.capable:
                        yield text
        except PagiError as error:
            if shown and isinstance(error, BudgetExhausted):
                raise
            logger.warning("the model did not answer: %s", error)
            yield _quoted(context, str(error))
            return
        assert completion is not None
        if (text := links.end()) and engine.capable:
            yield text
        used = {"model": completion.model, "completion_tokens": completion.completion_tokens, "ms": completion.ms}
        await self._events.publish("inference_completed", completion.model, used)
        written = _written(context, completion)
        of_model = not written.degraded and written.note is None
        if of_model and context.notes and not engine.capable and not stands_in(context, written.text):
            written = _quoted(context, MADE_UP)
        yield written


def stands_in(context: Context, text: str) -> bool:
    """Whether an answer has no word and no number that is not in its prompt, and says something that the question does
    not: a small model makes facts up, and repeats what it was asked."""
    given = " ".join(turn.content for turn in context.turns)
    said, new = salient_words(text), salient_words(" ".join(context.notes)) - salient_words(context.question)
    if not said <= salient_words(given) or not set(_NUMBER.findall(text)) <= set(_NUMBER.findall(given)):
        return False
    return not new or not said.isdisjoint(new)


def _written(context: Context, completion: Completion) -> Written:
    text = without_repeats(completion.text.strip())
    if completion.finish == "length":
        text = whole_sentences(text)
    text = without_made_up_links(text, context.linkable)
    if not text:
        return _quoted(context, "the model said nothing")
    return Written(text, completion.model, degraded=False, note=completion.note)


def without_repeats(text: str) -> str:
    """The text up to where it says the same sentence, or line, for the third time in a row: a small model gets caught
    in a circle, and every further turn says nothing."""
    pieces = _PIECE.findall(text)
    for place in range(2, len(pieces)):
        if pieces[place].strip() and pieces[place].strip() == pieces[place - 1].strip() == pieces[place - 2].strip():
            return "".join(pieces[: place - 1]).strip()
    return text


def whole_sentences(text: str) -> str:
    """A text that was cut short, up to its last whole sentence; with a sign of it where there is none."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]] if ends else f"{text}…"


def cited(
    text: str, origin: str, sources: Sequence[tuple[str, str]], *, written_by_model: bool, before: str = ""
) -> str:
    """An answer with the memory that it rests on: `sources` are (memory id, text), best first. `before` is what was so
    before.

    What a model wrote stands beside the memory's own words, for a small model gets facts wrong; an answer that quotes
    the memory already needs no second quotation.
    """
    before = f"; before: {before}" if before else ""
    if not sources:
        return f"{text}\n({origin}{before})"
    memory_id, words = sources[0]
    quoted = words if len(words) <= MAX_QUOTED_CHARS else f"{words[: MAX_QUOTED_CHARS - 1]}…"
    return f"{text}\n({origin} {memory_id}{f': “{quoted}”' if written_by_model else ''}{before})"


def _quoted(context: Context, reason: str | None) -> Written:
    text = context.notes[0] if context.notes else "I cannot answer this now: no model does."
    return Written(text, NO_MODEL, degraded=True, reason=reason)
