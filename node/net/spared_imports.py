"""Importing libp2p without the two HTTP clients that come with it.

Its certificate client imports `httpx` and `requests` for a service that is never used here; with what they import in
turn they cost 0.16 s and 5 MB of each start. This module must not import libp2p.
"""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

NEVER_USED: Final = ("httpx", "requests")


def spare_http_clients() -> None:
    """Let these modules be loaded at the first use of anything in them, which does not come.

    importlib.util.LazyLoader does not serve: in Python 3.11 a second `import` of a lazy module already loads it.
    """
    for name in NEVER_USED:
        spec = importlib.util.find_spec(name) if name not in sys.modules else None
        if spec is not None:
            sys.modules[name] = _Spared(spec)


class _Spared(ModuleType):
    """Stands for a module until something of it is used."""

    def __init__(self, spec: ModuleSpec) -> None:
        super().__init__(spec.name)
        self.__spec__ = spec
        self.__path__ = spec.submodule_search_locations or []

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), attribute)
