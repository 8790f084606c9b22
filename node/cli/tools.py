"""Commands of tools: list them, call one."""

import json

from node.cli.command import Call, Commands, add_paging, paging
from node.cli.errors import BadInput
from node.cli.inputs import read_text
from node.cli.output import one_line, say


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    add_paging(commands.add("tools", "list the tools", list_tools))
    parser = commands.add("call", "run one tool", call_tool)
    parser.add_argument("tool", metavar="TOOL")
    parser.add_argument("parameters", metavar="JSON", nargs="?", default="{}", help="its parameters; '-' reads stdin")


def list_tools(call: Call) -> None:
    document = call.client().get("tools", query=paging(call.args))
    rows = [
        (tool["name"], ", ".join(tool["parameters"].get("properties", {})), one_line(tool["description"]))
        for tool in document["items"]
    ]
    call.show_list(document, ("tool", "parameters", "description"), rows, empty="No tools.")


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
