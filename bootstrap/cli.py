"""`pagi-relay`: run a relay in the foreground until a signal stops it."""

import argparse
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from bootstrap.relay import DEFAULT_MAIL_BYTES, DEFAULT_PIN_BYTES, Mediation, Relay, open_relay
from identity import keystore
from identity.errors import PagiError
from identity.keys import SEED_BYTES
from node.cli import output
from node.cli.command import user_data
from node.errors import ConfigInvalid
from node.process import log_to_stderr, run_until_stopped, seconds_since_start
from storage.home import Home

DEFAULT_LISTEN = "/ip4/0.0.0.0/tcp/4800"

OPEN_FILES = 8192
"""A connection is an open file: those of libp2p and of the public listener, some times over."""

LEAST_MAIL_BYTES = 1024**2
"""With less a relay would refuse most of what it is there to keep."""


LEAST_PIN_BYTES: Final = 16 * 1024**2
"""With less each client's share is not worth its question."""


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
    mediation = _mediation(args)
    _allow_many_files()
    home = Home(_home_path(args.home))
    home.create()
    with home.lock():
        if not home.exists:
            # A relay runs unattended and its key opens no messages: it only gives the relay its address.
            keystore.create(home.identity_json, os.urandom(SEED_BYTES), None)
        keys = keystore.load(home.identity_json, lambda: None).keys

        async def main(wait_stopped: Callable[[], Awaitable[None]]) -> None:
            listen = args.listen or (DEFAULT_LISTEN,)
            async with open_relay(home, keys, listen=listen, mediation=mediation) as relay:
                _say_ready(relay, as_json=args.json)
                await wait_stopped()

        run_until_stopped(main)


def _say_ready(relay: Relay, *, as_json: bool) -> None:
    ready: dict[str, Any] = {
        "did": relay.did,
        "peer_id": relay.network.peer_id,
        "api": None,
        "listen": list(relay.network.addresses()),
        "public": relay.public,
        "mediator": relay.routing_did,
        "pid": os.getpid(),
        "ready_s": seconds_since_start(),
    }
    if as_json:
        sys.stdout.write(json.dumps(ready) + "\n")
    else:
        sys.stdout.write(f"The relay is up after {ready['ready_s']:.1f} s. Give twins one of these:\n")
        sys.stdout.writelines(f"  --bootstrap {address}\n" for address in ready["listen"])
        if relay.mediator is not None:
            over = f" and {relay.public}/didcomm" if relay.public else ""
            sys.stdout.write(f"It keeps their messages while they are away, over libp2p{over}.\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pagi-relay", description="A relay at which twins find each other.")
    parser.add_argument("--home", metavar="DIR", help="the relay's home")
    parser.add_argument("--listen", action="append", metavar="MULTIADDR", help=f"where to listen ({DEFAULT_LISTEN})")
    parser.add_argument("--public", metavar="HOST:PORT", help="take messages over HTTP and WebSocket here, too")
    parser.add_argument("--public-url", metavar="URL", help="how --public is reached from outside, such as https://…")
    parser.add_argument(
        "--mail-bytes", type=int, default=DEFAULT_MAIL_BYTES, metavar="N", help="mail kept for all (%(default)s)"
    )
    parser.add_argument(
        "--pin-bytes",
        type=int,
        metavar="N",
        help=f"content kept for all of its clients, 0 for none ({DEFAULT_PIN_BYTES})",
    )
    parser.add_argument("--no-mediator", action="store_true", help="keep no messages for others")
    parser.add_argument("--json", action="store_true", help="print the first line as JSON")
    return parser


def _mediation(args: argparse.Namespace) -> Mediation | None:
    """What the options say. Raises ConfigInvalid."""
    if args.no_mediator:
        if args.public or args.public_url:
            raise ConfigInvalid("--no-mediator: there is nothing for --public to take")
        if args.pin_bytes:
            raise ConfigInvalid("--no-mediator: content is kept for clients alone, and there are none")
        return None
    if args.public_url and not args.public:
        raise ConfigInvalid("--public-url: says where --public is reached, and that is missing")
    if args.public_url and not args.public_url.startswith(("http://", "https://")):
        raise ConfigInvalid(f"--public-url: not an http or https URL: {args.public_url!r}")
    if args.mail_bytes < LEAST_MAIL_BYTES:
        raise ConfigInvalid(f"--mail-bytes: at least {LEAST_MAIL_BYTES}")
    public = None
    if args.public:
        from node.http.listening import host_and_port  # aiohttp is 25 MB that a relay without it can do without

        public = host_and_port(args.public, "--public")
    pin_bytes = DEFAULT_PIN_BYTES if args.pin_bytes is None else args.pin_bytes
    if pin_bytes != 0 and pin_bytes < LEAST_PIN_BYTES:
        raise ConfigInvalid(f"--pin-bytes: 0, or at least {LEAST_PIN_BYTES}")
    return Mediation(public=public, url=args.public_url, mail_bytes=args.mail_bytes, pin_bytes=pin_bytes)


def _allow_many_files() -> None:
    """A connection is an open file, and the usual soft limit is half of what a relay admits."""
    import resource  # not there on every platform, nor is the limit

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _home_path(given: str | None) -> Path:
    return Path(given).expanduser().absolute() if given else user_data() / "pagi-relay"
