"""Pairs of twins as processes, whose owners named each other: connected over libp2p, or with nothing but HTTP."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from node.cli.demo_swarm import Member, wait_until

UP = (sys.executable, "-m", "node.cli", "up", "--model", "none", "--no-mdns", "--unsealed", "--api", "127.0.0.1:0")

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
"""The environment of twins that share the cores with many others."""

HTTP_ONLY = """[network]
listen = []
allow_private_addresses = true
"""


@contextmanager
def over_libp2p(folder: Path) -> Iterator[tuple[Member, Member]]:
    """Two that are connected over libp2p."""
    up = [*UP, "--listen", "/ip4/127.0.0.1/tcp/0"]
    with ExitStack() as stack:
        b = _started(stack, folder / "libp2p-b", up)
        a = _started(stack, folder / "libp2p-a", [*up, "--bootstrap", b.first_line["listen"][0]])
        for one, other in ((a, b), (b, a)):
            trust = one.client().get("trust")
            one.client().put("trust", body={**trust, "allow": [other.did]})
            wait_until("the twins are connected", partial(_connected, one))
        yield a, b


@contextmanager
def over_http(folder: Path) -> Iterator[tuple[Member, Member]]:
    """Two that listen for HTTP alone; A accepted an invitation of B's."""
    up = [*UP, "--public", "127.0.0.1:0"]
    with ExitStack() as stack:
        a, b = (_started(stack, folder / name, up, config=HTTP_ONLY) for name in ("http-a", "http-b"))
        invitation = b.client().post("didcomm", "invitation", body={})
        a.client().post("didcomm", "accept", body={"url": invitation["url"]})
        wait_until("the invitation is answered", partial(_named, b))
        assert not _connected(a)
        yield a, b


def _started(stack: ExitStack, home: Path, command: Sequence[str], *, config: str = "") -> Member:
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text(config)
    twin = Member(home.name, command, home)
    stack.callback(twin.stop)
    twin.start()
    return twin


def _connected(twin: Member) -> list[Any] | None:
    """Who is connected to the twin; None if nobody is."""
    return twin.client().get("swarm", "peers")["items"] or None


def _named(twin: Member) -> list[Any] | None:
    """Whom the twin's owner named; None if nobody."""
    return twin.client().get("trust")["allow"] or None
