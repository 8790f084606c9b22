"""Credentials and presentations of VCDM 2.0: made, and read strictly. VCDM 1.1 is read where only its names differ.

Reading checks the shape and the bounds, not the truth: signatures, times and status are the work of `verify`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from identity.credentials import bounds
from identity.credentials.contexts import (
    CREDENTIALS_V1,
    CREDENTIALS_V2,
    PAGI_V1,
    UNDEFINED_TERMS_V2,
    known_contexts,
)
from identity.credentials.errors import ClaimsRefused, ContextUnknown, MalformedCredential, SchemaMismatch
from identity.credentials.jsonld import Contexts
from identity.credentials.schemas import OURS, check_schema, schema_url
from identity.credentials.values import as_list, check_bounds, mapping, objects, text, time_text, timestamp, walk
from identity.did import Did

Version = Literal["2.0", "1.1"]
VC: Final = "VerifiableCredential"
VP: Final = "VerifiablePresentation"
ENVELOPED: Final = "EnvelopedVerifiableCredential"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A credential as it was read. Times are Unix seconds; a subject without an id is None."""

    document: Mapping[str, Any]
    version: Version
    id: str | None
    types: tuple[str, ...]
    issuer: str
    subjects: tuple[str | None, ...]
    valid_from_s: float | None
    valid_until_s: float | None
    statuses: tuple[Mapping[str, Any], ...]
    schemas: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """A presentation as it was read. A credential in it is a document, or a JWT as text."""

    document: Mapping[str, Any]
    version: Version
    holder: str | None
    credentials: tuple[Mapping[str, Any] | str, ...]


def build_credential(
    *,
    types: Sequence[str],
    issuer: Did,
    subject: str | None,
    claims: Mapping[str, Any],
    credential_id: str,
    valid_from_s: float,
    valid_until_s: float | None = None,
    status: Mapping[str, Any] | None = None,
    evidence: Sequence[Mapping[str, Any]] = (),
    contexts: Sequence[str] = (),
) -> dict[str, Any]:
    """A credential without a proof. Contexts and schema follow from the types; what is not ours, a type or a piece of
    evidence, has the context of undefined terms unless `contexts` name others.

    Raises ClaimsRefused if the claims do not fit the type, ContextUnknown, MalformedCredential, CredentialTooLarge.
    """
    if "id" in claims:
        raise ClaimsRefused("'id' is the subject, not a claim")
    ours = [kind for kind in types if kind in OURS]
    defined = set(types) <= set(OURS) and not evidence
    added = list(contexts) or ([] if defined else [UNDEFINED_TERMS_V2])
    document: dict[str, Any] = {
        "@context": list(dict.fromkeys([CREDENTIALS_V2, *([PAGI_V1] if ours else []), *added])),
        "id": credential_id,
        "type": [VC, *(kind for kind in types if kind != VC)],
        "issuer": issuer,
        "validFrom": time_text(valid_from_s),
    }
    if valid_until_s is not None:
        document["validUntil"] = time_text(valid_until_s)
    document["credentialSubject"] = {**({"id": subject} if subject is not None else {}), **claims}
    if status is not None:
        document["credentialStatus"] = dict(status)
    schemas = [{"id": schema_url(kind), "type": "JsonSchema"} for kind in ours]
    if schemas:
        document["credentialSchema"] = schemas[0] if len(schemas) == 1 else schemas
    if evidence:
        document["evidence"] = [dict(piece) for piece in evidence]
    read_credential(document)
    check_contexts(document)
    try:
        for schema in schemas:
            check_schema(document, str(schema["id"]))
    except SchemaMismatch as error:
        raise ClaimsRefused(str(error)) from error
    return document


def build_presentation(
    *, holder: Did, credentials: Sequence[Mapping[str, Any] | str], presentation_id: str
) -> dict[str, Any]:
    """A presentation without a proof; a credential that is a JWT is put into an envelope (VCDM 2.0, section 4.13)."""
    if not 1 <= len(credentials) <= bounds.MAX_PRESENTED:
        raise MalformedCredential(f"a presentation holds 1 to {bounds.MAX_PRESENTED} credentials")
    document: dict[str, Any] = {
        "@context": [CREDENTIALS_V2],
        "id": presentation_id,
        "type": [VP],
        "holder": holder,
        "verifiableCredential": [enveloped(one) if isinstance(one, str) else dict(one) for one in credentials],
    }
    check_bounds(document)
    return document


def read_credential(document: object) -> Credential:
    """Read a credential. Raises CredentialTooLarge or MalformedCredential."""
    check_bounds(document)
    credential = mapping(document, "credential")
    version = _version(credential)
    types = _types(credential, VC)
    first, last = ("validFrom", "validUntil") if version == "2.0" else ("issuanceDate", "expirationDate")
    if version == "1.1" and first not in credential:
        raise MalformedCredential("'issuanceDate' is missing")
    subjects = objects(credential.get("credentialSubject"), "credentialSubject", bounds.MAX_SUBJECTS)
    if not subjects or not all(subjects):
        raise MalformedCredential("'credentialSubject' claims nothing")
    return Credential(
        document=credential,
        version=version,
        id=_optional_id(credential),
        types=types,
        issuer=_issuer(credential),
        subjects=tuple(_optional_id(subject) for subject in subjects),
        valid_from_s=timestamp(credential[first], first) if first in credential else None,
        valid_until_s=timestamp(credential[last], last) if last in credential else None,
        statuses=tuple(_typed(credential, "credentialStatus", bounds.MAX_STATUSES)),
        schemas=tuple(_typed(credential, "credentialSchema", bounds.MAX_SCHEMAS)),
    )


def read_presentation(document: object) -> Presentation:
    """Read a presentation. Raises CredentialTooLarge or MalformedCredential."""
    check_bounds(document)
    presentation = mapping(document, "presentation")
    version = _version(presentation)
    _types(presentation, VP)
    credentials = as_list(presentation.get("verifiableCredential"))
    if len(credentials) > bounds.MAX_PRESENTED:
        raise MalformedCredential(f"a presentation holds at most {bounds.MAX_PRESENTED} credentials")
    holder = presentation.get("holder")
    if isinstance(holder, dict):
        holder = holder.get("id")
    return Presentation(
        document=presentation,
        version=version,
        holder=None if holder is None else text(holder, "holder"),
        credentials=tuple(_presented(one) for one in credentials),
    )


def is_presentation(document: object) -> bool:
    """Whether a document says that it is a presentation."""
    return isinstance(document, dict) and VP in as_list(document.get("type"))


def check_contexts(document: Mapping[str, Any], contexts: Contexts | None = None) -> None:
    """Check that every context is known here, in its right order, and that none is defined inside the document.

    Raises ContextUnknown or MalformedCredential. The contexts of credentials in a presentation are checked with them.
    """
    known = known_contexts() if contexts is None else contexts
    for url in _contexts(document):
        if not isinstance(url, str):
            raise MalformedCredential("a context defined in the document could give its members another meaning")
        if url not in known:
            raise ContextUnknown(f"the context {url[:200]!r} is not kept here")
    members = [value for name, value in document.items() if name not in ("@context", "proof", "verifiableCredential")]
    if any(isinstance(value, dict) and "@context" in value for value in walk(members)):
        raise MalformedCredential("a context inside a member could give it another meaning")


def _contexts(document: Mapping[str, Any]) -> list[Any]:
    contexts = as_list(document.get("@context"))
    if not 1 <= len(contexts) <= bounds.MAX_CONTEXTS:
        raise MalformedCredential(f"'@context' names 1 to {bounds.MAX_CONTEXTS} contexts")
    return contexts


def _version(document: Mapping[str, Any]) -> Version:
    first = _contexts(document)[0]
    if first == CREDENTIALS_V2:
        return "2.0"
    if first == CREDENTIALS_V1:
        return "1.1"
    raise MalformedCredential(f"the first context must be {CREDENTIALS_V2} (or {CREDENTIALS_V1})")


def _types(document: Mapping[str, Any], wanted: str) -> tuple[str, ...]:
    types = as_list(document.get("type"))
    if len(types) > bounds.MAX_TYPES or wanted not in types:
        raise MalformedCredential(f"'type' must name {wanted}, and at most {bounds.MAX_TYPES} types")
    return tuple(text(one, "type", bounds.MAX_LABEL_CHARS) for one in types)


def _issuer(credential: Mapping[str, Any]) -> str:
    issuer = credential.get("issuer")
    return text(issuer.get("id") if isinstance(issuer, dict) else issuer, "issuer")


def _optional_id(document: Mapping[str, Any]) -> str | None:
    return text(document["id"], "id") if "id" in document else None


def _typed(credential: Mapping[str, Any], name: str, most: int) -> list[dict[str, Any]]:
    entries = objects(credential.get(name), name, most)
    for entry in entries:
        text(entry.get("type"), f"{name}.type", bounds.MAX_LABEL_CHARS)
    return entries


def _presented(one: Any) -> Mapping[str, Any] | str:
    if isinstance(one, str):
        return one  # VCDM 1.1 put JWTs here as they are
    return out_of_envelope(mapping(one, "verifiableCredential"))


def out_of_envelope(document: Mapping[str, Any]) -> Mapping[str, Any] | str:
    """The JWT inside an EnvelopedVerifiableCredential; any other document as it is. Raises MalformedCredential."""
    if ENVELOPED not in as_list(document.get("type")):
        return document
    media_type, _, jwt = str(document.get("id", "")).removeprefix("data:").partition(",")
    if media_type not in ("application/vc+jwt", "application/jwt") or not jwt:
        raise MalformedCredential("an envelope of a kind that is not read here")
    return jwt


def enveloped(jwt: str) -> dict[str, Any]:
    """A JWT as a JSON document (VCDM 2.0, section 4.13)."""
    return {"@context": CREDENTIALS_V2, "id": f"data:application/vc+jwt,{jwt}", "type": ENVELOPED}
