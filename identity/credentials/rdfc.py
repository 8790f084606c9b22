"""The canonical RDF form of a JSON-LD document (RDFC-1.0), made of documents that may be hostile.

PyLD turns JSON-LD into RDF; what it would leave out in silence (terms that no context defines, relative IRIs, null) is
refused here, because it would not be signed. Putting the blank nodes into canonical order is exponential in the worst
case ("poison graphs", RDFC-1.0, section 7.1): the steps are counted and bounded. Contexts come from the caller.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from copy import copy
from itertools import islice, permutations
from typing import Any, Final

from identity.credentials import bounds
from identity.credentials.errors import (
    ContextUnknown,
    CredentialTooLarge,
    GraphTooComplex,
    MalformedCredential,
)
from identity.credentials.values import check_bounds, walk

Contexts = Mapping[str, Mapping[str, Any]]
"""JSON-LD context documents by their URL."""

Quad = tuple[str, str, str, str]
"""Subject, predicate, object and graph in N-Quads form; the graph is empty where it is the default one."""

_ALLOWED_KEYWORDS: Final = frozenset({"@context", "@id", "@type", "@value", "@language"})
_BASE: Final = "https://relative.invalid/"
"""What relative IRIs are resolved against, so that they are seen: PyLD's own base would make them look absolute."""

_XSD_STRING: Final = "http://www.w3.org/2001/XMLSchema#string"
_LANG_STRING: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#langString"
_IRI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x20<>\"{}|^`\\]*")
_BLANK: Final = re.compile(r"_:[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_-])?", re.ASCII)
_LANGUAGE: Final = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*", re.ASCII)
_TO_ESCAPE: Final = re.compile(r'[\x00-\x1f"\\\x7f]')
_ESCAPED: Final = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def canonical_nquads(document: Mapping[str, Any], contexts: Contexts) -> bytes:
    """The document as canonical N-Quads.

    Raises CredentialTooLarge, ContextUnknown, GraphTooComplex, or MalformedCredential if a part of it has no RDF form.
    """
    check_bounds(document)
    if sum(1 for _ in islice(walk(document), bounds.MAX_RDF_VALUES + 1)) > bounds.MAX_RDF_VALUES:
        raise CredentialTooLarge(f"over {bounds.MAX_RDF_VALUES} values are not turned into RDF")
    _check_members(document, contexts)
    return _Canonical(_quads(document, contexts)).nquads().encode()


def _check_members(document: Mapping[str, Any], contexts: Contexts) -> None:
    """Refuse what JSON-LD would drop or could be used to give members another meaning."""
    for value in walk(document):
        if value is None:
            raise MalformedCredential("null has no RDF form: it would not be signed")
        if not isinstance(value, Mapping):
            continue
        odd = next((key for key in value if key.startswith("@") and key not in _ALLOWED_KEYWORDS), None)
        if odd is not None:
            raise MalformedCredential(f"the keyword {odd[:32]!r} is not read here")
        named = value.get("@context", [])
        for url in named if isinstance(named, list) else [named]:
            if not isinstance(url, str):
                raise MalformedCredential("a context inside the document could give its members another meaning")
            if url not in contexts:
                raise ContextUnknown(f"the context {url[:200]!r} is not kept here")


def _quads(document: Mapping[str, Any], contexts: Contexts) -> set[Quad]:
    from pyld import jsonld  # here, because loading it takes 0.2 s and most credentials never need it

    def refuse(name: str | None) -> None:
        raise MalformedCredential("a member that no context defines would not be signed")

    def load(url: str, _: object) -> dict[str, Any]:
        if url not in contexts:
            raise ContextUnknown(f"the context {url[:200]!r} is not kept here")
        return {"contentType": "application/ld+json", "contextUrl": None, "documentUrl": url, "document": contexts[url]}

    options = {"documentLoader": load, "contextResolver": _resolver(contexts, load), "base": _BASE}
    try:
        expanded = jsonld.JsonLdProcessor(on_property_dropped=refuse).expand(document, dict(options))
        _check_expanded(expanded)
        dataset = jsonld.to_rdf(expanded, dict(options))
    except (jsonld.JsonLdError, RecursionError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedCredential(f"not JSON-LD that has an RDF form: {type(error).__name__}") from error
    return {
        (
            _term(one["subject"]),
            _term(one["predicate"]),
            _term(one["object"]),
            "" if name == "@default" else _name(name),
        )
        for name, triples in dataset.items()
        for one in triples
    }


_resolvers: dict[int, tuple[Contexts, Any]] = {}


def _resolver(contexts: Contexts, load: Any) -> Any:
    """What PyLD keeps of contexts it has read, for each set of contexts apart: a URL means what its set says."""
    from cachetools import LRUCache
    from pyld import ContextResolver

    kept = _resolvers.get(id(contexts))
    if kept is None or kept[0] is not contexts:
        if len(_resolvers) >= bounds.MAX_CONTEXTS:
            _resolvers.clear()
        kept = _resolvers[id(contexts)] = (contexts, LRUCache(maxsize=64))
    return ContextResolver(kept[1], load)


def _check_expanded(expanded: Any) -> None:
    """Every IRI is absolute and holds nothing that could end it early in N-Quads."""
    for value in walk(expanded):
        if not isinstance(value, Mapping):
            continue
        for key, member in value.items():
            if key in ("@id", "@type"):
                for iri in member if isinstance(member, list) else [member]:
                    if not _is_absolute(iri):
                        raise MalformedCredential("an id or a type that is not an absolute IRI would not be signed")
            elif key == "@language":
                if not isinstance(member, str) or not _LANGUAGE.fullmatch(member):
                    raise MalformedCredential("not a language tag")
            elif not key.startswith("@") and (not _IRI.fullmatch(key) or key.startswith(_BASE)):
                raise MalformedCredential("a member whose IRI is not absolute would not be signed")


def _is_absolute(iri: object) -> bool:
    if not isinstance(iri, str) or iri.startswith(_BASE):
        return False
    return iri == "@json" or bool(_IRI.fullmatch(iri) or _BLANK.fullmatch(iri))


def _term(term: Mapping[str, Any]) -> str:
    if term["type"] == "IRI":
        return f"<{term['value']}>"
    if term["type"] == "blank node":
        return str(term["value"])
    text = '"' + _TO_ESCAPE.sub(lambda match: _ESCAPED.get(match[0]) or f"\\u{ord(match[0]):04X}", term["value"]) + '"'
    if term["datatype"] == _LANG_STRING and term.get("language"):
        return f"{text}@{term['language']}"
    return text if term["datatype"] == _XSD_STRING else f"{text}^^<{term['datatype']}>"


def _name(graph: str) -> str:
    if graph == "@default":
        return ""
    return graph if graph.startswith("_:") else f"<{graph}>"


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


def _line(quad: Quad, name: Any) -> str:
    terms = [name(term) if term.startswith("_:") else term for term in quad if term]
    return " ".join(terms) + " .\n"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
