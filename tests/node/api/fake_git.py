"""A Git repository beside the playbook `common` that has one commit, and takes one push."""

from identity.cid import Cid
from node.errors import GitNotConfigured
from node.hive.git.record import Record
from node.hive.git.sync import GitStatus, Pulled, Pushed

COMMIT = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
BRANCH = "swarm/improvement/1700000000-x"


class FakeGit:
    def __init__(self, revision: Cid) -> None:
        self._revision = revision
        self.pulls = self.pushes = 0

    async def pull(self, playbook: str) -> Pulled:
        self._check(playbook)
        self.pulls += 1
        first = self.pulls == 1
        return Pulled(COMMIT, (self._revision,) if first else (), ("playbook.toml: not TOML",) if not first else ())

    async def push(self, playbook: str) -> Pushed | None:
        self._check(playbook)
        self.pushes += 1
        return Pushed(BRANCH, COMMIT, (self._revision,)) if self.pushes == 1 else None

    async def status(self, playbook: str) -> GitStatus:
        self._check(playbook)
        record = Record(commit=COMMIT, pulled_ms=0, problems=("playbook.toml: not TOML",), branch=BRANCH, pushed_ms=0)
        return GitStatus("https://git.example.org/hive", "main", record, "nobody answers")

    def _check(self, playbook: str) -> None:
        if playbook != "common":
            raise GitNotConfigured("the Git repository is for the playbook 'common'")
