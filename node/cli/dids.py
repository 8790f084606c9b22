"""Commands of DIDs: what stands behind one."""

import json

from node.cli.command import Call, Commands
from node.cli.names import did_of
from node.cli.output import say


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    parser = commands.add("resolve", "show the DID document of a did:key, did:peer or did:web", resolve)
    parser.add_argument(
        "did", metavar="DID|NAME", help="the DID, or the name of a twin that you named; 'me' is this twin"
    )


def resolve(call: Call) -> None:
    document = call.client().get("dids", did_of(call, call.args.did))
    call.show(document, lambda: say(json.dumps(document, ensure_ascii=False, indent=2)))
