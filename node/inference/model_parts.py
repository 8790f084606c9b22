"""The models of one twin's own, put together: what is here, where they come from, and their sharing."""

from dataclasses import dataclass

from node.config import Config, load_config
from node.content.content import Content
from node.inference.catalog import Catalog
from node.inference.hub import Hub
from node.inference.local import LocalModel
from node.inference.proving import prove
from node.inference.sharing import Sharing
from node.inference.sources import Sources
from storage.database import Database
from storage.home import Home


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModels:
    """`model` answers; `catalog` brings, chooses and removes; `sharing` runs in the background."""

    model: LocalModel
    catalog: Catalog
    sharing: Sharing


def assemble_models(
    home: Home, config: Config, *, database: Database, model: LocalModel, content: Content
) -> LocalModels:
    """The parts over what was opened: nothing runs yet."""
    settings = config.inference
    hub = Hub(settings.hub, token_file=settings.hub_token_file, allow_private=config.network.allow_private_addresses)
    sharing = Sharing(database=database, content=content, on=settings.share_models)
    catalog = Catalog(
        folder=home.models,
        database=database,
        model=model,
        sources=Sources(hub=hub, content=content),
        # As config.toml says it: what was given on the command line holds for one run only.
        configured=lambda: load_config(home.config_toml).inference.model,
        prove=lambda file: prove(file, settings),
        on_news=sharing.look,
        on_removal=sharing.end,
    )
    return LocalModels(model=model, catalog=catalog, sharing=sharing)
