"""Which model file a command uses, fetched first if it is the bundled one and not here yet."""

import asyncio
from pathlib import Path

from identity.errors import PagiError
from node.cli.output import remark
from node.cli.progress import bytes_progress
from node.inference.choice import chosen_model
from node.inference.errors import ModelMissing
from node.inference.models import ensure_bundled


def starting_model(models: Path, configured: str) -> Path | None:
    """The file of the model that was chosen with `pagi model use`, or of the configured one; None for none.

    Raises ModelMissing for a configured file that is not there. One that was chosen and is gone is said, no more.
    """
    choice = chosen_model(models, configured)
    if choice not in (configured, "bundled", "none") and not Path(choice).is_file():
        remark(
            f"The chosen model {choice} is gone, so the configured one is used. `pagi model list` shows what is here."
        )
        choice = configured
    return model_path(choice)


def model_path(choice: str) -> Path | None:
    """The file of `bundled`, of `none` or of a path. Raises ModelMissing for a file that was named and is not there.

    The bundled one is a convenience: where it cannot be had there is none, and that is said.
    """
    if choice == "none":
        return None
    if choice != "bundled":
        path = Path(choice).expanduser().absolute()
        if not path.is_file():
            raise ModelMissing(f"there is no model file {path}")
        return path
    try:
        return asyncio.run(ensure_bundled(bytes_progress("Fetching the bundled model")))
    except PagiError as error:
        remark(f"DEGRADED: without a model answers only quote what is remembered: {error}. {error.hint}")
        return None
