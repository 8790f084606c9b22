"""Names where DIDs stand, for the twins that the owner named.

A name is what a twin calls itself, so a stranger's counts for nothing, and of several twins with one name none is
meant.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from node.cli.client import Client
from node.cli.command import MAX_LIMIT, Call
from node.cli.errors import NameUnknown
from node.cli.output import remark

ME: Final = "me"
"""This twin itself, wherever a DID can stand."""


def did_of(call: Call, given: str) -> str:
    """What `given` stands for: a DID for itself, a name for the one twin of it. Raises NameUnknown."""
    if given == ME or given.startswith("did:"):
        return given
    found = [did for did, name in _named(call.client()) if name.casefold() == given.casefold()]
    if not found:
        raise NameUnknown(f"{given!r} is neither a DID nor the name of a twin that you named")
    if len(found) > 1:
        raise NameUnknown(f"{len(found)} twins that you named call themselves {given!r}: write the DID")
    remark(f"{given} is {found[0]}")
    return found[0]


def labels(call: Call) -> Callable[[str | None], str]:
    """How to show a DID: `me`, the name of a twin that `did_of` would find, else the whole DID."""
    client = call.client()
    named = _named(client)
    times: dict[str, int] = {}
    for _, name in named:
        times[name.casefold()] = times.get(name.casefold(), 0) + 1
    shown = {did: name for did, name in named if times[name.casefold()] == 1}
    identity = client.get("id")
    shown |= dict.fromkeys((identity["did"], *identity["formerly"]), ME)
    return lambda did: shown.get(did, did) if did else ""


def _named(client: Client) -> list[tuple[str, str]]:
    """DID and name of the twins that the owner named and that have a name which cannot be taken for a DID."""
    trust = client.get("trust")
    named = set(trust["allow"]) - set(trust["block"])
    return [
        (twin["did"], twin["name"])
        for twin in _twins(client)
        if twin["did"] in named and twin["name"] and twin["name"] != ME and not twin["name"].startswith("did:")
    ]


def _twins(client: Client) -> Iterator[dict[str, Any]]:
    after = None
    while True:
        page = client.get("twins", query={"limit": MAX_LIMIT, "after": after})
        yield from page["items"]
        after = page["next"]
        if after is None:
            return
