"""Commands of tools: list them, call one."""

import json

from node.cli.command import Call, Commands, add_paging, paging
from node.cli.errors import BadInput
from node.cli.inputs import read_text
from node.cli.output import one_line, say


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    listing = commands.add("tools", "list the tools, or take away one that the twin built", list_tools)
    listing.add_argument("--remove", metavar="NAME", help="take away this tool, which the twin built")
    add_paging(listing)
    parser = commands.add("call", "run one tool", call_tool)
    parser.add_argument("tool", metavar="TOOL")
    parser.add_argument("parameters", metavar="JSON", nargs="?", default="{}", help="its parameters; '-' reads stdin")


def list_tools(call: Call) -> None:
    if call.args.remove is not None:
        gone = call.client().delete("tools", call.args.remove)
        call.show(gone, lambda: say(f"The tool {gone['name']} is gone."))
        return
    document = call.client().get("tools", query=paging(call.args))
    rows = [
        (tool["name"], tool["kind"], ", ".join(tool["parameters"].get("properties", {})), one_line(tool["description"]))
        for tool in document["items"]
    ]
    call.show_list(document, ("tool", "kind", "parameters", "description"), rows, empty="No tools.")


def call_tool(call: Call) -> None:
    text = read_text("-") if call.args.parameters == "-" else call.args.parameters
    try:
        parameters = json.loads(text)
    except ValueError as error:
        raise BadInput(f"the parameters are not JSON: {error}") from error
    if not isinstance(parameters, dict):
        raise BadInput("the parameters should be a JSON object")
    executed = call.client().post("tools", call.args.tool, "execute", body={"parameters": parameters})
    result = executed["result"]
    call.show(executed, lambda: say(result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)))
