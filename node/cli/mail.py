"""Commands of DIDComm: send, inbox, outbox."""

import json
from typing import Any, Final

from node.cli.command import Call, Commands, add_paging, bounded, paging
from node.cli.errors import EXIT_FAILED
from node.cli.output import one_line, remark, say

BASIC_MESSAGE: Final = "https://didcomm.org/basicmessage/2.0/message"


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    parser = commands.add("send", "send an encrypted message to a twin", send)
    parser.add_argument("did", metavar="DID")
    parser.add_argument("text", metavar="TEXT", help="the text, or with --type the body as a JSON object")
    parser.add_argument("--type", metavar="URI", default=BASIC_MESSAGE, help="the message's type (a basic message)")
    parser.add_argument("--thread", metavar="ID", help="answer in this thread")
    parser.add_argument("--wait", action="store_true", help="wait until it is delivered")
    parser.add_argument("--timeout", type=bounded(1, 60), default=30, metavar="S", help="for --wait, in seconds (30)")
    add_paging(commands.add("inbox", "list received messages", inbox))
    add_paging(commands.add("outbox", "list our messages and what became of them", outbox))


def send(call: Call) -> int:
    args = call.args
    body: dict[str, Any] = {"to": args.did, "type": args.type, "body": _body(args.type, args.text)}
    if args.thread:
        body["thid"] = args.thread
    if args.wait:
        body["wait_s"] = args.timeout
    sent = call.client().post("didcomm", "send", body=body)
    call.show(sent, lambda: say(f"{sent['status']}  {sent['id']}"))
    if args.wait and sent["status"] == "queued" and not call.json:
        remark(f"Not delivered within {args.timeout} s. It is tried on, also after a restart: see `pagi outbox`.")
    undelivered = sent["status"] == "failed" or (args.wait and sent["status"] != "delivered")
    return EXIT_FAILED if undelivered else 0


def inbox(call: Call) -> None:
    document = call.client().get("didcomm", "inbox", query=paging(call.args))
    rows = [
        (row["received_time"], row["status"], row["from"], _short(row["type"]), _text(row["body"]))
        for row in document["items"]
    ]
    call.show_list(document, ("received", "status", "from", "type", "body"), rows, empty="No messages.")
    if not call.json and any(row["status"] == "request" for row in document["items"]):
        remark("A request is from a twin that you have not named: `pagi trust allow DID` lets it in.")


def outbox(call: Call) -> None:
    document = call.client().get("didcomm", "outbox", query=paging(call.args))
    rows = [
        (row["created_time"], row["status"], row["to"], _short(row["type"]), _text(row["body"]), row["error"])
        for row in document["items"]
    ]
    columns = ("created", "status", "to", "type", "body", "last error")
    call.show_list(document, columns, rows, empty="Nothing was sent.")


def _body(message_type: str, text: str) -> dict[str, Any]:
    """A basic message holds the text; a message of another type holds a JSON object if the text is one."""
    if message_type != BASIC_MESSAGE:
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        if isinstance(document, dict):
            return document
    return {"content": text}


def _short(message_type: str) -> str:
    return "/".join(message_type.rsplit("/", 3)[-3:])


def _text(body: dict[str, Any]) -> str:
    content = body.get("content")
    return one_line(content if isinstance(content, str) else json.dumps(body, ensure_ascii=False))
