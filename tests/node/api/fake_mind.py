"""The parts of the mind that the interface reaches by themselves: the mood and the kill switch."""

from dataclasses import replace

from identity.did import Did
from node.errors import JobUnknown
from node.mind.errors import BuiltToolUnknown, JobUnderWay
from node.mind.ethics.kill_switch import Stop
from node.mind.jobs.jobs import Job
from node.mind.perceiving.emotion import EmotionState


class FakeEmotions:
    def __init__(self) -> None:
        self.state = EmotionState()

    def current(self) -> EmotionState:
        return self.state

    async def set(self, mood: str, activation_level: float) -> EmotionState:
        self.state = replace(self.state, mood=mood, activation_level=activation_level)
        return self.state


class FakeBuilder:
    """One tool was built: `area`."""

    def __init__(self) -> None:
        self.built = {"area"}

    async def remove(self, name: str) -> None:
        if name not in self.built:
            raise BuiltToolUnknown(f"no tool {name!r} was built here")
        self.built.discard(name)


class FakeClearing:
    """Over the list of jobs that the fake twin has."""

    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = jobs

    async def forget(self, job_id: str) -> int:
        for job in self.jobs:
            if job.id == job_id and not job.ended:
                raise JobUnderWay(f"the job {job_id} is {job.status}")
            if job.id == job_id:
                self.jobs.remove(job)
                return 1
        raise JobUnknown(f"no job {job_id}")

    async def forget_older(self, days: float) -> int:
        gone = [job for job in self.jobs if job.ended and days <= 1]
        self.jobs[:] = [job for job in self.jobs if job not in gone]
        return len(gone)


class FakeKillSwitch:
    def __init__(self, own: Did, now_ms: int) -> None:
        self.owners = (own,)
        self.stopped: tuple[Stop, ...] = ()
        self._now_ms = now_ms

    async def order(self, *, stops: bool, reason: str = "") -> tuple[Stop, ...]:
        self.stopped = (Stop(self.owners[0], reason, self._now_ms),) if stops else ()
        return self.stopped
