"""`pagi-relay`: run a relay in the foreground until a signal stops it."""

import argparse
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from bootstrap.relay import Relay, open_relay
from identity import keystore
from identity.errors import PagiError
from identity.keys import SEED_BYTES
from node.cli import output
from node.cli.command import user_data
from node.process import log_to_stderr, run_until_stopped, seconds_since_start
from storage.home import Home

DEFAULT_LISTEN = "/ip4/0.0.0.0/tcp/4800"


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry point: its exit status."""
    args = _parser().parse_args(argv)
    log_to_stderr("INFO")
    try:
        _run(args)
    except PagiError as error:
        output.fail(error, as_json=args.json)
        return 1
    return 0


def _run(args: argparse.Namespace) -> None:
    home = Home(_home_path(args.home))
    home.create()
    with home.lock():
        if not home.exists:
            # A relay runs unattended and its key opens no messages: it only gives the relay its address.
            keystore.create(home.identity_json, os.urandom(SEED_BYTES), None)
        keys = keystore.load(home.identity_json, lambda: None).keys

        async def main(wait_stopped: Callable[[], Awaitable[None]]) -> None:
            async with open_relay(home, keys, listen=args.listen or (DEFAULT_LISTEN,)) as relay:
                _say_ready(relay, as_json=args.json)
                await wait_stopped()

        run_until_stopped(main)


def _say_ready(relay: Relay, *, as_json: bool) -> None:
    ready: dict[str, Any] = {
        "did": relay.did,
        "peer_id": relay.network.peer_id,
        "api": None,
        "listen": list(relay.network.addresses()),
        "pid": os.getpid(),
        "ready_s": seconds_since_start(),
    }
    if as_json:
        sys.stdout.write(json.dumps(ready) + "\n")
    else:
        sys.stdout.write(f"The relay is up after {ready['ready_s']:.1f} s. Give twins one of these:\n")
        sys.stdout.writelines(f"  --bootstrap {address}\n" for address in ready["listen"])
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pagi-relay", description="A relay at which twins find each other.")
    parser.add_argument("--home", metavar="DIR", help="the relay's home")
    parser.add_argument("--listen", action="append", metavar="MULTIADDR", help=f"where to listen ({DEFAULT_LISTEN})")
    parser.add_argument("--json", action="store_true", help="print the first line as JSON")
    return parser


def _home_path(given: str | None) -> Path:
    return Path(given).expanduser().absolute() if given else user_data() / "pagi-relay"
