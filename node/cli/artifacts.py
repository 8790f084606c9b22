"""Commands of signed artifacts: sign JSON as this twin, check what others signed."""

import json
from typing import Any

from node.cli.command import Call, Commands
from node.cli.errors import BadInput
from node.cli.inputs import read_text
from node.cli.output import say


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    parser = commands.add("sign", "sign JSON with the twin's key", sign)
    parser.add_argument("file", metavar="FILE", help="a file of JSON; '-' reads stdin")
    parser = commands.add("verify", "check a signed artifact", verify)
    parser.add_argument("file", metavar="FILE", help="a file as `pagi sign` prints it; '-' reads stdin")


def sign(call: Call) -> None:
    signed = call.client().post("artifacts", "sign", body={"artifact": _json_of(call)})
    call.show(signed, lambda: say(json.dumps(signed, ensure_ascii=False, indent=2)))


def verify(call: Call) -> int:
    """Exit status 0 only if the signature is good."""
    signed = _json_of(call)
    if not isinstance(signed, dict) or not {"did", "signature", "artifact"} <= signed.keys():
        raise BadInput(f"{call.args.file}: not a signed artifact: it needs did, signature and artifact")
    wanted = {member: signed[member] for member in ("did", "signature", "artifact")}
    answer = call.client().post("artifacts", "verify", body=wanted)
    verdict = (
        f"Good: signed by {signed['did']}." if answer["valid"] else "NOT valid: changed, or signed by another key."
    )
    call.show(answer, lambda: say(verdict))
    return 0 if answer["valid"] else 1


def _json_of(call: Call) -> Any:
    try:
        return json.loads(read_text(call.args.file))
    except ValueError as error:
        raise BadInput(f"{call.args.file}: not JSON: {error}") from error
