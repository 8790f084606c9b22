"""Playbooks as files, and the Git repository beside one."""

from typing import Annotated, Final, Literal

from aiohttp import web
from pydantic import Field

from identity.cid import Cid
from node.api.errors import InvalidRequest
from node.api.router import Routes, read_bytes
from node.api.wire import JsonObject, Query, Wire
from node.clock import rfc3339
from node.hive.files import artifact_of, take_file
from node.twin import Twin
from protocols import limits
from protocols.errors import RemoteProtocolError
from protocols.playbook.artifact import as_json
from protocols.playbook.revision import parse_name
from protocols.playbook.toml import render

routes = Routes("playbooks")

TOML: Final = "application/toml"
JSON: Final = "application/json"

Name = Annotated[str, Field(min_length=1, max_length=64)]


class ImportQuery(Query):
    """`name` is the playbook: without it the one that an artifact names, or `common`. A dry run changes nothing."""

    name: Name | None = None
    critique: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    dry_run: bool = False
    anyway: bool = False


class ExportQuery(Query):
    """`artifact` is the CID of a revision, to have it as a refinement artifact."""

    artifact: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    form: Literal["toml", "json"] = "toml"


class Imported(Wire):
    """`ops` make the playbook say what the file says; `revisions` are those that say them, none after a dry run.

    `notes` say what was read otherwise than it stands in the file.
    """

    playbook: str
    critique: str
    ops: list[JsonObject]
    notes: list[str]
    revisions: list[str]


class PulledOut(Wire):
    """`problems` say what of the commit was not taken, and why."""

    commit: str
    revisions: list[str]
    problems: list[str]


class PushedOut(Wire):
    """`branch` is null if there was nothing new; `commit` is null if the branch was there already."""

    branch: str | None
    commit: str | None
    revisions: list[str]


class GitOut(Wire):
    """The repository beside a playbook. `failing` is why the last attempt failed, null if it did not."""

    url: str
    base_branch: str
    commit: str | None
    pulled: str | None
    problems: list[str]
    branch: str | None
    pushed: str | None
    failing: str | None


@routes.add("POST", "/v1/playbooks/import", "Take a playbook.toml or a refinement artifact in.", consumes=(TOML, JSON))
async def import_file(twin: Twin, request: web.Request, query: ImportQuery) -> Imported:
    data = await read_bytes(request, limits.MAX_PLAYBOOK_FILE_BYTES)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest("body: not UTF-8 text") from error
    name = None if query.name is None else _known_as(query.name)
    taken = await take_file(
        twin.hive, text, name=name, critique=query.critique, dry_run=query.dry_run, anyway=query.anyway
    )
    return Imported(
        playbook=taken.playbook,
        critique=taken.critique,
        ops=[dict(op) for op in taken.ops],
        notes=list(taken.notes),
        revisions=[str(cid) for cid in taken.revisions],
    )


@routes.add("GET", "/v1/playbooks/{name}/export", "The playbook, or one revision's artifact, as a file.", produces=TOML)
async def export_file(twin: Twin, name: str, query: ExportQuery) -> web.StreamResponse:
    name = _known_as(name)
    if query.artifact is not None:
        text = await artifact_of(twin.hive, name, Cid.parse(query.artifact), query.form)
    else:
        text = render(await twin.hive.view(name))
        text = as_json(text) if query.form == "json" else text
    return web.Response(body=text.encode(), content_type=TOML if query.form == "toml" else JSON, charset="utf-8")


@routes.add("GET", "/v1/playbooks/{name}/git", "How the Git repository beside the playbook is doing.")
async def git_status(twin: Twin, name: str) -> GitOut:
    status = await twin.git.status(_known_as(name))
    record = status.record
    return GitOut(
        url=status.url,
        base_branch=status.base_branch,
        commit=record.commit,
        pulled=None if record.pulled_ms is None else rfc3339(record.pulled_ms),
        problems=list(record.problems),
        branch=record.branch,
        pushed=None if record.pushed_ms is None else rfc3339(record.pushed_ms),
        failing=status.failing,
    )


@routes.add("POST", "/v1/playbooks/{name}/pull", "Take in what people merged in the Git repository.")
async def pull(twin: Twin, name: str) -> PulledOut:
    pulled = await twin.git.pull(_known_as(name))
    revisions = [str(cid) for cid in pulled.revisions]
    return PulledOut(commit=pulled.commit, revisions=revisions, problems=list(pulled.problems))


@routes.add("POST", "/v1/playbooks/{name}/push", "Push what this twin learnt to the Git repository for review.")
async def push(twin: Twin, name: str) -> PushedOut:
    pushed = await twin.git.push(_known_as(name))
    if pushed is None:
        return PushedOut(branch=None, commit=None, revisions=[])
    revisions = [str(cid) for cid in pushed.revisions]
    return PushedOut(branch=pushed.branch, commit=pushed.commit, revisions=revisions)


def _known_as(name: str) -> str:
    """The name of a playbook as the owner gave it. Raises InvalidRequest."""
    try:
        return parse_name(name)
    except RemoteProtocolError as error:
        raise InvalidRequest(f"name: {error}") from error
