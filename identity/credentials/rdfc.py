"""The canonical RDF form of a JSON-LD document (RDFC-1.0), made of documents that may be hostile.

Putting the blank nodes into canonical order is exponential in the worst case ("poison graphs", RDFC-1.0, section 7.1):
the nodes, the orders of those that look alike and the steps are counted and bounded.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from itertools import permutations
from typing import Any

from identity.credentials import bounds
from identity.credentials.errors import GraphTooComplex
from identity.credentials.jsonld import Contexts, Quad, quads_of


def canonical_nquads(document: Mapping[str, Any], contexts: Contexts) -> bytes:
    """The document as canonical N-Quads.

    Raises CredentialTooLarge, ContextUnknown, GraphTooComplex, or MalformedCredential if a part of it has no RDF form.
    """
    return _Canonical(quads_of(document, contexts)).nquads().encode()


class _Issuer:
    """Hands out identifiers in order (RDFC-1.0, section 4.5)."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.issued: dict[str, str] = {}

    def issue(self, node: str) -> str:
        return self.issued.setdefault(node, f"{self.prefix}{len(self.issued)}")

    def __copy__(self) -> "_Issuer":
        twin = _Issuer(self.prefix)
        twin.issued = dict(self.issued)
        return twin


class _Canonical:
    """One run of the canonicalization algorithm (RDFC-1.0, section 4.4) over a dataset."""

    def __init__(self, quads: Iterable[Quad]) -> None:
        self._quads = list(quads)
        self._of_node: dict[str, list[Quad]] = defaultdict(list)
        for quad in self._quads:
            for node in {term for term in quad if term.startswith("_:")}:
                self._of_node[node].append(quad)
        if len(self._of_node) > bounds.MAX_BLANK_NODES:
            raise GraphTooComplex(f"{len(self._of_node)} objects without an id; {bounds.MAX_BLANK_NODES} are allowed")
        self._first = {node: self._hash_first_degree(node) for node in self._of_node}
        self._issuer = _Issuer("_:c14n")
        self._steps = 0

    def nquads(self) -> str:
        by_hash: dict[str, list[str]] = defaultdict(list)
        for node, digest in self._first.items():
            by_hash[digest].append(node)
        alike = []
        for _, nodes in sorted(by_hash.items()):
            if len(nodes) == 1:
                self._issuer.issue(nodes[0])
            else:
                alike.append(nodes)
        for nodes in alike:
            paths: list[tuple[str, _Issuer]] = []
            for node in nodes:
                if node not in self._issuer.issued:
                    temporary = _Issuer("_:b")
                    temporary.issue(node)
                    paths.append(self._hash_n_degree(node, temporary))
            for _, issuer in sorted(paths, key=lambda path: path[0]):
                for node in issuer.issued:
                    self._issuer.issue(node)
        names = self._issuer.issued
        return "".join(sorted(_line(quad, lambda node: names[node]) for quad in self._quads))

    def _hash_first_degree(self, node: str) -> str:
        """RDFC-1.0, section 4.6.3."""
        lines = sorted(_line(quad, lambda other: "_:a" if other == node else "_:z") for quad in self._of_node[node])
        return _sha256("".join(lines))

    def _hash_related(self, related: str, quad: Quad, issuer: _Issuer, position: str) -> str:
        """RDFC-1.0, section 4.7.3."""
        name = self._issuer.issued.get(related) or issuer.issued.get(related) or self._first[related]
        return _sha256(position + ("" if position == "g" else quad[1]) + name)

    def _hash_n_degree(self, node: str, issuer: _Issuer) -> tuple[str, _Issuer]:
        """RDFC-1.0, section 4.8.3."""
        self._count_step()
        related: dict[str, list[str]] = defaultdict(list)
        for quad in self._of_node[node]:
            for position, term in (("s", quad[0]), ("o", quad[2]), ("g", quad[3])):
                if term.startswith("_:") and term != node:
                    related[self._hash_related(term, quad, issuer, position)].append(term)
        data = ""
        for digest, nodes in sorted(related.items()):
            if len(nodes) > bounds.MAX_PERMUTED:
                raise GraphTooComplex(f"{len(nodes)} objects without an id look alike")
            chosen_path, chosen_issuer = "", issuer
            for order in permutations(nodes):
                found = self._path(order, issuer, chosen_path)
                if found is not None and (not chosen_path or found[0] < chosen_path):
                    chosen_path, chosen_issuer = found
            data += digest + chosen_path
            issuer = chosen_issuer
        return _sha256(data), issuer

    def _path(self, order: tuple[str, ...], issuer: _Issuer, chosen: str) -> tuple[str, _Issuer] | None:
        """The path of one order of related nodes, or None once it cannot be the least."""
        self._count_step()
        issuer, path = copy(issuer), ""
        to_visit: list[str] = []
        for node in order:
            if node in self._issuer.issued:
                path += self._issuer.issued[node]
            else:
                if node not in issuer.issued:
                    to_visit.append(node)
                path += issuer.issue(node)
            if chosen and len(path) >= len(chosen) and path > chosen:
                return None
        for node in to_visit:
            digest, result = self._hash_n_degree(node, issuer)
            path += f"{issuer.issue(node)}<{digest}>"
            issuer = result
            if chosen and len(path) >= len(chosen) and path > chosen:
                return None
        return path, issuer

    def _count_step(self) -> None:
        self._steps += 1
        if self._steps > bounds.MAX_HASH_STEPS:
            raise GraphTooComplex("its objects without an id look so alike that their order takes too long to find")


def _line(quad: Quad, name: Callable[[str], str]) -> str:
    terms = [name(term) if term.startswith("_:") else term for term in quad if term]
    return " ".join(terms) + " .\n"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
