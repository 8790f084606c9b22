"""Secrets in a text: keys, tokens, passwords, card and account numbers, seed phrases. Pure.

A secret is known by its form (a prefix, a checksum), by what stands before it ("the password is"), or, last, by being
long and random. Every expression starts at a boundary and has bounds, so that no text keeps it busy.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from node.mind.perceiving.spans import Span

MIN_ENTROPY_BITS: Final = 4.0
"""For each character, of what is taken for random: words reach 3.5, base64 of 32 random characters 4.5 and more."""

_FORMS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (kind, re.compile(expression))
    for kind, expression in (
        (
            "private key",
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[^-]{0,16384}"
            r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?",
        ),
        ("private key", r"\bAGE-SECRET-KEY-1[0-9A-Z]{40,80}\b"),
        ("private key", r"\b[xyz]prv[1-9A-HJ-NP-Za-km-z]{100,112}\b"),
        ("private key", r"\bz3u2[1-9A-HJ-NP-Za-km-z]{40,60}\b"),
        ("private key", r"(?<![\w/+])[5KL][1-9A-HJ-NP-Za-km-z]{50,51}(?![\w/+])"),
        ("api key", r"(?<![\w-])sk-(?:ant-|proj-|or-v1-)?[A-Za-z0-9_-]{20,200}"),
        ("api key", r"\b(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,128}\b"),
        ("api key", r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b"),
        ("api key", r"\bgithub_pat_[A-Za-z0-9_]{40,255}\b"),
        ("api key", r"\bglpat-[A-Za-z0-9_-]{20,64}"),
        ("api key", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,255}"),
        ("api key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
        ("api key", r"\bAIza[0-9A-Za-z_-]{35}"),
        ("api key", r"\bya29\.[0-9A-Za-z_-]{20,512}"),
        ("api key", r"\bnpm_[A-Za-z0-9]{36}\b"),
        ("api key", r"\bpypi-AgE[A-Za-z0-9_-]{40,512}"),
        ("api key", r"\bhf_[A-Za-z0-9]{30,64}\b"),
        ("api key", r"\bSG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}"),
        ("api key", r"\bdop_v1_[0-9a-f]{64}\b"),
        ("api key", r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b"),
        ("api key", r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{32,35}"),
        ("token", r"\beyJ[A-Za-z0-9_-]{10,4096}\.eyJ[A-Za-z0-9_-]{10,8192}\.[A-Za-z0-9_-]{10,4096}"),
        ("token", r"(?i:\bbearer\s{1,4})(?=[A-Za-z0-9._~+/-]{0,200}\d)[A-Za-z0-9._~+/-]{16,4096}={0,2}"),
        ("api key", r"\bhttps://hooks\.slack\.com/services/[A-Za-z0-9/]{20,120}"),
    )
)

_URL_PASSWORD: Final = re.compile(r"\b[a-z][a-z0-9+.-]{1,15}://[^\s/:@]{0,64}:([^\s/:@]{1,128})@")
_NAMED: Final = re.compile(
    r"(?i)(?<![^\W_])(?P<what>(?:[a-z0-9]{1,24}[_ -]){0,2}"
    r"(?:pass(?:word|wd|phrase|code|wort)|pwd|passwort|kennwort|contraseña|mot de passe|"
    r"pin(?:[ -]?code)?|tan|cv[cv]|(?:door|gate|alarm|garage|lock|locker|safe|vault|entry|security|unlock)[ -]?"
    r"(?:code|combination)|wi-?fi[ -]?key|api[_ -]?key|access[_ -]?key|secret(?:[_ -]?(?:access[_ -]?)?key)?|"
    r"private[_ -]?key|(?:auth|access|refresh|bearer|session|api|bot)?[_ -]?token|client[_ -]?secret|credentials?))"
    r"(?P<for>(?:[ \t]{1,2}(?:for|to|of|on|at|zu|für)(?:[ \t]{1,2}[^\s:=]{1,32}){1,4}?)?)"
    r"[\"']?[ \t]{0,4}"
    r"(?P<by>is(?: now)?[ \t]{0,2}:?|was|ist|:=|=>|=|:|changed to|set to)[ \t]{1,4}"
    r"(?:\"(?P<double>[^\"\n]{3,128})\"|'(?P<single>[^'\n]{3,128})'|`(?P<tick>[^`\n]{3,128})`|“(?P<curly>[^”\n]{3,128})”"
    r"|(?P<bare>[^\s\"'`“<]{3,512}))"
)
_BESIDE: Final = re.compile(
    r"(?i)(?<![^\W_])(?:(?P<number>pin|tan|cv[cv]|(?:door|gate|alarm|garage|lock|safe)[ -]?code)[ \t]{1,2}"
    r"(?P<digits>\d{3}[ ]\d{3}|\d{3,8})"
    r"|(?:password|passwd|passcode|passwort|kennwort|wi-?fi[ -]?key)[ \t]{1,2}"
    r"(?P<mixed>(?=[^\s\d]{0,64}\d)(?=[^\sa-z]{0,64}[a-z])[^\s\"'`<]{5,64}))(?![^\s.,;:!?)])"
)
"""A code or a password right behind its name: "PIN 4711", "password hunter2"."""

_PHRASE: Final = re.compile(
    r"(?i)(?<![^\W_])pass[ -]?phrase(?:[ \t]{1,2}is)?[ \t]{0,2}:?[ \t]{1,4}"
    r"(?P<words>(?:[a-z]{2,12}[ -]){3,9}[a-z]{2,12})(?![ \t]?\w)"
)
"""Four words or more behind "passphrase", to the end of the line or sentence, that make no sentence themselves."""

_ASSIGNED: Final = re.compile(
    r"(?i)(?<![^\W_])(?:[a-z0-9]{1,24}[_-]){0,3}(?:password|passwd|pwd|secret|token|api_?key|access_?key|private_?key|"
    r"secret_?key)(?:[_-][a-z0-9]{1,24}){0,2}[\"']?(?:=|:|:=|=>)[ \t]{0,2}[\"'`]?(?P<bare>[^\s\"'`,;<>{}()]{4,512})"
)
_NO_SECRETS: Final = frozenset(
    """
    required wrong invalid incorrect expired missing correct right weak strong safe secure unknown empty needed not too
    the a an my your his her their our it its that this these those what which where when why how who stored saved kept
    hidden secret private public encrypted hashed sent shared reset changed lost forgotten same different new old set
    used optional mandatory good bad fine case longer shorter only always never still also being been going about for
    from with without and but because none null nil undefined true false protected important something nothing
    everything here there just very really valid based limited part one two three in on of to at by as so ready
    available generated rotated revoked leaked compromised long short easy hard strictly no yes todo changeme example
    asked typed entered
    written known managed read checked rejected accepted returned passed given made working broken gone back up down
    """.split()  # noqa: SIM905
)
_IN_DIGITS: Final = ("pin", "tan", "cvc", "cvv")
_OPAQUE: Final = re.compile(r"(?<![\w/+=.:@-])[A-Za-z0-9_+/-]{28,512}={0,2}(?![\w/+])")
_NAMES_OF_THINGS: Final = re.compile(
    r"Qm[1-9A-HJ-NP-Za-km-z]{44}$|z6(?:Mk|LS)|12D3Koo|bafy|bafk|k51|[0-9a-fA-F]+$|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}"
)
_HEX_KEY: Final = re.compile(
    r"(?i)\b(?:private|secret|signing|encryption|wallet|master)[ _-]?(?:key|seed)\b[^\n]{0,40}?\b(0x)?([0-9a-f]{64})\b"
)
_CARD: Final = re.compile(
    r"(?<![\w.+-])[2-6]\d{3}(?:[ -]?\d{4}){2}[ -]?\d{1,7}(?![\w-])"
    r"|(?<![\w.+-])3[47]\d{2}[ -]?\d{6}[ -]?\d{5}(?![\w-])"
)
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_SEED_NAMED: Final = re.compile(
    r"(?i)\b(?:seed|recovery|backup|wallet|mnemonic|secret)[ -]?(?:phrase|words?|mnemonic)?\b[^\n:=]{0,40}[:=]?\s{0,4}"
    r"[\"'“`]?"
    r"((?:[a-z]{3,8}[ ,]{1,2}){11,23}[a-z]{3,8})\b"
)
_SEED_ALONE: Final = re.compile(r"(?m)^[ \t\"'“`>-]{0,4}((?:[a-z]{3,8} ){11,23}[a-z]{3,8})[ \t\"'”`.]{0,4}$")
_SEED_LENGTHS: Final = (12, 15, 18, 21, 24)
_NO_SEED_WORDS: Final = frozenset(
    """
    the and for was are but not his her has had our its who did she him been from were which your their them would
    """.split()  # noqa: SIM905
)
_NO_PHRASE_WORDS: Final = _NO_SEED_WORDS | {"at", "of", "in", "to", "on", "is", "as", "it", "be", "by", "if", "a", "an"}


def secret_spans(text: str) -> Iterator[Span]:
    """Where secrets stand, in no order; they may overlap."""
    for kind, expression in _FORMS:
        for match in expression.finditer(text):
            yield Span(match.start(), match.end(), kind)
    for match in _URL_PASSWORD.finditer(text):
        yield Span(*match.span(1), "password")
    yield from _named_secrets(text)
    for match in _HEX_KEY.finditer(text):
        yield Span(match.start(2), match.end(2), "private key")
    for match in _OPAQUE.finditer(text):
        if _is_random(match[0]):
            yield Span(match.start(), match.end(), "token")
    for match in _CARD.finditer(text):
        if _is_card(match[0]):
            yield Span(match.start(), match.end(), "card number")
    for match in _IBAN.finditer(text):
        if _is_iban(match[0]):
            yield Span(match.start(), match.end(), "account number")
    yield from _seed_phrases(text)


def _named_secrets(text: str) -> Iterator[Span]:
    for match in _NAMED.finditer(text):
        quoted = next((name for name in ("double", "single", "tick", "curly") if match[name] is not None), None)
        group = quoted or "bare"
        value = match[group].rstrip(".,;:!?)]}”") if quoted is None else match[group]
        if value and (quoted is not None or _may_be_secret(value, match["what"].lower(), match["by"].lower())):
            yield Span(match.start(group), match.start(group) + len(value), _kind_of(match["what"]))
    for match in _BESIDE.finditer(text):
        yield Span(*match.span("digits" if match["digits"] else "mixed"), "password")
    for match in _PHRASE.finditer(text):
        if not _NO_PHRASE_WORDS.intersection(match["words"].lower().split()):
            yield Span(*match.span("words"), "password")
    for match in _ASSIGNED.finditer(text):
        value = match["bare"].rstrip(".,;:!?)]}")
        if len(value) >= 4 and value.lower() not in _NO_SECRETS and not value.startswith(("$", "%", "*", "/", "http")):
            yield Span(match.start("bare"), match.start("bare") + len(value), _kind_of(match[0]))


def _kind_of(what: str) -> str:
    lower = what.lower()
    if "private" in lower:
        return "private key"
    if "token" in lower:
        return "token"
    return "api key" if "key" in lower else "password"


def _may_be_secret(value: str, what: str, by: str) -> bool:
    """Whether what stands after "password is" can be one, and is not the next word of a sentence."""
    if value.lower() in _NO_SECRETS or value.startswith(("[", "<", "$", "*", "{")):
        return False
    if what.split()[-1] in _IN_DIGITS or (what.endswith(("code", "combination")) and "pass" not in what):
        return value[0].isdigit() and all(char.isdigit() or char in "-#*" for char in value) and 3 <= len(value) <= 12
    if what.endswith("key") and "fi" in what:
        return len(value) >= 5
    has_digit, has_sign = any(char.isdigit() for char in value), not value.isalnum()
    mixed = value != value.lower() and value != value.capitalize()
    if what.split()[-1].startswith(("pass", "pwd", "kenn", "contra", "mot")):
        return has_digit or has_sign or mixed or by != "was"
    return len(value) >= 8 and (has_digit or mixed)


def _is_random(value: str) -> bool:
    """Long, of capitals, small letters and digits, without order; and no name that is public by nature."""
    if _NAMES_OF_THINGS.match(value) or value.count("/") > 2 or value.count("-") > 6 or value.count("_") > 6:
        return False
    if not (any(c.isdigit() for c in value) and any(c.isupper() for c in value) and any(c.islower() for c in value)):
        return False
    counts = Counter(value)
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values()) >= MIN_ENTROPY_BITS


def _is_card(value: str) -> bool:
    digits = [int(char) for char in value if char.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) < 2:
        return False
    doubled = [digit if place % 2 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(reversed(digits), 1)]
    return sum(doubled) % 10 == 0


def _is_iban(value: str) -> bool:
    compact = value.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    return int("".join(str(int(char, 36)) for char in compact[4:] + compact[:4])) % 97 == 1


def _seed_phrases(text: str) -> Iterator[Span]:
    for named, expression in ((True, _SEED_NAMED), (False, _SEED_ALONE)):
        for match in expression.finditer(text):
            words = re.findall(r"[a-z]+", match[1].lower())
            is_phrase = len(words) in _SEED_LENGTHS and not _NO_SEED_WORDS.intersection(words)
            if is_phrase and (named or len(set(words)) > 9):
                yield Span(*match.span(1), "seed phrase")
