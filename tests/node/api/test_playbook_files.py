"""Import, export and the Git repository, over HTTP."""

import io
import json
import tomllib
from urllib.parse import urlencode

from fake_git import BRANCH, COMMIT
from fake_twin import FakeTwin
from serving import Client, with_server

from protocols import limits
from protocols.playbook.artifact import Artifact, read_document
from tests.protocols.playbook.test_file import ORIGINAL

IMPORT = "/v1/playbooks/import"
TOML = {"Content-Type": "application/toml"}


def test_the_original_form_goes_in_and_comes_out() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        status, dry, _headers = await client("POST", f"{IMPORT}?dry_run=true", data=ORIGINAL.encode(), headers=TOML)
        assert status == 200
        assert (dry["playbook"], dry["revisions"]) == ("common", [])
        assert dry["notes"] == ["seen.on: a date is kept as text"]
        assert {"op": "template", "name": "research", "body": ["planner", "searcher", "critic"]} in dry["ops"]
        assert (await client("GET", "/v1/playbooks/common"))[1]["version"] == 0
        taken = (await client("POST", f"{IMPORT}?critique=why+not", data=ORIGINAL.encode()))[1]
        assert taken["ops"] == dry["ops"]
        assert (len(taken["revisions"]), taken["critique"]) == (1, "why not")
        status, text, headers = await client("GET", "/v1/playbooks/common/export")
        assert (status, headers["Content-Type"]) == (200, "application/toml; charset=utf-8")
        exported, given = tomllib.loads(text.decode()), tomllib.loads(ORIGINAL)
        given["seen"][0]["on"] = "2026-11-05T07:30:00+00:00"
        assert exported.pop("version") == 1
        assert given.pop("version") == 5
        assert exported == given
        as_json = (await client("GET", "/v1/playbooks/common/export?form=json"))[1]
        assert as_json["tools"][0]["name"] == "system_monitor"
        again = (await client("POST", IMPORT, data=json.dumps(as_json).encode()))[1]
        assert (again["ops"], again["revisions"]) == ([], [])

    with_server(test)


def test_an_artifact_goes_out_and_in() -> None:
    async def test(client: Client, twin: FakeTwin) -> None:
        ops = [{"op": "add", "section": "s", "text": "Measure first."}]
        body = {"critique": "too hasty", "ops": ops}
        cid = (await client("POST", "/v1/playbooks/here/revisions", json=body))[1]["cid"]
        _, text, _ = await client("GET", f"/v1/playbooks/here/export?artifact={cid}")
        artifact = read_document(text.decode())
        assert isinstance(artifact, Artifact)
        assert (artifact.twin_id, artifact.critique, artifact.revisions) == (twin.did, "too hasty", (cid,))
        document = (await client("GET", f"/v1/playbooks/here/export?artifact={cid}&form=json"))[1]
        assert document["updated_playbook"]["bullets"][0]["text"] == "Measure first."
        document["updated_playbook"]["bullets"].append({"section": "s", "text": "Ask."})
        changed = json.dumps(document).encode()
        taken = (await client("POST", IMPORT, data=changed))[1]
        assert (taken["playbook"], taken["critique"]) == ("here", "too hasty")
        assert taken["ops"] == [{"op": "add", "section": "s", "text": "Ask.", "tags": []}]
        assert (await client("POST", f"{IMPORT}?name=other", data=changed))[1]["code"] == 40956
        assert (await client("GET", f"/v1/playbooks/other/export?artifact={cid}"))[1]["code"] == 40451
        assert (await client("GET", "/v1/playbooks/here/export?artifact=nonsense"))[1]["code"] == 40002
        assert (await client("GET", "/v1/playbooks/here/export?form=yaml"))[0] == 400

    with_server(test)


def test_many_changes_become_several_revisions_and_all_or_none_are_taken() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        bullets = [{"section": "s", "text": f"rule {n}"} for n in range(600)]
        taken = (await client("POST", IMPORT, data=json.dumps({"bullets": bullets}).encode()))[1]
        assert (len(taken["ops"]), len(taken["revisions"])) == (600, 3)
        more = [
            *bullets,
            *({"section": "t", "text": f"rule {n}"} for n in range(300)),
            {"section": "t", "text": "forbidden"},
        ]
        data = json.dumps({"bullets": more}).encode()
        for query in ("", "?dry_run=true"):
            assert (await client("POST", IMPORT + query, data=data))[1]["code"] == 40951
        assert (await client("GET", "/v1/playbooks/common"))[1]["version"] == 3
        assert len((await client("POST", f"{IMPORT}?anyway=true", data=data))[1]["revisions"]) == 2

    with_server(test)


def test_what_is_no_playbook_is_refused() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        for data in (b"a = ", b"[metrics]\nrate = 'high'", b'{"bullets": 5}', b"{"):
            status, problem, _headers = await client("POST", IMPORT, data=data)
            assert (status, problem["code"]) == (400, 40055), data
        assert (await client("POST", IMPORT, data=b"\xff"))[1]["code"] == 40010
        large = io.BytesIO(b"#" * (limits.MAX_PLAYBOOK_FILE_BYTES + 1))
        assert (await client("POST", IMPORT, data=large))[0] == 413
        assert (await client("POST", f"{IMPORT}?{urlencode({'name': 'No Name'})}", data=b""))[0] == 400
        assert (await client("POST", f"{IMPORT}?dry_run=perhaps", data=b""))[0] == 400
        assert (await client("GET", "/v1/playbooks/No%20Name/export"))[1]["code"] == 40010

    with_server(test)


def test_the_git_repository() -> None:
    async def test(client: Client, _: FakeTwin) -> None:
        first = (await client("POST", "/v1/playbooks/common/pull"))[1]
        assert (first["commit"], len(first["revisions"]), first["problems"]) == (COMMIT, 1, [])
        assert (await client("POST", "/v1/playbooks/common/pull"))[1]["problems"] == ["playbook.toml: not TOML"]
        pushed = (await client("POST", "/v1/playbooks/common/push"))[1]
        assert (pushed["branch"], pushed["commit"], len(pushed["revisions"])) == (BRANCH, COMMIT, 1)
        nothing = (await client("POST", "/v1/playbooks/common/push"))[1]
        assert nothing == {"branch": None, "commit": None, "revisions": []}
        status = (await client("GET", "/v1/playbooks/common/git"))[1]
        assert status == {
            "url": "https://git.example.org/hive",
            "base_branch": "main",
            "commit": COMMIT,
            "pulled": "1970-01-01T00:00:00.000Z",
            "problems": ["playbook.toml: not TOML"],
            "branch": BRANCH,
            "pushed": "1970-01-01T00:00:00.000Z",
            "failing": "nobody answers",
        }
        for method, path in (("POST", "pull"), ("POST", "push"), ("GET", "git")):
            assert (await client(method, f"/v1/playbooks/other/{path}"))[1]["code"] == 40954
            assert (await client(method, f"/v1/playbooks/No%20Name/{path}"))[1]["code"] == 40010

    with_server(test)
