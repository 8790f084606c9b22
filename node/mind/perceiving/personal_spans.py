"""Personal data in a text: e-mail addresses, telephone numbers, postal addresses, birth dates, identity numbers. Pure.

Only what is certain by its form, or by the words before it. A name alone is none: without it no goal about a person
could be asked of anybody.
"""

import re
from collections.abc import Iterator
from typing import Final

from node.mind.perceiving.spans import Span

_MONTHS: Final = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?|"
    "nov(?:ember)?|dec(?:ember)?"
)
_DATE: Final = (
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|"
    rf"\d{{1,2}}(?:st|nd|rd|th)?(?: of)? (?:{_MONTHS})\b\.?(?:,? \d{{4}})?|"
    rf"(?:{_MONTHS})\b\.? \d{{1,2}}(?:st|nd|rd|th)?\b(?:,? \d{{4}})?)"
)
_STREETS: Final = (
    "street|st|road|rd|avenue|ave|lane|ln|drive|dr|boulevard|blvd|court|ct|place|pl|square|sq|terrace|crescent|"
    "highway|hwy|parkway|pkwy|close|gardens|grove|mews|row|way"
)
_FORMS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    (
        "e-mail address",
        re.compile(
            r"(?<![\w.+@-])[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}@"
            r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}\.){1,4}[A-Za-z]{2,24}(?![\w-])"
        ),
    ),
    (
        "identity number",
        re.compile(r"(?<![\w.-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])"),
    ),
    (
        "postal address",
        re.compile(
            r"(?<![\w.,])\d{1,5}[A-Za-z]?,? (?:[NSEW]\.? )?(?:[A-Z][\w'’.-]{1,24} ){1,4}"
            rf"(?i:{_STREETS})\b\.?"
            r"(?:,? (?:Apt|Apartment|Suite|Unit|Flat|#)\.? ?[\w-]{1,8})?"
            r"(?:,? (?:[A-Z][a-z'’.-]{1,24},? ?){1,3}"
            r"(?:[A-Z]{2} \d{5}(?:-\d{4})?|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}\b)?)?"
        ),
    ),
    (
        "postal address",
        re.compile(
            r"(?<!\w)[A-ZÄÖÜ][\wäöüß.-]{1,32}(?:straße|strasse|str\.|weg|platz|allee|gasse) \d{1,4} ?[a-z]?"
            r"(?:,? \d{5} [A-ZÄÖÜ][\wäöüß-]{1,32})?"
        ),
    ),
)
_BIRTH: Final = re.compile(
    r"(?i)\b(?:born(?: on| in)?|birth ?(?:day|date)(?: is| was)?(?: on)?|date of birth|d\.?o\.?b\.?)\b[^\n\d]{0,24}?"
    rf"({_DATE})"
)
_PHONE: Final = re.compile(
    r"(?<![\w.+/-])(?:(?P<foreign>\+|00)\d{1,3}(?:[ .()/-]{0,2}\d){6,13}|"
    r"(?P<us>\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}[.-]\d{3}[.-]\d{4})|"
    r"(?P<plain>0\d(?:[ ./-]?\d){6,12}|\d{3}(?:[ .-]?\d){4,9}))"
    r"(?![\w/]|[.-]\d)"
)
_BEFORE_PHONE: Final = re.compile(
    r"(?i)\b(?:call|phone|telephone|tel|mobile|cell|text|ring|whatsapp|fax|contact|reach|sms|handy|telefon)\b"
    r"[^\n\d+(]{0,40}$"
)
_PHONE_LOOK_BACK: Final = 64


def personal_spans(text: str) -> Iterator[Span]:
    """Where personal data stands, in no order; it may overlap."""
    for kind, expression in _FORMS:
        for match in expression.finditer(text):
            yield Span(match.start(), match.start() + len(match[0].rstrip(" ,")), kind)
    for match in _BIRTH.finditer(text):
        yield Span(*match.span(1), "birth date")
    for match in _PHONE.finditer(text):
        before = text[max(0, match.start() - _PHONE_LOOK_BACK) : match.start()]
        if match["plain"] is None or _BEFORE_PHONE.search(before):
            yield Span(match.start(), match.end(), "telephone number")
