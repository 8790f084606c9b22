"""`pagi vc …` against a fake twin: what is printed, and the exit status."""

import json
from pathlib import Path

import pytest

from tests.node.cli.test_commands import SOMEBODY, Pagi

CLAIMS = json.dumps({"reputationScore": 0.75, "contributions": []})


@pytest.fixture
def pagi(running_home: Path, capsys: pytest.CaptureFixture[str]) -> Pagi:
    return Pagi(running_home, capsys)


def issued(pagi: Pagi, tmp_path: Path, *more: str, subject: str = SOMEBODY) -> Path:
    path = tmp_path / "vc.json"
    path.write_text(pagi("vc", "issue", "PAGIReputationCredential", subject, CLAIMS, *more))
    return path


def test_issue_verify_and_tamper(pagi: Pagi, tmp_path: Path) -> None:
    path = issued(pagi, tmp_path, "--days", "1", "--id", f"urn:x:{tmp_path.name}")
    document = json.loads(path.read_text())
    assert document["validUntil"]
    out = pagi("vc", "verify", str(path))
    assert "ok    signature" in out
    assert out.endswith("Valid.\n")
    document["credentialSubject"]["reputationScore"] = 1
    path.write_text(json.dumps(document))
    out = pagi("vc", "verify", str(path), status=1)
    assert "FAIL  signature" in out
    assert out.endswith("NOT valid.\n")
    assert "40165" in pagi.err
    assert pagi.json("vc", "verify", str(path), status=1)["valid"] is False


def test_claims_from_a_file_and_bad_ones(pagi: Pagi, tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    path.write_text(CLAIMS)
    evidence = tmp_path / "evidence.json"
    evidence.write_text('[{"type": ["Talk"]}]')
    made = pagi.json("vc", "issue", "PAGIReputationCredential", "me", str(path), "--evidence", str(evidence))
    assert made["evidence"] == [{"type": ["Talk"]}]
    pagi("vc", "issue", "PAGIReputationCredential", "me", "[]", status=1)
    pagi("vc", "issue", "PAGIReputationCredential", "me", "{", status=2)
    path.write_text("[]")
    pagi("vc", "issue", "PAGIReputationCredential", "me", str(path), status=2)
    path.write_text("{")
    pagi("vc", "verify", str(path), status=2)


def test_list_show_import_revoke(pagi: Pagi, tmp_path: Path) -> None:
    name = f"urn:x:{tmp_path.name}"
    path = issued(pagi, tmp_path, "--id", name)
    assert name in pagi("vc", "list", "--role", "issued", "--type", "PAGIReputationCredential")
    assert json.loads(pagi("vc", "show", name))["id"] == name
    assert "valid" in pagi.err
    assert pagi("vc", "revoke", name).startswith("Revoked ")
    assert pagi.json("vc", "show", name)["revoked"]
    assert "revoked" in pagi("vc", "list", "--limit", "1")
    assert pagi("vc", "import", str(path)).startswith("Kept PAGIReputationCredential")
    assert pagi.json("vc", "list", "--role", "held")["items"][0]["id"] == name
    pagi("vc", "show", "urn:x:none", status=1)
    assert "40465" not in pagi.err
    assert "pagi vc list" in pagi.err


def test_present(pagi: Pagi, tmp_path: Path) -> None:
    name = f"urn:x:{tmp_path.name}"
    file = issued(pagi, tmp_path, "--id", name, subject="me")
    vp = tmp_path / "vp.json"
    vp.write_text(pagi("vc", "present", name, str(file), "--challenge", "c-1", "--domain", "d"))
    out = pagi("vc", "verify", str(vp), "--challenge", "c-1", "--domain", "d")
    assert "credentials.1.binding" in out
    assert "FAIL  challenge" in pagi("vc", "verify", str(vp), "--challenge", "c-2", status=1)
