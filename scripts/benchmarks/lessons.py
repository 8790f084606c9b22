"""Made-up lessons that differ from each other: sentences of words drawn by chance, the same in every run."""

import random
from typing import Any, Final

_TEXT: Final = """
anchor answer apple archive arrow autumn balance barrel basket beacon bench blanket border bottle branch bridge
bronze bucket button candle canvas carbon carpet castle cellar circle clever cobalt coffee column copper corner
cotton courage cradle crystal current curtain daylight desert dialect diamond dinner doctor dragon drawer eagle
early ember engine evening fabric falcon farmer feather fiddle figure filter finger flavour forest fossil
fountain frozen galaxy garden garlic gentle ginger glacier granite gravel hammer harbour harvest helmet hollow
honest horizon hunter island ivory jacket jungle kettle kitchen ladder lantern leather letter lively lumber
magnet marble market meadow mellow mirror morning mountain narrow needle nimble number orange orchard oxygen
paddle palace parcel pepper pillow planet pocket polite pottery puzzle quartz quiet rabbit record ribbon river
rocket saddle salmon scarlet shadow signal silver simple sketch spider spring stable summer sunset tablet tender
thunder ticket timber travel tunnel turtle urgent valley velvet violet voyage walnut weather window winter
wisdom yellow op add section text tags
"""

WORDS: Final = tuple(_TEXT.split())


def lesson(number: int) -> dict[str, Any]:
    """An operation that adds a bullet of ten words."""
    chance = random.Random(number)
    return {"op": "add", "section": f"section-{number % 8}", "text": " ".join(chance.sample(WORDS, 10)), "tags": []}
