"""How a text sounds: one mood of a few, and how strongly. By a small English lexicon, negation, intensity and shape.

It hears what is said outright ("I am so angry") and what capitals and exclamation marks say; it hears no irony, and of
other languages than English only their punctuation. Pure.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

MOODS: Final = (
    "neutral", "happy", "grateful", "excited", "curious", "sad", "angry", "afraid", "stressed", "tired",
)  # fmt: skip
"""Every mood that there is, of inputs as of the twin."""

MAX_FELT_CHARS: Final = 20_000
"""The beginning of a text sets its tone; the rest of a long one is material."""

_WORDS: Final[Mapping[str, str]] = {
    "happy": """happy glad delighted pleased joyful joy cheerful wonderful lovely great good nice love loved enjoy
        enjoyed fun smile relaxed proud relieved satisfied fantastic perfect content hooray yay""",
    "grateful": "thanks thank grateful thankful appreciate appreciated gratitude blessed cheers",
    "excited": "excited thrilled amazing awesome incredible wow ecstatic pumped eager brilliant stoked epic",
    "curious": "curious wonder wondering interested fascinating intrigued interesting intriguing",
    "sad": """sad unhappy miserable depressed lonely cry crying cried tears grief grieving heartbroken hopeless miss
        lost died death passed disappointed disappointing sorry down hurt devastated mourning gloomy regret""",
    "angry": """angry furious mad annoyed annoying hate hated idiot stupid ridiculous unacceptable outrageous useless
        terrible awful disgusting pissed fed rage infuriating frustrated frustrating damn worst garbage rubbish""",
    "afraid": """afraid scared frightened terrified fear anxious worried worry worrying nervous panic panicking dread
        unsafe threatened danger dangerous horror scary""",
    "stressed": """stressed stress stressful overwhelmed urgent urgently deadline hurry asap pressure swamped emergency
        immediately late overworked burnt rushing frantic""",
    "tired": "tired exhausted sleepy drained weary worn bored boring fatigue burned",
}
_MOOD_OF: Final = {word: mood for mood, words in _WORDS.items() for word in words.split()}

_STRENGTH: Final[Mapping[str, float]] = dict.fromkeys(
    """furious ecstatic terrified devastated thrilled overwhelmed panic panicking heartbroken rage emergency infuriating
    outrageous delighted miserable hopeless exhausted""".split(),  # noqa: SIM905
    1.6,
) | dict.fromkeys("good nice great down late lost miss mad fed worn sorry burned interested love".split(), 0.6)  # noqa: SIM905
"""What is more, or less, than one ordinary word of feeling."""

_NEGATIONS: Final = frozenset("not no never isn't wasn't don't didn't doesn't aren't won't can't cannot hardly".split())  # noqa: SIM905
_MORE: Final = frozenset("very so really extremely too totally absolutely completely incredibly super utterly".split())  # noqa: SIM905
_LESS: Final = frozenset("slightly somewhat little bit kind kinda rather fairly mildly".split())  # noqa: SIM905
_OPPOSITE: Final[Mapping[str, str]] = {"happy": "sad", "excited": "sad", "grateful": "angry", "curious": "tired"}
"""What "not …" turns a mood into. Not being sad, angry or afraid is no feeling of its own."""

_LOOK_BACK: Final = 3
"""Words before a feeling in which a negation or an intensity counts: "not at all happy"."""

_TOKEN: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_SHOUTED: Final = re.compile(r"\b[A-Z]{4,}\b")
_AROUSING: Final = frozenset(("excited", "angry", "afraid", "stressed"))


def feeling(text: str) -> tuple[str, float]:
    """The mood, one of MOODS, and the activation from 0 (calm) to 1."""
    text = text[:MAX_FELT_CHARS]
    words = [match.replace("’", "'") for match in _TOKEN.findall(text)]
    scores = _scores([word.lower() for word in words])
    shouting = _shouting(text, words)
    mood = max(scores, key=lambda one: (scores[one], one)) if scores else "neutral"
    strength = scores.get(mood, 0.0)
    if strength < 0.5:
        mood = "neutral"
    activation = min(1.0, 0.3 * strength) + (0.15 if mood in _AROUSING else 0.0) + shouting
    return mood, round(max(0.0, min(1.0, activation)), 3)


def _scores(words: Sequence[str]) -> dict[str, float]:
    scores: dict[str, float] = {}
    for place, word in enumerate(words):
        mood = _MOOD_OF.get(word)
        if mood is None:
            continue
        before = words[max(0, place - _LOOK_BACK) : place]
        strength = _STRENGTH.get(word, 1.0)
        strength *= 1.5 if _MORE.intersection(before) else 0.5 if _LESS.intersection(before) else 1.0
        if _NEGATIONS.intersection(before):
            opposite = _OPPOSITE.get(mood)
            if opposite is None:
                continue
            mood = opposite
        scores[mood] = scores.get(mood, 0.0) + strength
    return scores


def _shouting(text: str, words: Sequence[str]) -> float:
    """What capitals and exclamation marks add: nothing for an acronym, 0.5 at most."""
    shouted = len(_SHOUTED.findall(text))
    loud = 0.25 if shouted >= 2 and shouted * 2 >= len(words) else 0.1 if shouted >= 3 else 0.0
    return loud + min(0.25, 0.08 * text.count("!"))
