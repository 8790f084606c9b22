"""Every error that a person may see has a code of its own, an HTTP status inside it, and a hint (STYLE.md, Errors)."""

import importlib
import pkgutil
from collections import defaultdict

from identity.errors import PagiError

ROOMS = ("identity", "protocols", "storage", "plugins", "node", "bootstrap")


def _all_errors() -> set[type[PagiError]]:
    for room in ROOMS:
        package = importlib.import_module(room)
        for module in pkgutil.walk_packages(package.__path__, f"{room}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found: set[type[PagiError]] = set()
    to_visit = [PagiError]
    while to_visit:
        kind = to_visit.pop()
        found.add(kind)
        to_visit.extend(kind.__subclasses__())
    return {kind for kind in found if kind.__module__.partition(".")[0] in ROOMS}


def test_codes_are_unique_and_carry_a_status() -> None:
    by_code = defaultdict(list)
    for kind in _all_errors():
        if "code" in vars(kind):
            by_code[kind.code].append(f"{kind.__module__}.{kind.__name__}")
    assert len(by_code) > 50
    assert {code: kinds for code, kinds in by_code.items() if len(kinds) > 1} == {}
    assert [code for code in by_code if not 400 <= code // 100 <= 599] == []


def test_each_error_has_a_hint_in_one_line() -> None:
    assert [kind.__name__ for kind in _all_errors() if not kind.hint.strip() or "\n" in kind.hint] == []
