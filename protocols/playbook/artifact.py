"""Refinement artifacts: `{twin_id, critique, updated_playbook}`, the form in which people review what a twin learnt.

As TOML (`swarm_artifacts/{id}.toml` of a Git repository) and as JSON. `updated_playbook` is a whole playbook.toml, as a
table or as text. Ours also say which `playbook` it is and which `revisions` led to it; readers pass over what they do
not know.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from identity.cid import Cid
from identity.did import Did
from protocols import fields, limits
from protocols.errors import MalformedMessage
from protocols.jsonguard import parse_json
from protocols.playbook.file import PlaybookFile, parse, parse_toml, read_tables
from protocols.playbook.merge import Playbook
from protocols.playbook.revision import parse_name
from protocols.playbook.toml import render, render_values

Form = Literal["toml", "json"]

_UPDATED: Final = "updated_playbook"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A refinement artifact. `twin_id` is whatever its maker calls itself, and proves nothing.

    `revisions` are the CIDs, as text, of the revisions that it shows, and `playbook` their playbook, where it says so.
    """

    twin_id: str
    critique: str
    updated_playbook: PlaybookFile
    playbook: str | None = None
    revisions: tuple[str, ...] = ()


def write_artifact(
    playbook: Playbook, *, twin: Did, critique: str, revisions: Sequence[Cid] = (), form: Form = "toml"
) -> str:
    """The artifact that shows `playbook` as it is after `revisions`; text that ends with a line feed."""
    head = {
        "twin_id": twin,
        "critique": fields.clean_and_cut(critique, limits.MAX_TEXT_BYTES),
        "playbook": playbook.name,
        "revisions": [str(cid) for cid in revisions],
    }
    text = render_values(head) + "\n" + render(playbook, under=_UPDATED)
    return text if form == "toml" else as_json(text)


def as_json(toml: str) -> str:
    """TOML text of ours as JSON; text that ends with a line feed."""
    return json.dumps(tomllib.loads(toml), ensure_ascii=False, indent=2) + "\n"


def read_document(text: str) -> Artifact | PlaybookFile:
    """Read an artifact or a playbook.toml, in TOML or JSON. Raises RemoteProtocolError as `parse` does."""
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        document = fields.mapping(
            parse_json(
                text.removeprefix("\ufeff").encode(errors="surrogatepass"),
                max_bytes=limits.MAX_PLAYBOOK_FILE_BYTES,
                max_depth=limits.MAX_PLAYBOOK_FILE_DEPTH,
            ),
            "document",
        )
    else:
        document = parse_toml(text)
    return _artifact(document) if _UPDATED in document else read_tables(document)


def _artifact(document: Mapping[str, object]) -> Artifact:
    updated = document[_UPDATED]
    if isinstance(updated, str):
        file = parse(updated)
    elif isinstance(updated, Mapping):
        file = read_tables(fields.mapping(updated, _UPDATED))
    else:
        raise MalformedMessage(f"{_UPDATED!r} is neither a table nor text")
    critique = document.get("critique", "")
    if not isinstance(critique, str):
        raise MalformedMessage("'critique' is not text")
    playbook = document.get("playbook")
    return Artifact(
        twin_id=fields.line(document.get("twin_id"), "twin_id", limits.MAX_ID_CHARS),
        critique=fields.clean_and_cut(critique, limits.MAX_TEXT_BYTES),
        updated_playbook=file,
        playbook=None if playbook is None else parse_name(playbook),
        revisions=fields.lines(document.get("revisions", []), "revisions", limits.MAX_FILE_OPS, limits.MAX_ID_CHARS),
    )
