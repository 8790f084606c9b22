"""JSON-LD as RDF, through PyLD: exact for what is well-formed, refused for what PyLD would leave out in silence.

Terms that no context defines, relative IRIs and null have no place in RDF, so a signature would not cover them.
Contexts come from the caller, are taken to be constant, and none is fetched.
"""

import re
from collections.abc import Mapping
from functools import cache
from itertools import islice
from typing import Any, Final

from identity.credentials import bounds
from identity.credentials.errors import ContextUnknown, CredentialTooLarge, MalformedCredential
from identity.credentials.values import check_bounds, walk

Contexts = Mapping[str, Mapping[str, Any]]
"""JSON-LD context documents by their URL."""

Quad = tuple[str, str, str, str]
"""Subject, predicate, object and graph in N-Quads form; the graph is empty where it is the default one."""

_ALLOWED_KEYWORDS: Final = frozenset({"@context", "@id", "@type", "@value", "@language"})
_BASE: Final = "https://relative.invalid/"
"""What relative IRIs are resolved against, so that they are seen: PyLD's own base would make them look absolute."""

_MAX_KNOWN: Final = 256
"""Objects inside contexts, some 10 for each context."""

_XSD_STRING: Final = "http://www.w3.org/2001/XMLSchema#string"
_LANG_STRING: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#langString"
_IRI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x20<>\"{}|^`\\]*")
_BLANK: Final = re.compile(r"_:[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_-])?", re.ASCII)
_LANGUAGE: Final = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*", re.ASCII)
_TO_ESCAPE: Final = re.compile(r'[\x00-\x1f"\\\x7f]')
_ESCAPED: Final = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def quads_of(document: Mapping[str, Any], contexts: Contexts) -> set[Quad]:
    """The dataset of a document. Raises CredentialTooLarge, ContextUnknown or MalformedCredential."""
    check_bounds(document)
    if sum(1 for _ in islice(walk(document), bounds.MAX_RDF_VALUES + 1)) > bounds.MAX_RDF_VALUES:
        raise CredentialTooLarge(f"over {bounds.MAX_RDF_VALUES} values are not turned into RDF")
    _check_members(document, contexts)
    errors, processor, resolver = _pyld()
    try:
        dataset = processor(on_property_dropped=_refuse).to_rdf(
            document, {"contextResolver": resolver(contexts), "documentLoader": _never, "base": _BASE}
        )
    except errors as error:
        raise MalformedCredential(f"not JSON-LD that has an RDF form: {type(error).__name__}") from error
    return {
        (_term(one["subject"]), _term(one["predicate"]), _term(one["object"]), _name(graph))
        for graph, triples in dataset.items()
        for one in triples
    }


def check_names(document: Mapping[str, Any]) -> None:
    """Check that members have the names that contexts give them, as a reader of JSON looks for them.

    RDF is the same whether `credentialStatus` is written so or as an IRI, and `id` so or as a keyword: what is written
    otherwise would be signed and not be seen. Raises MalformedCredential.
    """
    for value in walk(document):
        if not isinstance(value, Mapping):
            continue
        for key in value:
            if ":" in key or key == "@id" or (key == "@type" and "@value" not in value):
                raise MalformedCredential(f"a member is called {key[:120]!r}, and would be signed without being seen")


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


def _refuse(_: str | None) -> None:
    raise MalformedCredential("a member that no context defines would not be signed")


def _never(url: str, _: object) -> Any:
    raise ContextUnknown(f"the context {url[:200]!r} is not kept here")


@cache
def _pyld() -> tuple[tuple[type[Exception], ...], Any, Any]:
    """PyLD's errors, its processor and its source of contexts, made here because loading it takes 0.2 s and most
    credentials never need it."""
    from cachetools import LRUCache
    from pyld import ContextResolver, jsonld

    class Processor(jsonld.JsonLdProcessor):  # type: ignore[misc]
        """Looks at the expanded form before RDF is made of it.

        What a context makes of the one that is active follows from the two. PyLD forgets it for the contexts of types,
        and would define their terms again for each object; here it is kept with the set of contexts.
        """

        def _process_context(self, active_ctx: Any, local_ctx: Any, options: Any, **more: Any) -> Any:
            if not isinstance(local_ctx, Mapping) or "_uuid" not in active_ctx or "cycles" in more:
                return super()._process_context(active_ctx, local_ctx, options, **more)
            made = options["contextResolver"].made
            key = (active_ctx["_uuid"], id(local_ctx), *more.items())
            if key not in made:
                if len(made) >= _MAX_KNOWN:
                    made.clear()
                made[key] = (local_ctx, super()._process_context(active_ctx, local_ctx, options, **more))
            return made[key][1]

        def expand(self, input_: Any, options: Any) -> Any:
            expanded = super().expand(input_, options)
            _check_expanded(expanded)
            return expanded

    class Resolver(ContextResolver):  # type: ignore[misc]
        """Gives the contexts of one set. PyLD knows an object among them again by its canonical JSON, which costs more
        than all else; here it is known by its identity, for these objects are constant and live as long as this."""

        def __init__(self, contexts: Contexts) -> None:
            super().__init__(LRUCache(maxsize=64), self._load)
            self.contexts = contexts
            self._known: dict[int, tuple[Any, Any]] = {}
            self.made: dict[Any, tuple[Any, Any]] = {}

        def resolve(self, active_ctx: Any, context: Any, base: Any, cycles: Any = None) -> Any:
            if not isinstance(context, Mapping):
                return super().resolve(active_ctx, context, base, cycles)
            known = self._known.get(id(context))
            if known is None or known[0] is not context:
                if len(self._known) >= _MAX_KNOWN:
                    self._known.clear()
                known = self._known[id(context)] = (context, super().resolve(active_ctx, context, base, cycles))
            return known[1]

        def _load(self, url: str, _: object) -> dict[str, Any]:
            if url not in self.contexts:
                _never(url, None)
            form = {"contentType": "application/ld+json", "contextUrl": None, "documentUrl": url, "tag": "static"}
            return {**form, "document": self.contexts[url]}

    made: dict[int, Resolver] = {}

    def resolver(contexts: Contexts) -> Resolver:
        """What was read of a set of contexts is kept for that set alone: a URL means what its set says."""
        found = made.get(id(contexts))
        if found is None or found.contexts is not contexts:
            if len(made) >= bounds.MAX_CONTEXTS:
                made.clear()
            found = made[id(contexts)] = Resolver(contexts)
        return found

    errors = (jsonld.JsonLdError, RecursionError, KeyError, TypeError, ValueError, AttributeError)
    return errors, Processor, resolver


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
