"""Commands of DIDs: what stands behind one."""

import json

from node.cli.command import Call, Commands
from node.cli.output import say


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    parser = commands.add("resolve", "show the DID document of a did:key, did:peer or did:web", resolve)
    parser.add_argument("did", metavar="DID", help="the DID; 'me' is this twin's own")


def resolve(call: Call) -> None:
    document = call.client().get("dids", call.args.did)
    call.show(document, lambda: say(json.dumps(document, ensure_ascii=False, indent=2)))
