"""The examples that a model is shown before it chooses a tool and fills in its arguments.

Their tools are made up and stand in no toolbox, and their goals in no test: they show what choosing is, not the
answers. They come first in the prompt and never change, so that a model reads them once.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Offered:
    """A tool as a choice shows it."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Example:
    """A goal, the results so far as lines, the tools that are offered, and the right one: a name, or `none`.

    Where a tool is right, a line for each of its parameters, and the right arguments as JSON text.
    """

    goal: str
    results: tuple[str, ...]
    tools: tuple[Offered, ...]
    right: str
    parameters: tuple[str, ...] = ()
    arguments: str | None = None


_BUSES: Final = Offered("bus_times", "Tells when the next buses leave a stop.")
_RECIPES: Final = Offered("find_recipe", "Searches the cookbook for a dish.")
_LAMP: Final = Offered("switch_lamp", "Switches a lamp on or off.")
_TAX: Final = Offered("tax_of_price", "Works out the tax that a price contains.")
_PRINT: Final = Offered("print_text", "Prints a text on the printer.")
_STOCK: Final = Offered("stock_level", "Tells how many of an article are in the storeroom.")
_PHONE: Final = Offered("find_phone_number", "Looks up a person's phone number.")
_SHADE: Final = Offered("mix_paint", "Tells which paints give a shade.")
_TAXI: Final = Offered("call_taxi", "Orders a taxi to an address.")

EXAMPLES: Final = (
    Example(
        "When do the next two buses go from Mill Lane?",
        (),
        (_BUSES, _TAXI, _RECIPES),
        "bus_times",
        ("stop (text, needed): the stop's name", "count (whole number): how many buses"),
        '{"stop": "Mill Lane", "count": 2}',
    ),
    Example("What makes a good soup?", (), (_RECIPES, _STOCK, _SHADE), "none"),
    Example(
        "How many boxes of nails are left?",
        (),
        (_TAX, _STOCK, _PRINT),
        "stock_level",
        ("article (text, needed): what is stored", "shelf (text): only on this shelf"),
        '{"article": "nails"}',
    ),
    Example(
        "How many boxes of nails are left?",
        ('stock_level {"article": "nails"} gave {"boxes": 14}',),
        (_TAX, _STOCK, _PRINT),
        "none",
    ),
    Example(
        "It is too dark in the hall.",
        (),
        (_SHADE, _BUSES, _LAMP),
        "switch_lamp",
        ("room (text, needed): where the lamp is", 'state (one of "on", "off", needed)'),
        '{"room": "hall", "state": "on"}',
    ),
    Example(
        "Find the recipe for rye bread and print it.",
        (),
        (_PRINT, _RECIPES, _STOCK),
        "find_recipe",
        ("dish (text, needed): what is cooked",),
        '{"dish": "rye bread"}',
    ),
    Example(
        "Find the recipe for rye bread and print it.",
        ('find_recipe {"dish": "rye bread"} gave "Rye, water, salt; bake for an hour."',),
        (_PRINT, _RECIPES, _STOCK),
        "print_text",
        ("text (text, needed): what is printed", "copies (whole number): how many"),
        '{"text": "Rye, water, salt; bake for an hour."}',
    ),
    Example(
        "Find the recipe for rye bread and print it.",
        (
            'find_recipe {"dish": "rye bread"} gave "Rye, water, salt; bake for an hour."',
            'print_text {"text": "Rye, water, salt; bake for an hour."} gave {"pages": 1}',
        ),
        (_PRINT, _RECIPES, _STOCK),
        "none",
    ),
    Example("Hello, nice to see you again!", (), (_PHONE, _LAMP, _TAXI), "none"),
    Example(
        "A lamp costs 119 and a chair 60, both with tax. How much of that goes to the state?",
        (),
        (_LAMP, _TAX, _STOCK),
        "tax_of_price",
        ("price (number, needed): the whole price with tax", "percent (number): the rate of the tax"),
        '{"price": 179}',
    ),
    Example("Paint me a picture of a storm.", (), (_SHADE, _PRINT, _LAMP), "none"),
)
