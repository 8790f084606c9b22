"""Names where DIDs stand, for the twins that the owner named.

A name is what a twin calls itself, so a stranger's counts for nothing. Of several twins with one name each is shown,
and meant, by the name with the end of its DID: `ben~g57Gz`.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from node.cli.client import Client
from node.cli.command import MAX_LIMIT, Call
from node.cli.errors import NameUnknown
from node.cli.output import remark

ME: Final = "me"
_END_CHARS: Final = 5
"""Of a DID, behind the name that it shares with others: enough among the few that one owner has named."""

"""This twin itself, wherever a DID can stand."""


def did_of(call: Call, given: str) -> str:
    """What `given` stands for: a DID for itself, a name for the one twin of it. Raises NameUnknown."""
    if given == ME or given.startswith("did:"):
        return given
    named = _named(call.client())
    found = [did for did, name in named if name.casefold() == given.casefold()]
    if not found:
        name, _, end = given.rpartition("~")
        found = [did for did, other in named if end and other.casefold() == name.casefold() and did.endswith(end)]
    if not found:
        raise NameUnknown(f"{given!r} is neither a DID nor the name of a twin that you named")
    if len(found) > 1:
        which = " or ".join(_with_end(did, given.partition("~")[0]) for did in found)
        raise NameUnknown(f"{len(found)} twins that you named call themselves so: write {which}, or the DID")
    remark(f"{given} is {found[0]}")
    return found[0]


def labels(call: Call) -> Callable[[str | None], str]:
    """How to show a DID: `me`, what `did_of` takes for a twin that was named, else the whole DID."""
    client = call.client()
    named = _named(client)
    times: dict[str, int] = {}
    for _, name in named:
        times[name.casefold()] = times.get(name.casefold(), 0) + 1
    shown = {did: name if times[name.casefold()] == 1 else _with_end(did, name) for did, name in named}
    identity = client.get("id")
    shown |= dict.fromkeys((identity["did"], *identity["formerly"]), ME)
    return lambda did: shown.get(did, did) if did else ""


def _with_end(did: str, name: str) -> str:
    return f"{name}~{did[-_END_CHARS:]}"


def _named(client: Client) -> list[tuple[str, str]]:
    """DID and name of the twins that the owner named and that have a name which can be taken for nothing else."""
    trust = client.get("trust")
    named = set(trust["allow"]) - set(trust["block"])
    return [
        (twin["did"], twin["name"])
        for twin in _twins(client)
        if twin["did"] in named and twin["name"] not in ("", ME) and not re.match("did:|.*~", twin["name"], re.DOTALL)
    ]


def _twins(client: Client) -> Iterator[dict[str, Any]]:
    after = None
    while True:
        page = client.get("twins", query={"limit": MAX_LIMIT, "after": after})
        yield from page["items"]
        after = page["next"]
        if after is None:
            return
