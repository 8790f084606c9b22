"""One twin asks another, and is answered in the same thread: private, authcrypt messages.

An answer names what it was drawn from, so that the asker can say where it has it from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from protocols import fields, limits

ASK: Final = "https://pagi.ai/task/1.0/ask"
ANSWER: Final = "https://pagi.ai/task/1.0/answer"


@dataclass(frozen=True, slots=True)
class Ask:
    """A question for one twin."""

    question: str

    def to_body(self) -> dict[str, Any]:
        """The message body, control characters left out. Raises LocalProtocolError if the receiver would refuse it."""
        return fields.sendable(Ask.from_body, {"question": fields.clean(self.question)})

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        return cls(fields.text(body.get("question"), "question", limits.MAX_QUESTION_BYTES, min_bytes=1))


@dataclass(frozen=True, slots=True)
class Source:
    """One memory that an answer rests on. `score` is how near it was to the question, from -1 to 1 (cosine)."""

    memory_id: str
    text: str
    score: float

    def to_body(self) -> dict[str, Any]:
        """One item of `sources`: the text cleaned and cut to `limits.MAX_SOURCE_BYTES`, the score within its bounds."""
        return {
            "memory_id": self.memory_id,
            "text": fields.clean_and_cut(self.text, limits.MAX_SOURCE_BYTES),
            "score": max(-1.0, min(1.0, self.score)),
        }

    @classmethod
    def from_body(cls, item: object) -> Self:
        """Read one item of `sources`. Raises MalformedMessage."""
        source = fields.mapping(item, "sources")
        return cls(
            memory_id=fields.line(source.get("memory_id"), "memory_id", limits.MAX_MEMORY_ID_CHARS),
            text=fields.text(source.get("text"), "text", limits.MAX_SOURCE_BYTES),
            score=fields.number(source.get("score"), "score", -1.0, 1.0),
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What the asked twin says. An empty `answer` means that it knows nothing about this.

    `confidence` is from 0 to 1; `model` names what wrote the text; `degraded` says that no language model did.
    """

    answer: str
    sources: tuple[Source, ...]
    confidence: float
    model: str
    degraded: bool

    def to_body(self) -> dict[str, Any]:
        """The message body: control characters left out, sources cut to their bound.

        Raises LocalProtocolError if the receiver would refuse it.
        """
        body: dict[str, Any] = {
            "answer": fields.clean(self.answer),
            "sources": [source.to_body() for source in self.sources],
            "confidence": self.confidence,
            "model": self.model,
            "degraded": self.degraded,
        }
        return fields.sendable(Answer.from_body, body)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a message body. Raises MalformedMessage."""
        sources = fields.sequence(body.get("sources"), "sources", limits.MAX_SOURCES)
        return cls(
            answer=fields.text(body.get("answer"), "answer", limits.MAX_ANSWER_BYTES),
            sources=tuple(Source.from_body(item) for item in sources),
            confidence=fields.number(body.get("confidence"), "confidence", 0.0, 1.0),
            model=fields.line(body.get("model"), "model", limits.MAX_MODEL_NAME_CHARS),
            degraded=fields.flag(body.get("degraded"), "degraded"),
        )
