"""Names: what this twin's own IPNS name stands for, and what others' do."""

from node.api.router import Routes
from node.api.wire import Wire
from node.clock import rfc3339
from node.content.naming import OwnName
from node.twin import Twin
from protocols.ipns import IpnsName, IpnsRecord
from protocols.profile import Profile

routes = Routes("ipns")


class ProfileOut(Wire):
    """`playbooks` has the CIDs of each playbook's heads."""

    did: str
    name: str
    capabilities: list[str]
    playbooks: dict[str, list[str]]
    updated: str


class NameOut(Wire):
    """`cid` is null if the name stands for a longer path; `profile` is null if it stands for none, and `problem` says
    why."""

    name: str
    peer_id: str
    did: str
    path: str
    cid: str | None
    sequence: int
    valid_until: str
    profile: ProfileOut | None
    problem: str | None


class OwnNameOut(Wire):
    """`published` is null until the name was published once; `taken_by` is how many DHT servers took its record when
    it was last told."""

    name: str
    peer_id: str
    did: str
    published: NameOut | None
    taken_by: int


@routes.add("GET", "/v1/ipns", "This twin's own IPNS name, and the profile that it stands for.")
async def show(twin: Twin) -> OwnNameOut:
    return _own(twin.routing.own_name)


@routes.add("POST", "/v1/ipns/publish", "Make a new record of this twin's name now, and tell the DHT.")
async def publish(twin: Twin) -> OwnNameOut:
    await twin.routing.own_name.publish()
    return _own(twin.routing.own_name)


@routes.add(
    "GET",
    "/v1/ipns/{name}",
    "What a name stands for: `k51…`, a peer ID, a did:key, `me`, or what a twin that you named is called.",
)
async def resolve(twin: Twin, name: str) -> NameOut:
    names = twin.routing.names
    found = await names.resolve(await names.find(name))
    return _name(found.name, found.record, found.cid, found.profile, found.problem)


def _own(own: OwnName) -> OwnNameOut:
    current = own.current
    published = _name(own.name, current.record, current.cid, current.profile, None) if current else None
    return OwnNameOut(
        name=str(own.name),
        peer_id=own.name.peer_id,
        did=own.name.did,
        published=published,
        taken_by=current.taken_by if current else 0,
    )


def _name(
    name: IpnsName, record: IpnsRecord, cid: object | None, profile: Profile | None, problem: str | None
) -> NameOut:
    return NameOut(
        name=str(name),
        peer_id=name.peer_id,
        did=name.did,
        path=record.value,
        cid=str(cid) if cid is not None else None,
        sequence=record.sequence,
        valid_until=rfc3339(record.valid_until_ms),
        profile=_profile(profile) if profile is not None else None,
        problem=problem,
    )


def _profile(profile: Profile) -> ProfileOut:
    return ProfileOut(
        did=profile.did,
        name=profile.name,
        capabilities=list(profile.capabilities),
        playbooks={name: [str(head) for head in heads] for name, heads in profile.playbooks.items()},
        updated=rfc3339(profile.updated_ms),
    )
