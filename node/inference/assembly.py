"""The gateway and what it is made of, for one twin."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from identity.keys import KeyPair
from node.config import Config
from node.http.outside import Outside
from node.inference.embedder import Embedder
from node.inference.gateway import Gateway
from node.inference.governor import Governor
from node.inference.local import LocalModel
from node.inference.providers.registry import Providers
from node.inference.providers.remote import Times
from node.inference.providers.sealing import Sealer
from node.inference.telemetry import open_telemetry
from storage.database import Database

MAX_PARALLEL: Final = 32
"""Calls of one provider at once; further ones wait for their connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """What the rest of the node uses of inference."""

    gateway: Gateway
    providers: Providers
    governor: Governor
    embedder: Embedder


@asynccontextmanager
async def open_inference(
    config: Config, *, database: Database, local: LocalModel, keys: Sequence[KeyPair], embedder: Embedder
) -> AsyncIterator[Inference]:
    """The gateway over `local` and the providers in the database. `keys` are the twin's, the present one first."""
    # The owner names providers, so they may be on this machine or in its network, as Ollama and vLLM are.
    outside = Outside(allow_private=True, connections_per_host=MAX_PARALLEL)
    settings = config.inference
    times = Times(first_piece_s=settings.first_piece_s, stall_s=settings.stall_s, answer_s=settings.answer_s)
    providers = Providers(database, sealer=Sealer(keys), outside=outside, times=times)
    try:
        await providers.load()
        governor = await Governor.load(database, config.budget)
        async with open_telemetry(config.telemetry, service=config.name) as telemetry:
            gateway = Gateway(local, remotes=providers.in_order, governor=governor, telemetry=telemetry)
            yield Inference(gateway=gateway, providers=providers, governor=governor, embedder=embedder)
    finally:
        await outside.close()
