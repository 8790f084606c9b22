"""Playbooks: read one, propose a change, judge the changes of others."""

from identity.cid import Cid
from identity.did import parse_did
from node.api.errors import InvalidRequest
from node.api.playbook_documents import (
    ApproveQuery,
    GroupOut,
    GroupPage,
    OfferedOut,
    PlaybookLine,
    PlaybookOut,
    PlaybookPage,
    Proposal,
    ProvisionalOut,
    Reject,
    RejectAuthor,
    Rejected,
    RevisionDetail,
    RevisionId,
    RevisionPage,
    RevisionQuery,
    Rollback,
    Split,
    bullet_out,
    detail_out,
    metric_out,
    revision_out,
    taught_by,
)
from node.api.router import Routes
from node.api.wire import PageQuery, page, sorted_page
from node.twin import Twin
from protocols.errors import RemoteProtocolError
from protocols.playbook.revision import parse_name
from protocols.playbook.toml import render

routes = Routes("playbooks")


@routes.add("GET", "/v1/playbooks", "The playbooks that are kept here.")
async def list_playbooks(twin: Twin, query: PageQuery) -> PlaybookPage:
    names, following = sorted_page(twin.hive.names, lambda name: name, query)
    offered = [OfferedOut(name=name, by=list(by)) for name, by in sorted((await twin.hive.offered()).items())]
    return PlaybookPage(items=[await _line(twin, name) for name in names], next=following, offered=offered)


@routes.add("GET", "/v1/playbooks/{name}", "The playbook as this twin has accepted it.")
async def show(twin: Twin, name: str) -> PlaybookOut:
    return await _playbook(twin, _known_as(name))


@routes.add("POST", "/v1/playbooks/{name}/follow", "Keep a playbook of this name, and fetch what others have of it.")
async def follow(twin: Twin, name: str) -> PlaybookOut:
    await twin.hive.follow(_known_as(name))
    return await _playbook(twin, name)


@routes.add("POST", "/v1/playbooks/{name}/revisions", "Propose a change: it is signed, adopted here and gossiped.")
async def propose(twin: Twin, name: str, body: Proposal) -> RevisionId:
    ops = [op.model_dump() for op in body.ops]
    cid = await twin.hive.propose(_known_as(name), body.critique, ops, anyway=body.anyway)
    return RevisionId(cid=str(cid))


@routes.add("GET", "/v1/playbooks/{name}/revisions", "The revisions that are known here, and how they were judged.")
async def list_revisions(twin: Twin, name: str, query: RevisionQuery) -> RevisionPage:
    rows = await twin.hive.revisions(_known_as(name), query.status, query.limit, query.after)
    if not query.changes:
        return RevisionPage(**page(rows, revision_out))
    items = [taught_by(await twin.hive.detail(name, row.cid)) for row in rows.items]
    return RevisionPage(items=items, next=rows.next)


@routes.add("GET", "/v1/playbooks/{name}/revisions/{cid}", "One revision: how it was judged, and what it changes.")
async def show_revision(twin: Twin, name: str, cid: Cid) -> RevisionDetail:
    return detail_out(await twin.hive.detail(_known_as(name), cid))


@routes.add("POST", "/v1/playbooks/{name}/revisions/{cid}/approve", "Adopt a revision, or try it on a share of goals.")
async def approve(twin: Twin, name: str, cid: Cid, query: ApproveQuery) -> PlaybookOut:
    if query.share is None:
        await twin.hive.approve(_known_as(name), cid)
    else:
        await twin.hive.approve(_known_as(name), cid, canary=True, share=query.share)
    return await _playbook(twin, name)


@routes.add("POST", "/v1/playbooks/{name}/revisions/{cid}/reject", "Do not adopt a revision.")
async def reject(twin: Twin, name: str, cid: Cid, body: Reject) -> PlaybookOut:
    await twin.hive.reject(_known_as(name), cid, body.reason)
    return await _playbook(twin, name)


@routes.add("POST", "/v1/playbooks/{name}/reject-author", "Take back all that an author wrote so far.")
async def reject_author(twin: Twin, name: str, body: RejectAuthor) -> Rejected:
    return Rejected(rejected=await twin.hive.reject_author(_known_as(name), parse_did(body.author), body.reason))


@routes.add("POST", "/v1/playbooks/{name}/rollback", "Undo what was adopted after a revision.")
async def rollback(twin: Twin, name: str, body: Rollback) -> PlaybookOut:
    await twin.hive.rollback(_known_as(name), Cid.parse(body.to))
    return await _playbook(twin, name)


@routes.add("GET", "/v1/playbooks/{name}/duplicates", "Bullets that say the same and are shown as one.")
async def duplicates(twin: Twin, name: str, query: PageQuery) -> GroupPage:
    groups = [lesson for lesson in await twin.hive.lessons(_known_as(name), with_canaries=True) if lesson.same]
    chosen, following = sorted_page(groups, lambda lesson: lesson.bullet.id, query)
    items = [
        GroupOut(bullet=bullet_out(lesson.bullet), same=[bullet_out(other) for other in lesson.same])
        for lesson in chosen
    ]
    return GroupPage(items=items, next=following)


@routes.add("POST", "/v1/playbooks/{name}/duplicates/split", "Show two bullets by themselves from now on.")
async def split(twin: Twin, name: str, body: Split) -> PlaybookOut:
    await twin.hive.split(_known_as(name), body.a, body.b)
    return await _playbook(twin, name)


def _known_as(name: str) -> str:
    """The name of a playbook as the owner gave it. Raises InvalidRequest."""
    try:
        return parse_name(name)
    except RemoteProtocolError as error:
        raise InvalidRequest(f"path: name: {error}") from error


async def _line(twin: Twin, name: str) -> PlaybookLine:
    playbook = await twin.hive.view(name)
    return PlaybookLine(
        name=name,
        version=playbook.height,
        bullets=playbook.bullet_count,
        state_hash=playbook.state_hash,
        revisions=dict(await twin.hive.overview(name)),
    )


def _provisional(twin: Twin, name: str) -> ProvisionalOut | None:
    shown = twin.hive.provisional(name)
    if shown is None:
        return None
    return ProvisionalOut(
        snapshot=str(shown.snapshot), author=shown.author, revisions=shown.revisions, fetched=shown.fetched
    )


async def _playbook(twin: Twin, name: str) -> PlaybookOut:
    playbook, tried = await twin.hive.view(name), await twin.hive.view_with_canaries(name)
    shown = await twin.hive.lessons(name)
    same = {lesson.bullet.id: [other.id for other in lesson.same] for lesson in shown}
    stands = {other: key for key, others in same.items() for other in others}
    return PlaybookOut(
        name=playbook.name,
        heads=sorted(str(cid) for cid in playbook.heads),
        version=playbook.height,
        bullets=[bullet_out(bullet, same.get(bullet.id, ()), stands.get(bullet.id)) for bullet in playbook.bullets],
        settings=dict(playbook.settings),
        tools=dict(playbook.tools),
        metrics={metric: metric_out(total) for metric, total in playbook.metrics.items()},
        templates=dict(playbook.templates),
        toml=render(playbook),
        state_hash=playbook.state_hash,
        canaries=[bullet_out(bullet) for bullet in tried.bullets if playbook.bullet(bullet.id) is None],
        provisional=_provisional(twin, name),
        revisions=dict(await twin.hive.overview(name)),
    )
