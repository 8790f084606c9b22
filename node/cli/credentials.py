"""Commands of verifiable credentials: issue, verify, list, show, revoke, present, import, explain."""

import json
from pathlib import Path
from typing import Any, Final

from node.cli.command import Call, Commands, add_paging, bounded, paging
from node.cli.errors import EXIT_FAILED, BadInput
from node.cli.inputs import read_text
from node.cli.names import did_of, labels
from node.cli.output import remark, say, table

SUITES: Final = ("eddsa-jcs-2022", "eddsa-rdfc-2022")
LEGACY_SUITES: Final = ("Ed25519Signature2018", "Ed25519Signature2020", "jwt-vc-1.1")
_CENTURY_DAYS: Final = 36_525


def register(commands: Commands) -> None:
    """Add the commands of this area."""
    group = commands.group("vc", "verifiable credentials", usual="list")
    _register_issue(group)
    parser = group.add("verify", "check a credential or a presentation, and name every check", verify)
    _add_file(parser)
    parser.add_argument("--challenge", metavar="TEXT", help="the challenge that a presentation must answer")
    parser.add_argument("--domain", metavar="TEXT", help="whom a presentation must be made for")
    parser = group.add("list", "list issued and held credentials", show_list)
    parser.add_argument("--role", choices=("issued", "held"), help="only these")
    parser.add_argument("--type", metavar="TYPE", help="only of this type")
    add_paging(parser)
    group.add("show", "show one credential", show).add_argument("id", metavar="ID")
    group.add("revoke", "revoke a credential of this twin's, for ever", revoke).add_argument("id", metavar="ID")
    parser = group.add("present", "present credentials to somebody", present)
    parser.add_argument("credentials", metavar="ID|FILE", nargs="+", help="a credential that is here, or a file")
    parser.add_argument("--challenge", metavar="TEXT", help="what the verifier gave you to answer")
    parser.add_argument("--domain", metavar="TEXT", help="whom it is for")
    parser.add_argument("--suite", choices=SUITES, default=SUITES[0], help=f"how it is signed ({SUITES[0]})")
    _add_file(group.add("import", "keep a credential that was received", keep))
    explain_parser = group.add("explain", "show what a twin's standing here is made of", explain)
    explain_parser.add_argument("did", metavar="DID|NAME")


def _register_issue(group: Commands) -> None:
    parser = group.add("issue", "issue a credential, signed by this twin", issue)
    parser.add_argument("type", metavar="TYPE", help="PAGIReputationCredential, CapabilityCredential, or any name")
    parser.add_argument("subject", metavar="DID|NAME|URI", help="whom it is about; `me` is this twin")
    parser.add_argument(
        "claims",
        metavar="JSON|FILE",
        nargs="?",
        default="{}",
        help="the claims as a JSON object, or a file; '-' reads stdin; without them a reputation is what was seen here",
    )
    parser.add_argument("--days", type=bounded(1, _CENTURY_DAYS), metavar="N", help="days that it is valid (no end)")
    parser.add_argument("--id", metavar="URI", help="its id (a new UUID)")
    parser.add_argument("--evidence", metavar="FILE", help="a file with a JSON list of evidence")
    choices = (*SUITES, *LEGACY_SUITES)
    parser.add_argument("--suite", choices=choices, default=SUITES[0], help=f"how it is signed ({SUITES[0]})")


def issue(call: Call) -> None:
    args = call.args
    body: dict[str, Any] = {"type": args.type, "subject": _subject(call, args.subject), "claims": _claims(args.claims)}
    body["suite"] = args.suite
    if args.days:
        body["valid_for_s"] = args.days * 86_400
    if args.id:
        body["id"] = args.id
    if args.evidence:
        body["evidence"] = _json(read_text(args.evidence), args.evidence)
    document = call.client().post("credentials", "issue", body=body)
    call.show(document, lambda: say(json.dumps(document, ensure_ascii=False, indent=2)))


def verify(call: Call) -> int:
    """Exit status 0 only if it is valid."""
    value = _signed(read_text(call.args.file), call.args.file)
    is_presentation = isinstance(value, dict) and "VerifiablePresentation" in _list(value.get("type"))
    body: dict[str, Any] = {"presentation" if is_presentation else "credential": value}
    for name in ("challenge", "domain"):
        if getattr(call.args, name):
            body[name] = getattr(call.args, name)
    verdict = call.client().post("credentials", "verify", body=body)
    call.show(verdict, lambda: _say_verdict(verdict))
    return 0 if verdict["valid"] else EXIT_FAILED


def show_list(call: Call) -> None:
    query = {**paging(call.args), "role": call.args.role, "type": call.args.type}
    document = call.client().get("credentials", query=query)
    call.show(document, lambda: _say_list(call, document))


def _say_list(call: Call, document: dict[str, Any]) -> None:
    who = labels(call)
    rows = [
        (row["ts"], row["role"], row["type"], _state(row), row["id"], who(row["subject"]), who(row["issuer"]))
        for row in document["items"]
    ]
    columns = ("time", "role", "type", "state", "id", "subject", "issuer")
    call.show_list(document, columns, rows, empty="No credentials.")


def show(call: Call) -> None:
    row = call.client().get("credentials", call.args.id)

    def human() -> None:
        credential = row["credential"]
        say(credential if isinstance(credential, str) else json.dumps(credential, ensure_ascii=False, indent=2))
        remark(f"{row['role']} {row['ts']}, {_state(row) or 'valid'}")

    call.show(row, human)


def revoke(call: Call) -> None:
    row = call.client().post("credentials", call.args.id, "revoke", body=None)
    call.show(row, lambda: say(f"Revoked {row['revoked']}. Others see it once they fetch the status list again."))


def present(call: Call) -> None:
    credentials = [
        _signed(read_text(name), name) if Path(name).is_file() or name == "-" else name
        for name in call.args.credentials
    ]
    body: dict[str, Any] = {"credentials": credentials, "suite": call.args.suite}
    for name in ("challenge", "domain"):
        if getattr(call.args, name):
            body[name] = getattr(call.args, name)
    document = call.client().post("presentations", body=body)
    call.show(document, lambda: say(json.dumps(document, ensure_ascii=False, indent=2)))


def keep(call: Call) -> None:
    value = _signed(read_text(call.args.file), call.args.file)
    row = call.client().post("credentials", body={"credential": value})
    call.show(row, lambda: say(f"Kept {row['type']} {row['id']}, issued by {row['issuer']}."))


def explain(call: Call) -> None:
    document = call.client().get("twins", did_of(call, call.args.did), "reputation")

    def human() -> None:
        say(f"standing {document['score']:.2f}, as seen from here; 1 is never reached")
        rows = [
            (f"+{term['good']:.2f}", f"-{term['bad']:.2f}", term["source"], term["detail"])
            for term in document["terms"]
        ]
        table(("for", "against", "evidence", "of which"), rows, empty="Nothing is known of it here.")

    call.show(document, human)


def _say_verdict(verdict: dict[str, Any]) -> None:
    for check in verdict["checks"]:
        say(f"{'ok  ' if check['ok'] else 'FAIL'}  {check['name']:<22} {check['detail']}")
    say("Valid." if verdict["valid"] else "NOT valid.")
    for error in verdict["errors"]:
        remark(f"{error['code']}: {error['hint']}")


def _subject(call: Call, given: str) -> str:
    """Any URI can be a subject; what is none is somebody's name."""
    return given if ":" in given else did_of(call, given)


def _state(row: dict[str, Any]) -> str:
    if row["revoked"]:
        return "revoked"
    return f"until {row['valid_until']}" if row["valid_until"] else ""


def _claims(given: str) -> dict[str, Any]:
    text = given if given.lstrip().startswith("{") else read_text(given)
    claims = _json(text, "the claims")
    if not isinstance(claims, dict):
        raise BadInput("the claims are not a JSON object")
    return claims


def _signed(text: str, name: str) -> dict[str, Any] | str:
    """A document, or a JWT as text."""
    text = text.strip()
    if not text.startswith("{"):
        return text
    document = _json(text, name)
    assert isinstance(document, dict)
    return document


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadInput(f"{name}: not JSON: {error}") from error


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _add_file(parser: Any) -> None:
    parser.add_argument("file", metavar="FILE", help="a file with its JSON or JWT; '-' reads stdin")
