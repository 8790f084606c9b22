"""The mind's parts, made with explicit constructors over what the rest of the node gives. A list, like composition.py.

What stands before the mind in that list and needs it (the worker's answers, the trial of a playbook) is given a
function that looks it up when it is called.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from identity.did import Did
from identity.keys import KeyPair
from node.config import MindConfig
from node.gossip import Gossip
from node.ground import Ground
from node.hive.hive import Hive
from node.hive.retrieval import Retrieval
from node.inference.embedder import Embedder
from node.inference.engine import ModelSource
from node.memory.assembly import MemoryParts
from node.messaging.assembly import Messaging
from node.mind.acting import Acting
from node.mind.answered import TTL_S, Answered
from node.mind.answering.answering import Writer
from node.mind.answering.context import ContextBuilder
from node.mind.answering.conversing import Conversing
from node.mind.answering.responding import Responding
from node.mind.answering.telling import Telling
from node.mind.answering.voice import Voice
from node.mind.colleagues import Colleagues
from node.mind.deciding.building import Builder
from node.mind.deciding.deciding import Decider
from node.mind.deciding.decomposition import Decomposer
from node.mind.deciding.router import Router, skills_from
from node.mind.deciding.teams import Teams
from node.mind.ethics.gate import Ethics
from node.mind.ethics.kill_switch import KillSwitch
from node.mind.ethics.while_allowed import WhileAllowed
from node.mind.executive import Executive
from node.mind.jobs.afterwards import Afterwards
from node.mind.jobs.answer_leave import AnswerLeave
from node.mind.jobs.approvals import Approvals
from node.mind.jobs.clearing import Clearing
from node.mind.jobs.ending import Ending
from node.mind.jobs.following import Followers
from node.mind.jobs.jobs import Jobs
from node.mind.jobs.permitting import Permitting
from node.mind.jobs.record import Record
from node.mind.learning.guiding import Guiding
from node.mind.learning.learning import Learning
from node.mind.learning.own_lessons import OwnLessons
from node.mind.learning.proposing import Proposing
from node.mind.learning.reflection import reflect
from node.mind.learning.trying import Trying
from node.mind.meta.assembly import MetaParts, assemble_meta
from node.mind.meta.tuning import Tuning
from node.mind.perceiving.emotion import Emotions
from node.mind.pursuing import Pursuing
from node.reputation.reputation import Reputation
from node.supervisor import Part
from node.swarm import Directory
from node.tasks.requester import Requester
from plugins.host import PluginHost
from protocols.fleet import ORDERS


@dataclass(frozen=True, slots=True, kw_only=True)
class MindParts:
    """What the rest of the node uses of the mind; `running` are those with work of their own."""

    colleagues: Colleagues
    trying: Trying
    jobs: Jobs
    clearing: Clearing
    approvals: Approvals
    learning: Learning
    proposing: Proposing
    ethics: Ethics
    emotions: Emotions
    kill_switch: KillSwitch
    voice: Voice
    router: Router
    builder: Builder
    answered: Answered
    executive: Executive
    tuning: Tuning
    meta: MetaParts
    running: tuple[Part, ...]

    async def load(self) -> None:
        """Know what was before: to be called once, before anything runs."""
        await self.emotions.load()
        await self.kill_switch.load()
        await self.builder.load()
        await self.tuning.load()


def assemble_mind(
    ground: Ground,
    config: MindConfig,
    *,
    keys: KeyPair,
    name: str,
    model: ModelSource,
    embedder: Embedder,
    retrieval: Retrieval,
    memory: MemoryParts,
    messaging: Messaging,
    gossip: Gossip,
    current: Callable[[Did], Did],
    directory: Directory,
    hive: Hive,
    reputation: Reputation,
    requester: Requester,
    tools: PluginHost,
    exports: Path,
) -> MindParts:
    """Every part of the mind; nothing runs yet. `exports` is the folder for traces of jobs. `current` gives the name
    that a twin has now for any that it had."""
    database, events, now = ground.database, ground.events, ground.now
    writer, voice, jobs = Writer(model, events), Voice(name, memory.memory), Jobs(database, now)
    approvals = Approvals(
        own=ground.own.did,
        sign=keys.sign,
        database=database,
        events=events,
        ttl_s=config.approval_ttl_s,
        now=now,
    )
    tuning = Tuning(database)
    own_lessons = OwnLessons(memory.memory, ground.own.did)
    guiding = Guiding(
        playbooks=hive,
        retrieval=retrieval,
        trust=ground.trust,
        tokens=config.playbook_tokens,
        usual=config.playbook,
        own_lessons=own_lessons,
        blend=tuning.blend,
        trial=tuning.trial,
    )
    learning = Learning(
        database=database,
        playbooks=hive,
        guiding=guiding,
        usual=config.playbook,
        share=config.share_lessons,
        now=now,
    )
    kill_switch = KillSwitch(
        own=ground.own,
        owners=config.owners,
        current=current,
        database=database,
        events=events,
        gossip=gossip,
        trust=ground.trust,
        composer=messaging.composer,
        wake=messaging.delivery.wake,
        now=now,
    )
    trying = Trying(
        database=database,
        recall=memory.recall,
        model=model,
        writer=writer,
        tools=tools,
        recall_items=config.recall_items,
        check=kill_switch.check,
    )
    proposing = Proposing(
        database=database,
        model=model,
        embedder=embedder,
        playbooks=hive,
        learning=learning,
        own_lessons=own_lessons,
        attempt=trying.attempt,
    )
    ethics = Ethics(
        red_lines=hive.red_lines,
        settings=lambda: _settings(hive, config.playbook),
        embedder=embedder,
        model=model,
        events=events,
        harmless=tuning.harmless,
    )
    emotions = Emotions(database, events, now=now)
    for order in ORDERS:
        messaging.intake.answer(order, kill_switch.on_message, strangers=True)
    tools.check = requester.check = kill_switch.check
    contexts = ContextBuilder(ground.own.did, memory.namespaces)
    colleagues = Colleagues(
        own=ground.own.did,
        directory=directory,
        trust=ground.trust,
        mail=messaging.mail,
        recall=memory.recall,
        embedder=embedder,
        telling=Telling(name, contexts=contexts, writer=writer, model=model, ethics=ethics, check=kill_switch.check),
        recall_items=config.recall_items,
        leave=AnswerLeave(approvals, database),
        shifted=tuning.shifted_share,
    )
    router, builder = Router(embedder, skills_from(tools.plugins)), Builder(database, tools, now)
    answered = Answered(database=database, embedder=embedder, trust=ground.trust, now=now)
    decomposer = Decomposer(model, max_depth=config.max_depth)
    meta = assemble_meta(
        ground,
        config,
        tuning=tuning,
        hive=hive,
        guiding=guiding,
        model=model,
        attempt=trying.attempt,
        reputation=reputation,
        exports=exports,
        check=kill_switch.check,
        now=now,
    )

    decider = Decider(model=model, router=router, decomposer=decomposer, refusal=builder.refusal)

    async def templates() -> Mapping[str, Any]:
        return (await hive.view(config.playbook)).templates

    teams = Teams(own=ground.own.did, directory=directory, trust=ground.trust, embedder=embedder, templates=templates)
    followers = Followers()
    record = Record(jobs, followers, events)
    conversing = Conversing(jobs=jobs, working=memory.working, noticing=memory.noticing, events=events)
    acting = Acting(
        config=config,
        recall=memory.recall,
        tools=tools,
        colleagues=colleagues,
        learning=learning,
        hive=hive,
        requester=requester,
        builder=builder,
        answered=answered,
    )
    responding = Responding(
        model=model,
        writer=writer,
        contexts=contexts,
        voice=voice,
        learning=learning,
        decomposer=decomposer,
    )
    ending = Ending(
        config=config,
        jobs=jobs,
        record=record,
        responding=responding,
        conversing=conversing,
        approvals=approvals,
        learning=learning,
        reputation=reputation,
        emotions=emotions,
        model=model,
        events=events,
    )
    pursuing = Pursuing(
        jobs=jobs,
        record=record,
        approvals=approvals,
        permitting=Permitting(jobs, approvals, record),
        acting=acting,
        decider=decider,
        teams=teams,
        ending=ending,
        conversing=conversing,
        ethics=ethics,
        emotions=emotions,
        kill_switch=kill_switch,
        tools=tools,
        max_depth=config.max_depth,
        now=now,
    )

    def use_tuning() -> None:
        answered.ttl_s = tuning.get("answered_ttl_s") or TTL_S
        decomposer.max_depth = pursuing.max_depth = max(config.max_depth, tuning.get("max_depth") or 0)

    tuning.on_change(use_tuning)
    memory.forgetting.then(tuning.load)
    afterwards = Afterwards(config=config, jobs=jobs, conversing=conversing, hive=hive, reflects=reflect)
    executive = Executive(
        jobs=jobs,
        approvals=approvals,
        followers=followers,
        pursuing=pursuing,
        afterwards=afterwards,
        acting=acting,
        decider=decider,
        kill_switch=kill_switch,
        tools=tools,
        events=events,
        record=record,
        at_once=config.jobs_at_once,
    )
    learns = (learning, proposing, meta.learner) if config.reflect else (meta.learner,)
    return MindParts(
        colleagues=colleagues,
        trying=trying,
        jobs=jobs,
        clearing=Clearing(jobs, memory.forgetting, now),
        approvals=approvals,
        learning=learning,
        proposing=proposing,
        ethics=ethics,
        emotions=emotions,
        kill_switch=kill_switch,
        voice=voice,
        router=router,
        builder=builder,
        answered=answered,
        executive=executive,
        tuning=tuning,
        meta=meta,
        running=(
            executive,
            *(WhileAllowed(one, kill_switch) for one in learns),
            kill_switch,
        ),
    )


async def _settings(hive: Hive, playbook: str) -> Mapping[str, object]:
    return (await hive.view(playbook)).settings
