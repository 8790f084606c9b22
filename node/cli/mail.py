"""Commands of DIDComm: send, inbox, outbox, ping, discover."""

import argparse
import json
import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from node.cli.command import Call, Commands, add_paging, bounded, paging
from node.cli.errors import EXIT_FAILED
from node.cli.inputs import read_bytes
from node.cli.names import did_of, labels
from node.cli.output import one_line, remark, say

BASIC_MESSAGE: Final = "https://didcomm.org/basicmessage/2.0/message"
FORMS: Final = ("authcrypt", "authcrypt-signed", "anoncrypt-authcrypt", "anoncrypt-signed", "anoncrypt")
YEAR_S: Final = 31_536_000


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    parser = commands.add("send", "send an encrypted message to a twin", send)
    _add_whom(parser)
    parser.add_argument("text", metavar="TEXT", help="the text, or with --type the body as a JSON object")
    parser.add_argument("--type", metavar="URI", default=BASIC_MESSAGE, help="the message's type (a basic message)")
    parser.add_argument("--thread", metavar="ID", help="answer in this thread")
    parser.add_argument("--attach", metavar="FILE", action="append", default=[], help="store a file, attach its CID")
    parser.add_argument(
        "--form",
        choices=FORMS,
        default=FORMS[0],
        help="the envelopes, the outermost first; twins refuse a bare anoncrypt: it has no sender",
    )
    parser.add_argument("--ack", action="store_true", help="ask the recipient itself to confirm it")
    parser.add_argument("--expires", type=bounded(1, YEAR_S), metavar="S", help="give up after so many seconds")
    parser.add_argument("--wait", action="store_true", help="wait until it is delivered")
    parser.add_argument("--timeout", type=bounded(1, 60), default=30, metavar="S", help="for --wait, in seconds (30)")
    parser = commands.add("inbox", "list received messages", inbox)
    parser.add_argument("--whole", action="store_true", help="show the messages whole, not one line of each")
    add_paging(parser)
    add_paging(commands.add("outbox", "list our messages and what became of them", outbox))
    parser = commands.add("ping", "ask a twin or agent whether it is there", ping)
    _add_whom(parser)
    parser.add_argument("--timeout", type=bounded(1, 60), default=10, metavar="S", help="in seconds (10)")
    parser = commands.add("discover", "ask a twin or agent what it can do", discover)
    _add_whom(parser)
    parser.add_argument("match", metavar="MATCH", nargs="?", default="*", help="what it begins with, and `*` (all)")
    parser.add_argument("--type", default="protocol", metavar="TYPE", help="protocol, goal-code or header (protocol)")
    parser.add_argument("--timeout", type=bounded(1, 60), default=10, metavar="S", help="in seconds (10)")


def _add_whom(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("did", metavar="DID|NAME", help="its DID, or the name of a twin that you named")


def send(call: Call) -> int:
    args = call.args
    body: dict[str, Any] = {
        "to": did_of(call, args.did),
        "type": args.type,
        "body": _body(args.type, args.text),
        "pack": args.form,
    }
    if args.thread:
        body["thid"] = args.thread
    if args.attach:
        body["attachments"] = [_attached(call, name) for name in args.attach]
    if args.ack:
        body["please_ack"] = True
    if args.expires is not None:
        body["expires_s"] = args.expires
    if args.wait:
        body["wait_s"] = args.timeout
    sent = call.client().post("didcomm", "send", body=body)
    call.show(sent, lambda: say(f"{sent['status']}  {sent['id']}"))
    if args.wait and sent["status"] == "queued" and not call.json:
        remark(f"Not delivered within {args.timeout} s. It is tried on, also after a restart: see `pagi outbox`.")
    if args.wait and sent["status"] == "sent" and not call.json:
        if str(_told(call, sent["id"], "via")).startswith("mediator"):
            remark("A mediator has it, and brings it when the recipient comes back: see `pagi outbox`.")
        else:
            remark("It was taken, and is delivered once the recipient itself says so: see `pagi outbox`.")
    if sent["status"] == "failed" and not call.json:
        remark(f"It will not be tried again: {_told(call, sent['id'], 'error') or 'see `pagi outbox`'}.")
    undelivered = sent["status"] == "failed" or (args.wait and sent["status"] not in ("sent", "delivered"))
    return EXIT_FAILED if undelivered else 0


def inbox(call: Call) -> None:
    document = call.client().get("didcomm", "inbox", query=paging(call.args))
    call.show(document, lambda: _say_inbox(call, document))


def _say_inbox(call: Call, document: dict[str, Any]) -> None:
    who, received = labels(call), document["items"]
    if call.args.whole and received:
        for row in received:
            _say_whole(row, who)
        call.say_more(document)
    else:
        rows = [
            (
                *(row["received_time"], row["status"], who(row["from"]), _short(row["type"])),
                *(_text(row), _names(row), row["via"]),
            )
            for row in received
        ]
        columns = ("received", "status", "from", "type", "body", "attached", "via")
        call.show_list(document, columns, rows, empty="No messages.")
    if any(row["status"] == "request" for row in received):
        remark("A request is from a twin that you have not named: `pagi trust allow DID` lets it in.")


def outbox(call: Call) -> None:
    document = call.client().get("didcomm", "outbox", query=paging(call.args))
    call.show(document, lambda: _say_outbox(call, document))


def _say_outbox(call: Call, document: dict[str, Any]) -> None:
    who = labels(call)
    rows = [
        (row["created_time"], row["status"], who(row["to"]), _short(row["type"]), _text(row), row["via"], row["error"])
        for row in document["items"]
    ]
    columns = ("created", "status", "to", "type", "body", "via", "last error")
    call.show_list(document, columns, rows, empty="Nothing was sent.")


def ping(call: Call) -> None:
    body = {"to": did_of(call, call.args.did), "timeout_s": call.args.timeout}
    answer = call.client().post("didcomm", "ping", body=body)
    call.show(answer, lambda: say(f"{answer['did']} answered in {answer['ms']:.0f} ms."))


def discover(call: Call) -> None:
    args = call.args
    body = {"to": did_of(call, args.did), "match": args.match, "feature_type": args.type, "timeout_s": args.timeout}
    answer = call.client().post("didcomm", "discover", body=body)
    rows = [(feature["id"], ", ".join(feature["roles"])) for feature in answer["features"]]
    call.show_list(answer, ("feature", "roles"), rows, empty="It says nothing of that kind.")


def _told(call: Call, message_id: str, what: str) -> str | None:
    """What the outbox says of a message that was just sent: its `via` or its `error`."""
    newest = call.client().get("didcomm", "outbox", query={"limit": 20})["items"]
    return next((row[what] for row in newest if row["id"] == message_id), None)


def _say_whole(row: dict[str, Any], who: Callable[[str | None], str]) -> None:
    """A message with its text indented, so that nothing in it can look like the head of another one."""
    sender = who(row["from"]) or "an unknown sender"
    say(f"{row['received_time']}  {row['status']}  from {one_line(sender, 2048)}  {one_line(_short(row['type']))}")
    content = row["body"].get("content")
    text = content if isinstance(content, str) else json.dumps(row["body"], ensure_ascii=False, indent=2)
    for line in text.splitlines():
        say(f"    {line}")
    if row["attachments"]:
        say(f"  attached  {one_line(_names(row), 2048)}")
    say()


def _attached(call: Call, name: str) -> dict[str, Any]:
    """Store a file among our blocks, for the recipient to fetch."""
    added = call.client().post_bytes("ipfs", "add", data=read_bytes(name))
    attached: dict[str, Any] = {"cid": added["cid"], "byte_count": added["size_bytes"]}
    if name != "-":
        attached["filename"] = Path(name).name
        media_type, _ = mimetypes.guess_type(name)
        if media_type is not None:
            attached["media_type"] = media_type
    return attached


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


def _text(row: dict[str, Any]) -> str:
    content = row["body"].get("content")
    return one_line(content if isinstance(content, str) else json.dumps(row["body"], ensure_ascii=False))


def _names(row: dict[str, Any]) -> str:
    """What is attached: a CID can be read with `pagi ipfs cat`."""
    return ", ".join(
        " ".join(part for part in (entry["filename"], entry["cid"]) if part) or entry["media_type"] or "inline"
        for entry in row["attachments"]
    )
