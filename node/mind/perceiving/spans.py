"""Places in a text that must not go everywhere, and the text with names in their stead. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """`text[start:end]` is of this kind: `private key`, `e-mail address`. The content itself is never kept in here."""

    start: int
    end: int
    kind: str


def apart(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The spans in order, of those that overlap the one that begins first, and of these the longest."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda one: (one.start, -one.end, one.kind)):
        if span.end > span.start and (not kept or span.start >= kept[-1].end):
            kept.append(span)
        elif kept and span.end > kept[-1].end:
            kept[-1] = Span(kept[-1].start, span.end, kept[-1].kind)
    return tuple(kept)


def outside(taken: Sequence[Span], spans: Iterable[Span]) -> tuple[Span, ...]:
    """Those of the spans that overlap none of `taken`."""
    return tuple(
        span for span in spans if not any(span.start < other.end and other.start < span.end for other in taken)
    )


def named(text: str, spans: Sequence[Span]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The text with a name such as `[e-mail address 1]` for each span, and (name, what stood there) of each.

    `spans` are in order and do not overlap. The same words have the same name each time. A text that holds such names
    itself gets others: `restore` must never put a secret where the writer of the text wants it.
    """
    names: dict[tuple[str, str], str] = {}
    counts: dict[str, int] = {}
    pieces: list[str] = []
    end = 0
    for span in spans:
        words = text[span.start : span.end]
        key = (span.kind, words)
        while key not in names:
            counts[span.kind] = counts.get(span.kind, 0) + 1
            name = f"[{span.kind} {counts[span.kind]}]"
            if name not in text:
                names[key] = name
        pieces += [text[end : span.start], names[key]]
        end = span.end
    return "".join([*pieces, text[end:]]), tuple((name, words) for (_, words), name in names.items())
