"""`pagi up`: run the twin of one home in the foreground until a signal stops it."""

import argparse
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from identity import keystore
from node.api.app import make_app, serve
from node.cli import output, passphrase
from node.cli.model import model_path, starting_model
from node.cli.newhome import make_home
from node.composition import open_twin
from node.config import load_config
from node.http.door import TwinDoor, serve_public
from node.http.listening import host_and_port
from node.process import log_to_stderr, run_until_stopped, seconds_since_start
from node.twin import Twin
from storage.files import atomic_write
from storage.home import Home


def run(args: argparse.Namespace) -> int:
    """Run until stopped; the exit status. Raises PagiError with what keeps the twin from running."""
    home = Home(args.home)
    given: str | None = None
    if not home.exists:
        given = passphrase.for_new_home(args.passphrase_file, unsealed=args.unsealed, must_say_unsealed=False)
        make_home(home.path, name=args.name, passphrase=given)
    home.create()
    with home.lock():
        # One that was killed left its address; nobody should bring our token to whoever has that port now.
        home.api_file.unlink(missing_ok=True)
        config = load_config(home.config_toml, _overrides(args))
        host, port = host_and_port(config.api.listen, "api.listen, or --api")
        log_to_stderr(config.log_level)
        ask = passphrase.for_existing_home(args.passphrase_file)
        held = keystore.load(home.identity_json, lambda: given or ask())
        model = model_path(args.model) if args.model else starting_model(home.models, config.inference.model)

        async def main(wait_stopped: Callable[[], Awaitable[None]]) -> None:
            async with open_twin(
                home, config, held.keys, model=model, retired=held.retired, rotations=held.rotations
            ) as twin:
                app = make_app(twin, _token(home), hosts=[host], metrics_public=config.api.metrics_public)
                door = TwinDoor(twin.messaging.intake, twin.own)
                async with (
                    serve_public(config.public, door, twin.messaging.introductions, extra=twin.public_routes) as public,
                    serve(app, host, port) as address,
                ):
                    await _tell_where(twin, address, public, wait_stopped, as_json=args.json)

        run_until_stopped(main)
    return 0


async def _tell_where(
    twin: Twin, address: str, public: str | None, wait_stopped: Callable[[], Awaitable[None]], *, as_json: bool
) -> None:
    """Say where the owner can reach the twin, in the `api` file for as long as it can be reached there."""
    atomic_write(twin.home.api_file, f"{address}\n".encode(), 0o600)
    try:
        _say_ready(twin, address, public, as_json=as_json)
        await wait_stopped()
    finally:
        twin.home.api_file.unlink(missing_ok=True)


def _say_ready(twin: Twin, address: str, public: str | None, *, as_json: bool) -> None:
    ready: dict[str, Any] = {
        "did": twin.did,
        "peer_id": twin.peer_id,
        "api": address,
        "listen": list(twin.network.addresses()),
        "pid": os.getpid(),
        "ready_s": seconds_since_start(),
    }
    if public is not None:
        ready["public"] = public
    if as_json:
        output.print_json(ready)
    else:
        output.say(f"{twin.name} is up after {ready['ready_s']:.1f} s.")
        output.say(f"  DID     {twin.did}")
        output.say(f"  API     {address}")
        if public is not None:
            output.say(f"  public  {public}" + (f", as {twin.own.web}" if twin.own.web else ""))
        output.say(f"  model   {_model_of(twin)}")
        for listen in ready["listen"]:
            output.say(f"  listen  {listen}")
        output.say("Ask it something with `pagi ask`; stop it with Ctrl-C.")
    sys.stdout.flush()


def _model_of(twin: Twin) -> str:
    if twin.gateway.loading:
        return "loading"
    return twin.gateway.name if twin.gateway.reason is None else f"DEGRADED: {twin.gateway.reason}"


def _overrides(args: argparse.Namespace) -> dict[str, Any]:
    network: dict[str, Any] = {}
    if args.listen:
        network["listen"] = tuple(args.listen)
    if args.bootstrap:
        network["bootstrap"] = tuple(args.bootstrap)
    if args.no_mdns:
        network["mdns"] = False
    api = {"listen": args.api} if args.api else {}
    public = {name: value for name, value in (("listen", args.public), ("url", args.public_url)) if value}
    inference = {"model": args.model} if args.model else {}
    name = {"name": args.name} if args.name else {}
    return {"network": network, "api": api, "public": public, "inference": inference, **name}


def _token(home: Home) -> str:
    if not home.api_token.exists():
        atomic_write(home.api_token, f"{secrets.token_urlsafe(32)}\n".encode(), 0o600)
    return home.api_token.read_text(encoding="ascii").strip()
