"""How a playbook, its log and one of its revisions are shown to a person."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from node.cli.command import Call
from node.cli.names import labels
from node.cli.output import one_line, remark, safe, say

Who = Callable[[str | None], str]

_LOG_LINES: Final = 3
"""What a revision changes, in a list: the rest is shown with the revision itself."""


def say_playbook(call: Call, playbook: dict[str, Any]) -> None:
    """Bullets by section, each with what was counted of it and who taught it."""
    if not any(playbook["revisions"].values()) and not playbook["version"] and not playbook["provisional"]:
        say(f"Nothing of {playbook['name']} is known here yet. `pagi playbook propose` begins it.")
        return
    who = labels(call)
    shown = [bullet for bullet in playbook["bullets"] if bullet["shown_as"] is None]
    say(
        f"{playbook['name']}, version {playbook['version']}: {_count(len(shown), 'bullet')}"
        + (", provisional until its history is here" if playbook["provisional"] else "")
    )
    if provisional := playbook["provisional"]:
        say(
            f"This is what a snapshot by {who(provisional['author'])} says: {provisional['fetched']:,} of its"
            f" {provisional['revisions']:,} revisions are here, and none of it is checked yet."
        )
    bullets = [(bullet, "") for bullet in shown]
    bullets += [(bullet, "tried on a share of the goals") for bullet in playbook["canaries"]]
    section = None
    for bullet, mark in sorted(bullets, key=lambda item: item[0]["section"]):
        if bullet["section"] != section:
            section = bullet["section"]
            say(f"\n{section}")
        _say_bullet(bullet, mark, who)
    rest = [_count(len(playbook[name]), name.removesuffix("s")) for name in ("settings", "tools", "metrics")]
    say(f"\nAlso {', '.join(rest)}: `pagi playbook show {playbook['name']} --toml` prints everything.")
    if bullets:
        remark("`pagi playbook show ID` says how a lesson came in and how it did; `reject ID` takes it back.")
    _say_waiting(playbook)


def _say_bullet(bullet: dict[str, Any], mark: str, who: Who) -> None:
    counts = f"▲{bullet['helpful']} ▼{bullet['harmful']}"
    first, *others = safe(bullet["text"]).splitlines() or [""]
    say(f"  {counts:<8} {first}")
    for line in others:
        say(f"           {line}")
    notes = [f"taught by {who(bullet['author'])}", bullet["id"]]
    if bullet["same"]:
        number = len(bullet["same"])
        notes.append(f"{number} other{'s say' if number > 1 else ' says'} the same")
    if mark:
        notes.append(mark)
    say(f"           {' · '.join(notes)}")


def _say_waiting(playbook: dict[str, Any]) -> None:
    waiting = playbook["revisions"].get("quarantined", 0)
    if waiting:
        remark(
            f"{_count(waiting, 'revision')} wait{'s' if waiting == 1 else ''} for you: "
            f"`pagi playbook log {playbook['name']} --status quarantined`."
        )


def say_revision(call: Call, revision: dict[str, Any]) -> None:
    """Who taught what, how it was judged, and how it has done since."""
    who = labels(call)
    say(f"{revision['cid']} of {revision['playbook']}")
    say(f"{revision['status']}: {revision['reason'] or ''}")
    say(f"by {who(revision['author'])}, {revision['ts']}, height {revision['height']}")
    say(f"why: {revision['critique']}")
    if revision["evidence"]:
        say(f"evidence: {', '.join(revision['evidence'])}")
    say("\nWhat it changes")
    for line in revision["changes"]:
        say(f"  {line}")
    say("\nHow it was judged")
    for stage in revision["stages"]:
        say(f"  {stage['stage']:<10} {stage['outcome']:<11} {stage['reason']}")
    _say_since(revision)
    if revision["results"]:
        say("\nWhat checks have shown")
        for result in revision["results"]:
            counts = f"{result['passed_without']} right without it, {result['passed_with']} with it"
            by = f"{who(result['author'])} (standing {result['standing']:.2f}, {result['answered_by']})"
            say(f"  {by}: of {_count(result['checks'], 'check')} {counts}")


def _say_since(revision: dict[str, Any]) -> None:
    """What its bullets were counted, and how the goals went that they fitted."""
    lines = [
        f"  ▲{bullet['helpful']} ▼{bullet['harmful']} {one_line(bullet['text'])}"
        + ("" if bullet["in_effect"] else "  (not in effect)")
        for bullet in revision["bullets"]
    ]
    for arm, words in (("canary", "given it as a canary"), ("usual", "that it fits")):
        outcome = revision["outcomes"].get(arm, {"good": 0, "bad": 0})
        known = outcome["good"] + outcome["bad"]
        if known:
            lines.append(f"  {outcome['good']} of {_count(known, 'goal')} {words} went well")
    if lines:
        say("\nHow it has done")
        for line in lines:
            say(line)


def say_log(call: Call, document: dict[str, Any]) -> None:
    """The revisions, newest first: who taught what, how it did, and what to do about it."""
    call.show(document, lambda: _say_log(call, document))


def _say_log(call: Call, document: dict[str, Any]) -> None:
    who = labels(call)
    for row in document["items"]:
        say(f"{row['status']:<11}  {who(row['author'])}: {one_line(row['critique'], 100)}")
        changes = row["changes"]
        lines = [one_line(line, 120) for line in changes[:_LOG_LINES]]
        if len(changes) > _LOG_LINES:
            lines.append(f"… and {_count(len(changes) - _LOG_LINES, 'more line')}")
        helpful, harmful = (sum(bullet[count] for bullet in row["bullets"]) for count in ("helpful", "harmful"))
        lines.append(
            f"{row['ts']}, {row['reason'] or 'no reason'}" + (f", ▲{helpful} ▼{harmful}" if row["bullets"] else "")
        )
        for line in (*lines, row["cid"]):
            say(f"{'':<11}  {line}")
        say()
    if not document["items"]:
        say("No revisions.")
    elif any(row["status"] == "quarantined" for row in document["items"]):
        remark("`pagi playbook show CID` shows one that waits; `approve CID` adopts it, `reject CID` does not.")
    else:
        remark("`pagi playbook reject CID` takes one back, `reject --author NAME` all that a twin taught.")
    call.say_more(document)


def say_decided(call: Call, revision: dict[str, Any], playbook: dict[str, Any]) -> None:
    """What has become of a revision by the owner's word, and how to take that back."""
    share = revision["share"]
    status = (
        f"on trial for {share:.0%} of the goals" if revision["status"] == "canary" and share else revision["status"]
    )
    say(f"{status}, taught by {labels(call)(revision['author'])}:")
    for line in revision["changes"]:
        say(f"  {line}")
    say(f"{playbook['name']} is at version {playbook['version']}, {_count(len(playbook['bullets']), 'bullet')}.")
    back = "approve" if revision["status"] == "rejected" else "reject"
    remark(f"`pagi playbook {back} {revision['cid']}` takes that back.")


def say_groups(call: Call, document: dict[str, Any]) -> None:
    """Bullets that are shown as one."""
    who = labels(call)
    for group in document["items"]:
        bullets: Sequence[dict[str, Any]] = (group["bullet"], *group["same"])
        for n, bullet in enumerate(bullets):
            say(f"{'  = ' if n else ''}{bullet['id']}  {who(bullet['author'])}")
            say(f"    {one_line(bullet['text'], 200)}")
    if not document["items"]:
        say("No two bullets say the same.")
    else:
        remark("`pagi playbook split A B` shows two of them by themselves again.")
    call.say_more(document)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
