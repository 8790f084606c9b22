"""Commands of providers: models that others serve, and the order in which they are asked."""

import argparse
import getpass
import math
import sys
from typing import Any, Final

from node.cli.command import Call, Commands
from node.cli.errors import EXIT_FAILED, BadInput
from node.cli.inputs import read_text
from node.cli.output import remark, say
from node.inference.providers.errors import ProviderUnknown

_URLS: Final = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}
_SETTINGS: Final = (
    *("kind", "base_url", "model", "sees_private"),
    *("capable", "context_tokens", "price_in", "price_out"),
)


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    group = commands.group("provider", "models that others serve, asked before the local one", usual="list")
    group.add("list", "list the providers in the order in which they are asked", list_providers)
    add_parser = group.add("add", "name a provider; without --key-file its key is asked for", add)
    add_parser.add_argument("name", metavar="NAME", help="what you call it: small letters, digits and dashes")
    _add_settings(add_parser, adding=True)
    change_parser = group.add("change", "change what is given; the rest stays, its key too", change)
    change_parser.add_argument("name", metavar="NAME")
    _add_settings(change_parser, adding=False)
    group.add("remove", "forget a provider and its key", remove).add_argument("name", metavar="NAME")
    order_parser = group.add("order", "ask them in this order; the local model is always the last", order)
    order_parser.add_argument("name", metavar="NAME", nargs="+")
    group.add("test", "ask a provider, or `local`, for one word", test).add_argument("name", metavar="NAME")


def list_providers(call: Call) -> None:
    _show_list(call, call.client().get("providers"))


def add(call: Call) -> None:
    args, settings = call.args, _given(call.args)
    settings.setdefault("kind", "openai")
    settings.setdefault("base_url", _URLS[settings["kind"]])
    key = _key_of(args, ask=not args.no_key)
    provider = call.client().post("providers", body={"name": args.name, **settings, "key": key})
    call.show(provider, lambda: _say_added(provider))


def change(call: Call) -> None:
    client, args = call.client(), call.args
    remotes = {one["name"]: one for one in client.get("providers")["items"] if one["base_url"] is not None}
    if args.name not in remotes:
        raise ProviderUnknown(f"there is no provider {args.name!r}")
    settings = {**{name: remotes[args.name][name] for name in _SETTINGS}, **_given(args)}
    provider = client.put("providers", args.name, body={**settings, "key": _key_of(args, ask=False)})
    call.show(provider, lambda: say(f"{provider['name']} is changed: try it with `pagi provider test`."))


def remove(call: Call) -> None:
    gone = call.client().delete("providers", call.args.name)
    call.show(gone, lambda: say(f"{gone['name']} and its key are forgotten."))


def order(call: Call) -> None:
    _show_list(call, call.client().put("providers", body={"order": call.args.name}))


def test(call: Call) -> int:
    """Exit status 1 if it does not answer."""
    tested = call.client().post("providers", call.args.name, "test")

    def human() -> None:
        if tested["ok"]:
            said = tested["answer"].strip() or "nothing"
            say(f"{tested['name']}: {tested['model']} answered in {tested['ms']:.0f} ms: {said}")
        else:
            say(f"{tested['name']} does not answer: {tested['reason']}")
            remark(f"  {tested['hint']}")

    call.show(tested, human)
    return 0 if tested["ok"] else EXIT_FAILED


def _add_settings(parser: argparse.ArgumentParser, *, adding: bool) -> None:
    parser.add_argument("--kind", choices=tuple(_URLS), help="the wire format; openai unless given" if adding else None)
    parser.add_argument("--url", metavar="URL", help="such as http://127.0.0.1:11434/v1; the kind's own unless given")
    parser.add_argument("--model", metavar="MODEL", required=adding, help="as the provider calls it")
    parser.add_argument("--key-file", metavar="FILE", help="has the API key; '-' reads it from stdin")
    if adding:
        parser.add_argument("--no-key", action="store_true", help="it needs none, and none is asked for")
    parser.add_argument("--sees", choices=("private", "nothing-private"), help="whether private memories may go there")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--capable", action="store_true", default=None, help="it chooses tools and plans, as most do")
    small = "it is too small to choose tools and to plan"
    size.add_argument("--not-capable", action="store_false", dest="capable", default=None, help=small)
    parser.add_argument("--context", type=int, metavar="TOKENS", help="prompt and answer together")
    parser.add_argument("--price-in", type=_price, metavar="PRICE", help="per million tokens of the prompt")
    parser.add_argument("--price-out", type=_price, metavar="PRICE", help="per million tokens of the answer")


def _price(text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0 <= price < math.inf:
        raise argparse.ArgumentTypeError("must be a number from 0 on")
    return price


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given."""
    given = {
        "kind": args.kind,
        "base_url": args.url,
        "model": args.model,
        "sees_private": None if args.sees is None else args.sees == "private",
        "capable": args.capable,
        "context_tokens": args.context,
        "price_in": args.price_in,
        "price_out": args.price_out,
    }
    return {name: value for name, value in given.items() if value is not None}


def _key_of(args: argparse.Namespace, *, ask: bool) -> str | None:
    """The key from its file, or from the person. It never stands in the command itself, where others could see it."""
    if args.key_file is not None:
        key = read_text(args.key_file).strip()
        if not key:
            raise BadInput(f"{args.key_file} has no key in it")
        return key
    if not ask or not sys.stdin.isatty():
        return None
    return getpass.getpass("API key (not shown; empty for none): ", stream=sys.stderr).strip() or None


def _say_added(provider: dict[str, Any]) -> None:
    key = "with its key" if provider["has_key"] else "without a key"
    say(f"{provider['name']} is added {key}: try it with `pagi provider test {provider['name']}`.")
    if not provider["sees_private"]:
        say("Private memories do not go there; `pagi provider change NAME --sees private` lets them.")


def _show_list(call: Call, document: dict[str, Any]) -> None:
    rows = [
        (
            one["name"],
            one["kind"],
            one["model"],
            "yes" if one["sees_private"] else "no",
            one["state"],
            one["base_url"],
            one["reason"],
        )
        for one in document["items"]
    ]
    columns = ("name", "kind", "model", "sees private", "state", "URL", "reason")
    call.show_list(document, columns, rows, empty="No model can be asked.")
