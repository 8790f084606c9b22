"""How the parts of messaging hang together: made here for a twin, and for the tests.

Bringing out and taking in need each other: what an HTTP server answers is taken in, and what is taken in is answered.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from identity.did import Did
from node.config import MailConfig
from node.ground import Ground
from node.http.outside import Outside
from node.messaging.answering import Answers
from node.messaging.composing import Composer
from node.messaging.courtesies import Courtesies
from node.messaging.delivery import Delivery
from node.messaging.dispatch import Dispatcher
from node.messaging.exchange import Exchange, Threads
from node.messaging.intake import Intake
from node.messaging.introductions import Introductions
from node.messaging.invitations import Invitations
from node.messaging.live import LiveRoutes
from node.messaging.packing import FromPriorFor, Packer
from node.messaging.post_office import PostOffice
from node.messaging.routes import Route, Routes
from node.messaging.transports import every_carrier
from node.messaging.transports.carrier import source_of_reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Messaging:
    """The parts that others use; `mail.run()` runs them all."""

    live: LiveRoutes
    routes: Routes
    dispatcher: Dispatcher
    delivery: Delivery
    composer: Composer
    answers: Answers
    intake: Intake
    introductions: Introductions
    threads: Threads
    exchange: Exchange
    mail: PostOffice
    invitations: Invitations
    courtesies: Courtesies


def assemble(
    ground: Ground,
    *,
    config: MailConfig,
    outside: Outside,
    addresses_of: Callable[[Did], Awaitable[Sequence[str]]],
    from_prior_for: FromPriorFor = lambda recipient: None,
    delivery_kind: type[Delivery] = Delivery,
) -> Messaging:
    """Every part of messaging; nothing runs yet. `addresses_of` finds where a twin announced itself."""
    own, resolver, database, events = ground.own, ground.resolver, ground.database, ground.events
    network, trust, now = ground.network, ground.trust, ground.now
    live, threads = LiveRoutes(now), Threads()

    async def take_reply(route: Route, packed: bytes) -> None:
        await intake.accept(source_of_reply(route), packed)

    routes = Routes(
        own=own.is_ours,
        network=network,
        database=database,
        resolver=resolver,
        live=live,
        trust=trust,
        addresses_of=addresses_of,
    )
    dispatcher = Dispatcher(
        routes=routes,
        carriers=every_carrier(network=network, live=live, outside=outside, on_reply=take_reply),
        packer=Packer(own=own, resolver=resolver, from_prior_for=from_prior_for),
        resolver=resolver,
        trust=trust,
        config=config,
        now=now,
    )
    delivery = delivery_kind(
        config=config, database=database, events=events, network=network, dispatcher=dispatcher, now=now
    )
    composer = Composer(own=own, config=config, now=now)
    answers = Answers(own=own, resolver=resolver, composer=composer, network=network, send_now=delivery.send_now)
    intake = Intake(
        own=own,
        resolver=resolver,
        database=database,
        events=events,
        trust=trust,
        live=live,
        threads=threads,
        answers=answers,
        delivery=delivery,
        now=now,
    )
    introductions = Introductions(own=own, resolver=resolver, database=database, network=network, trust=trust, now=now)
    mail = PostOffice(
        own=own,
        resolver=resolver,
        composer=composer,
        database=database,
        network=network,
        intake=intake,
        delivery=delivery,
        answers=answers,
        trust=trust,
        name_for=introductions.name_for,
        now=now,
    )
    invitations = Invitations(
        own=own,
        resolver=resolver,
        database=database,
        events=events,
        trust=trust,
        mail=mail,
        introductions=introductions,
        now=now,
    )
    intake.on_invited = invitations.use
    return Messaging(
        live=live,
        routes=routes,
        dispatcher=dispatcher,
        delivery=delivery,
        composer=composer,
        answers=answers,
        intake=intake,
        introductions=introductions,
        threads=threads,
        exchange=Exchange(
            composer=composer, threads=threads, send_now=delivery.send_now, name_for=introductions.name_for
        ),
        mail=mail,
        invitations=invitations,
        courtesies=Courtesies(intake, on_ping=introductions.learn),
    )
