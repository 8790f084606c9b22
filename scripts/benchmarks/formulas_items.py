"""The two hundred questions of `formulas`: unit conversions, finance formulas, and the conventions of one made-up firm.

Drawn by chance from a fixed seed, the same in every run; DIGEST holds them still. Each family has five items in either
half, with other numbers. Of the families of the firm nobody can know the right answer without being taught: its units,
its exchange rate, how it rounds, what it calls a margin. What the owner says of a wrong answer is the right number and
how it comes about, never the rule in words.
"""

import hashlib
import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Final, Literal

SEED: Final = 20261120
PER_HALF: Final = 5
DIGEST: Final = "03e16e68cdb31fd2093eea28ade2b6faece74c1e8cdd71795766d1c98237fb11"

Half = Literal["train", "held-out"]


@dataclass(frozen=True, slots=True)
class Item:
    """A question, its answer, how far off an answer may be (relative), and what the owner says of a wrong one."""

    family: str
    house: bool
    half: Half
    goal: str
    right: float
    tolerance: float
    correction: str

    def is_met_by(self, value: float | None) -> bool:
        """Whether a number is the right one."""
        return value is not None and abs(value - self.right) <= max(1e-6, self.tolerance * abs(self.right))


@dataclass(frozen=True, slots=True)
class Family:
    """Questions of one kind. `draw` gives the values of the templates, the answer, and its working."""

    name: str
    house: bool
    templates: tuple[str, ...]
    draw: Callable[[random.Random], tuple[dict[str, object], float, str]]
    tolerance: float = 0.001


Drawn = tuple[dict[str, object], float, str]


def _miles(r: random.Random) -> Drawn:
    n = r.randint(3, 480)
    return {"n": n}, n * 1.609344, f"{n} * 1.609344"


def _fahrenheit(r: random.Random) -> Drawn:
    n = r.randint(-20, 460)
    return {"n": n}, (n - 32) * 5 / 9, f"({n} - 32) * 5 / 9"


def _pounds(r: random.Random) -> Drawn:
    n = r.randint(4, 900)
    return {"n": n}, n * 0.45359237, f"{n} * 0.45359237"


def _gallons(r: random.Random) -> Drawn:
    n = r.randint(2, 640)
    return {"n": n}, n * 3.785411784, f"{n} * 3.785411784"


def _knots(r: random.Random) -> Drawn:
    n = r.randint(4, 95)
    return {"n": n}, n * 1.852, f"{n} * 1.852"


def _simple(r: random.Random) -> Drawn:
    p, i, y = r.randint(4, 90) * 100, r.randint(2, 9), r.randint(2, 12)
    return {"p": p, "i": i, "y": y}, p * i / 100 * y, f"{p} * {i} / 100 * {y}"


def _compound(r: random.Random) -> Drawn:
    p, i, y = r.randint(4, 90) * 100, r.randint(2, 9), r.randint(2, 12)
    return {"p": p, "i": i, "y": y}, p * (1 + i / 100) ** y, f"{p} * (1 + {i} / 100) ** {y}"


def _net(r: random.Random) -> Drawn:
    g, v = r.randint(30, 2400), r.choice((7, 10, 19, 20, 21, 25))
    return {"g": g, "v": v}, g / (1 + v / 100), f"{g} / (1 + {v} / 100)"


def _kegs(r: random.Random) -> Drawn:
    n = r.randint(3, 260)
    return {"n": n}, n * 37.5, f"{n} * 37.5"


def _crowns(r: random.Random) -> Drawn:
    n = r.randint(8, 900) * 10
    return {"n": n}, n / 24.6, f"{n} / 24.6"


def _quoted(r: random.Random) -> Drawn:
    n, c = r.randint(3, 40), r.randint(105, 995)
    return {"n": n, "c": f"{c / 100:.2f}"}, math.ceil(n * c / 50) * 0.5, f"ceil({n} * {c / 100:.2f} / 0.5) * 0.5"


def _bill(r: random.Random) -> Drawn:
    n = r.randint(2, 90)
    return {"n": n}, n * 78 * 1.15, f"{n} * 78 * 1.15"


def _travel(r: random.Random) -> Drawn:
    n = r.randint(110, 900)
    return {"n": n}, 100 * 0.38 + (n - 100) * 0.22, f"100 * 0.38 + ({n} - 100) * 0.22"


def _days(r: random.Random) -> Drawn:
    n = r.randint(3, 120)
    return {"n": n}, n * 7.6, f"{n} * 7.6"


def _margin(r: random.Random) -> Drawn:
    c = r.randint(20, 400)
    p = c + r.randint(5, c)
    return {"c": c, "p": p}, (p - c) / c * 100, f"({p} - {c}) / {c} * 100"


def _write_off(r: random.Random) -> Drawn:
    n = r.randint(12, 400) * 500
    return {"n": n}, n * 0.9 / 8, f"{n} * 0.9 / 8"


def _late(r: random.Random) -> Drawn:
    a, d = r.randint(8, 90) * 50, r.randint(3, 60)
    return {"a": a, "d": d}, a * 0.015 * math.ceil(d / 7), f"{a} * 0.015 * ceil({d} / 7)"


def _deposit(r: random.Random) -> Drawn:
    n = r.randint(150, 9800)
    return {"n": n}, math.floor(n * 0.3 / 10 + 0.5) * 10, f"floor({n} * 0.3 / 10 + 0.5) * 10"


def _stamps(r: random.Random) -> Drawn:
    n = r.randint(4, 900)
    return {"n": n}, math.floor(n / 12) * 5, f"floor({n} / 12) * 5"


def _pallets(r: random.Random) -> Drawn:
    n = r.randint(2, 90)
    return {"n": n}, n * 48 * 15, f"{n} * 48 * 15"


FAMILIES: Final = (
    Family(
        "miles",
        False,
        ("How many kilometres are {n} miles?", "Convert {n} miles to kilometres."),
        _miles,
        tolerance=0.005,
    ),
    Family(
        "fahrenheit",
        False,
        ("What is {n} degrees Fahrenheit in degrees Celsius?", "Convert {n} °F to °C."),
        _fahrenheit,
        tolerance=0.005,
    ),
    Family("pounds", False, ("How many kilograms are {n} pounds?", "Convert {n} lb to kg."), _pounds, tolerance=0.005),
    Family(
        "gallons",
        False,
        ("How many litres are {n} US gallons?", "Convert {n} US gallons to litres."),
        _gallons,
        tolerance=0.005,
    ),
    Family(
        "knots",
        False,
        ("How many kilometres per hour are {n} knots?", "A ship makes {n} knots. What is that in km/h?"),
        _knots,
        tolerance=0.005,
    ),
    Family(
        "simple interest",
        False,
        (
            "How much simple interest do {p} euros earn in {y} years at {i} percent a year?",
            "{p} euros are lent for {y} years at {i} percent simple interest a year. What is the interest?",
        ),
        _simple,
    ),
    Family(
        "compound interest",
        False,
        (
            "What do {p} euros grow to in {y} years at {i} percent compound interest a year?",
            "{p} euros earn {i} percent a year, compounded yearly. What is there after {y} years?",
        ),
        _compound,
    ),
    Family(
        "net of tax",
        False,
        (
            "A price of {g} euros includes {v} percent value added tax. What is the price without the tax?",
            "What is the net amount of {g} euros gross at {v} percent value added tax?",
        ),
        _net,
    ),
    Family(
        "kegs",
        True,
        ("How many litres are {n} of our keg units?", "We sold {n} keg units. How many litres is that?"),
        _kegs,
    ),
    Family(
        "crowns",
        True,
        (
            "What are {n} crowns in euros by our exchange table?",
            "Convert {n} crowns to euros with the rate of our exchange table.",
        ),
        _crowns,
    ),
    Family(
        "quoted price",
        True,
        (
            "What price do we quote for {n} metres of rope at {c} euros a metre?",
            "A customer wants {n} metres of rope at {c} euros a metre. What price do we quote?",
        ),
        _quoted,
    ),
    Family(
        "workshop bill",
        True,
        ("What do we bill for {n} hours in the workshop?", "The workshop worked {n} hours. How many euros do we bill?"),
        _bill,
    ),
    Family(
        "travel allowance",
        True,
        ("What travel allowance do we pay for {n} km?", "Somebody drove {n} km for us. What is the travel allowance?"),
        _travel,
    ),
    Family(
        "working days",
        True,
        (
            "How many hours are {n} working days at our firm?",
            "A job takes {n} of our working days. How many hours is that?",
        ),
        _days,
    ),
    Family(
        "margin",
        True,
        (
            "What is our margin in percent on an article that costs us {c} euros and sells for {p} euros?",
            "We buy at {c} euros and sell at {p} euros. What is our margin in percent?",
        ),
        _margin,
    ),
    Family(
        "write-off",
        True,
        (
            "What do we write off each year for a machine of {n} euros?",
            "We bought a machine for {n} euros. What is the yearly write-off in our books?",
        ),
        _write_off,
    ),
    Family(
        "late fee",
        True,
        (
            "What late fee do we charge on an invoice of {a} euros that is {d} days late?",
            "An invoice of {a} euros is {d} days late. What is our late fee?",
        ),
        _late,
    ),
    Family(
        "deposit",
        True,
        ("What deposit do we ask for an order of {n} euros?", "An order comes to {n} euros. What deposit do we ask?"),
        _deposit,
    ),
    Family(
        "loyalty stamps",
        True,
        (
            "How many loyalty stamps does a customer get for {n} euros at our shop?",
            "A customer spends {n} euros in our shop. How many loyalty stamps is that?",
        ),
        _stamps,
    ),
    Family(
        "pallets",
        True,
        ("How many bottles are {n} of our pallets?", "We ship {n} pallets. How many bottles is that?"),
        _pallets,
    ),
)


def items() -> tuple[Item, ...]:
    """All of them, family by family, the train half first. Raises ValueError if they are not those that were frozen."""
    made = tuple(item for family in FAMILIES for item in _of(family))
    if (found := digest(made)) != DIGEST:
        raise ValueError(f"the items have changed: their digest is {found}")
    return made


def digest(made: Sequence[Item]) -> str:
    """Sha2-256 of the items, in hex."""
    return hashlib.sha256(json.dumps([astuple(item) for item in made]).encode()).hexdigest()


def _of(family: Family) -> Iterator[Item]:
    """The items of one family, all with different numbers."""
    chance = random.Random(f"{SEED} {family.name}")
    seen: set[str] = set()
    while len(seen) < 2 * PER_HALF:
        values, right, working = family.draw(chance)
        if working in seen:
            continue
        number = len(seen)
        seen.add(working)
        goal = family.templates[number % len(family.templates)].format(**values)
        half: Half = "train" if number < PER_HALF else "held-out"
        correction = f"It is {right:.10g}: {working}."
        yield Item(family.name, family.house, half, goal, right, family.tolerance, correction)
