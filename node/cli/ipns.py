"""Commands of names: ipfs name show, publish, resolve."""

from typing import Any

from node.cli.command import Call, Commands
from node.cli.names import did_of
from node.cli.output import remark, say


def register(ipfs: Commands) -> None:
    """Add the commands of this area to the group `ipfs`."""
    group = ipfs.group("name", "names that stay while what they stand for changes (IPNS)")
    group.add("show", "this twin's own name, and the profile that it stands for", show)
    group.add("publish", "publish it anew, now", publish)
    resolve_parser = group.add("resolve", "what a name stands for", resolve)
    resolve_parser.add_argument("name", metavar="NAME", help="k51…, a peer ID, a did:key, or a twin that you named")


def show(call: Call) -> None:
    document = call.client().get("ipns")
    call.show(document, lambda: _say_own(document))


def publish(call: Call) -> None:
    document = call.client().post("ipns", "publish")
    call.show(document, lambda: _say_own(document))


def resolve(call: Call) -> None:
    name = call.args.name
    if "~" in name:
        name = did_of(call, name)
    document = call.client().get("ipns", name)
    call.show(document, lambda: _say_name(document))


def _say_own(document: dict[str, Any]) -> None:
    if document["published"] is None:
        say(f"name       {document['name']}")
        remark("It was not published yet: that comes within seconds of the start, and `publish` does it now.")
        return
    _say_name(document["published"])
    if taken_by := document["taken_by"]:
        say(f"kept by    {taken_by} DHT {'server' if taken_by == 1 else 'servers'}")
    else:
        remark("No DHT server has taken the record yet: only twins that are connected can find it.")


def _say_name(found: dict[str, Any]) -> None:
    say(f"name       {found['name']}")
    say(f"DID        {found['did']}")
    say(f"stands for {found['path']}")
    say(f"sequence   {found['sequence']}, valid until {found['valid_until']}")
    profile = found["profile"]
    if profile is None:
        remark(f"No profile is shown: {found['problem']}.")
        return
    say(f"called     {profile['name']}")
    say(f"can        {', '.join(profile['capabilities']) or 'nothing that it tells of'}")
    for playbook, heads in profile["playbooks"].items():
        say(f"playbook   {playbook}: {', '.join(heads)}")
    say(f"updated    {profile['updated']}")
