"""Facts that a text tells of its author: "my sister is Ana", "I prefer tea", "remember that …", "I am Tom". Pure.

By rule, sentence by sentence, in English, nearly in the author's own words: a sentence that tells two things becomes
two facts, `she` and `he` become the one who was spoken of, and who has moved lives there now. Questions, guesses and
what looks like a secret are no facts, unless the author says to remember it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MY_NAME_IS: Final = "My name is "
"""How a fact of what its author is called begins."""

MAX_LOOKED_AT_CHARS: Final = 4000
"""Of what was said. Whoever pastes more is not speaking of themselves."""

MAX_FACT_CHARS: Final = 300
MAX_FACTS: Final = 5
"""Of one turn."""

_SENTENCE: Final = re.compile(r"[^.!?\n]+(?:[.](?=\d)[^.!?\n]*)*[.!?]*")
_REMEMBER: Final = re.compile(
    r"^(?:please |also |and |so |ok(?:ay)?,? |hey,? )*(?:(?:can|could|will) you )?(?:please )?"
    r"(?:remember|note|keep in mind|don'?t forget|do not forget)(?: down)?(?: that|:|,)? +(?!to )(?P<what>\S.+)$",
    re.IGNORECASE,
)
_ABOUT_ME: Final = re.compile(
    r"^(?:(?:by the way|btw|well|also|and|but|so|actually|yes|no|oh|fyi|hi|hello|hey|now),? )*(?P<what>(?:"
    r"(?:my|our) (?!(?:question|point|guess|goal|code|script|program|file|idea|understanding|problem)\b)[\w' -]{2,60}?"
    r" (?:is|are|was|were|lives?|works?|likes?|prefers?|has|have|hates?|loves?|starts?|ends?|died|drives?|plays?"
    r"|speaks?|studies|teaches|moved|changed|owns?|drinks?|eats?|cooks?|collects?|comes?|goes|went|got|became|turned"
    r"|runs?|costs?|opens?|closes?|leaves?|arrives?|begins?|lasts?|expires?|belongs?|lies|stands|sits|weighs)\b"
    r"|the (?:new |old )?[\w-]{2,30} of my [\w' -]{2,40}? (?:is|are|was|were|has|have)\b"
    r"|i(?: am|'m)(?: (?:called|named|allergic to|married|vegetarian|vegan|from|a|an|born|retired|living|learning"
    r"|studying|\d{1,3})\b)"
    r"|i (?:really |usually |always |never |also |now |just )*(?:live|work|prefer|like|love|hate|own|play|study|studied"
    r"|speak|drive|moved|grew up|was born|drink|eat|collect|teach|have an? (?!question|idea|problem|doubt|look))\b"
    r"|i (?:do not|don'?t) (?:like|eat|drink|drive|want to be called)\b|i (?:cannot|can'?t) (?:stand|bear|eat|drink)\b"
    r"|i (?:have|had) (?:two|three|four|five|six|\d{1,2}) \w+"
    r"|call me \w+|we (?:live|have an?|moved|own|are married|got married)\b"
    r").*)$",
    re.IGNORECASE,
)
_OF_MY_LIFE: Final = re.compile(
    r"^(?:(?:on|in|at|every|each|since|during) [\w' -]{2,30}?,? )?(?:i|we) "
    r"(?:(?:really|usually|always|never|also|now|just|often|sometimes|once|still|only|both) )*"
    r"(?!(?:am|are|was|were|have|had|do|did|can|cannot|could|may|might|must|shall|should|will|would|dare"
    r"|think|thought|guess|guessed|suppose|believe|believed|assume|mean|meant|wonder|wondered|doubt|imagine|expect"
    r"|want|wanted|wish|wished|hope|hoped|need|needed|intend|plan|planned|try|tried|keep|kept|seem|seemed"
    r"|see|saw|hear|heard|understand|understood|agree|agreed|disagree|know|knew|find|found|feel|felt|notice|noticed"
    r"|say|said|ask|asked|tell|told|talk|talked|mention|mentioned|thank|appreciate|apologise|apologize|beg|promise"
    r"|look|looked|check|checked|forget|forgot|get|got|use|used|give|gave|wait|waited|require|prefer not)\b)"
    r"[a-z]+ (?=\S+ \S)(?!.*:(?!\d)).+$",
    re.IGNORECASE,
)
"""What somebody does or has done, whatever it is: no thought, wish or plan, and nothing of this conversation."""

_OF_MY_OWN: Final = re.compile(
    r"^(?:my|our) (?!(?:question|point|guess|goal|code|script|program|file|idea|understanding|problem)\b)"
    r"(?:[\w'-]+ ){1,4}?[a-z]{2,}(?<!s)(?:s|ed) (?!and\b|or\b|of\b).+$",
    re.IGNORECASE,
)
"""What somebody of theirs does or has done."""

_CODE: Final = re.compile(r"\b(?=\S*\d)(?=\S*[a-z])\S{8,}|\d{6}|(?:\d[ -]?){10}", re.IGNORECASE)
"""What may be a key or the number of an account. Whoever wants it kept says so."""

_TO_ANOTHER: Final = re.compile(r"\b(?:you|your|yours)\b", re.IGNORECASE)

_NAME: Final = re.compile(
    r"^(?:(?:hi|hello|hey|good (?:morning|afternoon|evening)|ok(?:ay)?|no|yes|well|by the way|actually|and|so)\b"
    r"[\w ]{0,20}?[,!]? ){0,3}"
    r"(?:my (?:first )?name(?: is|'s) (?P<said>[^\W\d_][\w'-]{0,30}(?: (?-i:[A-Z])[\w'-]{0,30}){0,2})"
    r"|(?:please )?call me (?P<called>[^\W\d_][\w'-]{0,30})"
    r"|(?:i am|i'm|this is) (?P<name>(?-i:[A-Z])[\w'-]{1,30}(?: (?-i:[A-Z])[\w'-]{1,30})?)(?: speaking| here)?)[.!]*$",
    re.IGNORECASE,
)
_OF_A_PEOPLE: Final = re.compile(
    r"(?:.*(?:ish|ese|nch|tch|wiss|reek|zech|thai|jew|muslim|catholic|christian|buddhist|hindu|atheist)"
    r"|(?:ital|germ|americ|canad|europe|afric|ind|russ|ukrain|brazil|mexic|austral|austr|belg|hungar|rom|bulgar|norweg"
    r"|egypt|as|argentin|colomb|chil|peruv|venezuel|cub|kore|pers|syr|iran|indones|malays|estoni|latvi|lithuan|croat"
    r"|serb|alban|armen|georg|keny|nigeri|ethiop)(?:i?an|ean|n)?)",
    re.IGNORECASE,
)
"""Words with a capital that say where somebody is from or what they believe, not what they are called."""

_AND_SO: Final = re.compile(r",? and (?=(?:he|she|they|it|i|my \w+) (?!and\b)[\w']+)", re.IGNORECASE)
_MOVED: Final = re.compile(
    r"^(?P<who>.{1,60}?) (?:has |have |'ve )?(?:now )?moved to"
    r" (?P<where>(?-i:[A-Z])[\w'-]{1,40}(?: (?-i:[A-Z])[\w'-]{1,40}){0,3})(?P<how> .{1,80})?$",
    re.IGNORECASE,
)
_SUBJECT: Final = re.compile(
    r"^(?P<who>(?:my|our) [\w' -]{2,40}?|(?-i:[A-Z])\w+)"
    r" (?:is|was|lives?|works?|likes?|prefers?|has|hates?|loves?|moved|drives?|plays?)\b",
    re.IGNORECASE,
)
_CORRECTION: Final = re.compile(
    r"^(?:(?:no|sorry|actually|oh|but|wait|not any ?more|i mean)\b[,;:.!]? ?)*(?P<pronoun>he|she)"
    r"(?P<rest>(?:'s| (?:is|was|has|lives|works|moved|likes|prefers|hates|loves|plays|drives|died|became|got))\b.*)$",
    re.IGNORECASE,
)
_SHE: Final = re.compile(r"\b(?:sister|mother|mum|mom|wife|daughter|aunt|niece|grandmother|grandma|girlfriend)\b", re.I)
_HE: Final = re.compile(r"\b(?:brother|father|dad|husband|son|uncle|nephew|grandfather|grandpa|boyfriend)\b", re.I)
_NO_FACT: Final = re.compile(
    r"[?]$|\b(?:it|this|that|them)[.!]*$"
    r"|\b(?:if|maybe|perhaps|suppose|imagine|pretend|wonder|might|would|could)\b"
    r"|\b(?:pass(?:word|phrase|code|wd)|pin(?: code)?|cvv|secret|api[- ]?key|token|private key|seed phrase|iban"
    r"|card number|social security)\b",
    re.IGNORECASE,
)
"""Questions, what points elsewhere, guesses, and what looks like a secret."""

_DANGLING: Final = re.compile(r"^(?:me|this|it|that|the following|my)[.:!?]*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fact:
    """What a text tells of its author. `asked`: they asked to remember it; `name`: it is what they are called."""

    text: str
    asked: bool = False
    name: bool = False


def speaks_of_another(said: str) -> bool:
    """Whether it depends on what was told before whom a text speaks of."""
    return any(
        _CORRECTION.match(" ".join(match[0].split())) for match in _SENTENCE.finditer(said[:MAX_LOOKED_AT_CHARS])
    )


def asks_to_remember(said: str) -> bool:
    """Whether a text asks to remember something."""
    return any(fact.asked for fact in noticed(said))


def noticed(said: str, before: Sequence[str] = ()) -> list[Fact]:
    """What a text tells of its author, in their words. Pure.

    `before` is what was told before it, newest first: whom `she` or `he` means in "No, she moved to Lisbon".
    """
    found: dict[str, Fact] = {}
    tells = "?" not in said and not _TO_ANOTHER.search(said[:MAX_LOOKED_AT_CHARS])
    for match in _SENTENCE.finditer(said[:MAX_LOOKED_AT_CHARS]):
        sentence = " ".join(match[0].split())
        if len(sentence) > MAX_FACT_CHARS:
            continue
        for fact in _facts_in(sentence, (*(fact.text for fact in reversed(found.values())), *before), tells=tells):
            found.setdefault(fact.text, fact)
    return list(found.values())[:MAX_FACTS]


def _facts_in(sentence: str, before: Sequence[str], *, tells: bool) -> list[Fact]:
    """`tells`: the text that it stands in asks nothing, so that a sentence is no premise of a question."""
    asked = _REMEMBER.match(sentence)
    if asked is not None:
        return [] if _DANGLING.match(asked["what"]) else [Fact(_clean(asked["what"]), asked=True)]
    if _NO_FACT.search(sentence):
        return []
    named = _NAME.match(sentence)
    name = named and (named["said"] or named["called"] or named["name"])
    if name and not _OF_A_PEOPLE.fullmatch(name):
        return [Fact(f"{MY_NAME_IS}{_clean(name)}", name=True)]
    told = _ABOUT_ME.match(sentence)
    if told is not None:
        return _each(told["what"])
    if (
        tells
        and not _CODE.search(sentence)
        and any(form.match(sentence.rstrip(".! ")) for form in (_OF_MY_LIFE, _OF_MY_OWN))
    ):
        return _each(sentence)
    meant = _meant(sentence, before)
    return [] if meant is None else _each(meant)


def _each(text: str) -> list[Fact]:
    """One fact for each thing that a sentence tells, each of which can then be corrected alone."""
    parts = _AND_SO.split(text)
    facts: list[str] = []
    for part in parts:
        pronoun = _CORRECTION.match(part)
        subject = _SUBJECT.match(facts[0]) if facts else None
        facts.append(f"{subject['who']}{pronoun['rest']}" if pronoun and subject else part)
    return [Fact(_now(_clean(fact))) for fact in facts]


def _meant(sentence: str, before: Sequence[str]) -> str | None:
    """A sentence about `she` or `he` with the one who is meant: the last one of whom it can be said."""
    said = _CORRECTION.match(sentence)
    if said is None:
        return None
    other = _HE if said["pronoun"].lower() == "she" else _SHE
    subjects = (found["who"] for text in before if (found := _SUBJECT.match(text)) is not None)
    who = next((who for who in subjects if not other.search(who) and who.lower() not in ("my name",)), None)
    return None if who is None else f"{who}{said['rest']}"


def _now(fact: str) -> str:
    """Who has moved lives there now: that is what will be asked."""
    moved = _MOVED.match(fact)
    if moved is None or moved["who"].lower() in ("he", "she", "they", "it"):
        return fact
    lives = "live" if moved["who"].lower() in ("i", "we") else "lives"
    how = f" (moved {moved['how'].strip(' ,')})" if moved["how"] else ""
    return f"{moved['who']} {lives} in {moved['where']} now{how}"


def _clean(text: str) -> str:
    text = text.strip().rstrip(".!?")
    return text[:1].upper() + text[1:]
