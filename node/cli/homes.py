"""Commands about a twin as a whole: init, up, demo, version."""

import argparse
from pathlib import Path
from typing import Final

from node.cli.command import Call, Commands, bounded
from node.cli.output import say

DEMO_FACTS: Final = Path(__file__).with_name("demo_facts.txt")
DEMO_QUESTION: Final = "How many tonnes of flour does the Sallow Creek tide mill grind in a week of spring tides?"


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    init_parser = commands.add("init", "make a home with a new key", init)
    _add_new_home(init_parser)
    _register_up(commands)
    demo_parser = commands.add("demo", "a relay and several twins on this machine, end to end", demo)
    demo_parser.add_argument("--twins", type=bounded(3, 32), default=3, metavar="N", help="how many twins (3)")
    demo_parser.add_argument(
        "--facts", metavar="FILE", default=str(DEMO_FACTS), help="a text whose paragraphs one of the twins is told"
    )
    demo_parser.add_argument(
        "--question", metavar="TEXT", default=DEMO_QUESTION, help="what another twin is asked about these facts"
    )
    demo_parser.add_argument(
        "--model", metavar="PATH|bundled|none", default="bundled", help="the model that the twins use (bundled)"
    )
    commands.add("version", "print the version", version)


def _register_up(commands: Commands) -> None:
    parser = commands.add("up", "run the twin in the foreground, making its home if there is none", up)
    _add_new_home(parser)
    parser.add_argument("--listen", action="append", metavar="MULTIADDR", help="where other twins can reach it")
    parser.add_argument("--api", metavar="HOST:PORT", help="where its owner can reach it (127.0.0.1:8888)")
    parser.add_argument("--public", metavar="HOST:PORT", help="take messages from anybody over HTTP there")
    parser.add_argument("--public-url", metavar="URL", help="what the world calls that place: gives a did:web")
    parser.add_argument("--bootstrap", action="append", metavar="MULTIADDR", help="a relay to begin with")
    parser.add_argument("--no-mdns", action="store_true", help="do not look for twins on the local network")
    parser.add_argument("--model", metavar="PATH|bundled|none", help="a GGUF file, the bundled model, or none")


def _add_new_home(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", metavar="N", help="what other twins see (twin)")
    parser.add_argument("--passphrase-file", metavar="F", help="its first line seals or opens the key")
    parser.add_argument("--unsealed", action="store_true", help="make the new key without a passphrase")


def init(call: Call) -> None:
    from node.cli import passphrase
    from node.cli.newhome import make_home, refuse_existing

    args = call.args
    refuse_existing(call.home)
    secret = passphrase.for_new_home(args.passphrase_file, unsealed=args.unsealed, must_say_unsealed=True)
    made = make_home(call.home, name=args.name, passphrase=secret)

    def human() -> None:
        say(f"DID      {made.did}")
        say(f"peer ID  {made.peer_id}")
        say(f"home     {made.home}")
        say("Start it with `pagi up`.")

    call.show({"did": made.did, "peer_id": made.peer_id, "home": str(made.home)}, human)


def up(call: Call) -> int:
    from node.cli.up import run

    return run(call.args)


def demo(call: Call) -> int:
    from node.cli.demo import run

    return run(call.args)


def version(call: Call) -> None:
    from importlib.metadata import version as installed

    number = installed("pagi-twin")
    call.show({"version": number}, lambda: say(f"pagi-twin {number}"))
