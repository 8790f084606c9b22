"""Errors of verifiable credentials: each says what is wrong with one, and none of it was stored.

CredentialError (identity.errors.IdentityError)
├── MalformedCredential     40065  not what VCDM says a credential or presentation is
├── ContextUnknown          40066  a JSON-LD context that is not kept here; it is never fetched
├── UnsupportedProof        40067  a cryptosuite, an algorithm or a proof type that is not spoken here
├── Unsigned                40068  no proof at all, or the algorithm "none"
├── GraphTooComplex         40069  blank nodes without end in the RDF form
├── StatusListMalformed     40083  not a status list, or one that unpacks to more than is allowed
├── StatusIndexOutOfRange   40084
├── ClaimsRefused           40085  what was to be issued does not fit its type
├── ProofInvalid            40165  the signature does not match: the claims were changed, or another key signed
├── ChallengeMismatch       40166  a presentation made for another question, or an old one again
├── DomainMismatch          40167  a presentation made for somebody else
├── WrongIssuer             40365  the key is not the issuer's, or not for this purpose
├── WrongHolder             40366  who presents a credential is not its subject
├── StatusListForeign       40367  a status list that somebody else than the issuer signed
├── NotYetValid             40368
├── CredentialExpired       41065
├── CredentialRevoked       41066  revoked or suspended
├── CredentialTooLarge      41365  too many bytes, values or levels
├── SchemaMismatch          42265  the claims are not what the credential's schema asks for
└── Unavailable             50265  a DID document, status list or schema that is needed could not be had
"""

from identity.errors import IdentityError


class CredentialError(IdentityError):
    """Something about a credential or a presentation."""

    hint = "Ask whoever made the credential for a correct one."


class MalformedCredential(CredentialError):
    """Not a credential or presentation of VCDM 2.0 or 1.1."""

    code = 40065
    hint = "Compare it with the W3C Verifiable Credentials Data Model; the message names the member."


class ContextUnknown(CredentialError):
    """A JSON-LD context that is not kept here."""

    code = 40066
    hint = "Use the contexts that `docs/protocols/credentials.md` lists: none is ever fetched."


class UnsupportedProof(CredentialError):
    """A proof in a form that is not spoken here."""

    code = 40067
    hint = "Use eddsa-jcs-2022, eddsa-rdfc-2022, or a JWT with EdDSA, ES256, ES384 or ES256K."


class Unsigned(CredentialError):
    """Nobody has signed it."""

    code = 40068
    hint = "Anybody could have written this: ask for a credential with a proof."


class GraphTooComplex(CredentialError):
    """Its RDF form would take too long to put into canonical order."""

    code = 40069
    hint = "Give the objects in it ids of their own, or sign it with eddsa-jcs-2022."


class StatusListMalformed(CredentialError):
    """A status list that cannot be read."""

    code = 40083
    hint = "The issuer must publish a correct Bitstring Status List; until then the credential's status is unknown."


class StatusIndexOutOfRange(CredentialError):
    """The credential names a place that its status list does not have."""

    code = 40084
    hint = "The issuer must issue the credential again."


class ClaimsRefused(CredentialError):
    """The claims do not fit the type of credential."""

    code = 40085
    hint = "See the schema of the type under /schemas, and correct the member that the message names."


class ProofInvalid(CredentialError):
    """The signature does not match."""

    code = 40165
    hint = "The content was changed, or another key signed it: do not use it."


class ChallengeMismatch(CredentialError):
    """The presentation answers another challenge."""

    code = 40166
    hint = "It may be an old presentation shown again: send a fresh challenge and ask for a new one."


class DomainMismatch(CredentialError):
    """The presentation was made for somebody else."""

    code = 40167
    hint = "Ask for a presentation that names you as its domain."


class WrongIssuer(CredentialError):
    """The key that signed is not one that the issuer signs such things with."""

    code = 40365
    hint = "Do not use it: whoever signed is not who the credential names as its issuer."


class WrongHolder(CredentialError):
    """The holder presents somebody else's credential."""

    code = 40366
    hint = "Ask the subject of the credential to present it."


class StatusListForeign(CredentialError):
    """The status list is not signed by the credential's issuer."""

    code = 40367
    hint = "Do not use it: another issuer could hide a revocation. Trust that list's issuer by name if it is meant."


class NotYetValid(CredentialError):
    """Its time has not come."""

    code = 40368
    hint = "Wait until the time that the credential names, or check this machine's clock."


class CredentialExpired(CredentialError):
    """Its time is over."""

    code = 41065
    hint = "Ask the issuer for a new one."


class CredentialRevoked(CredentialError):
    """Its issuer has taken it back."""

    code = 41066
    hint = "Do not use it: the issuer has revoked or suspended it."


class CredentialTooLarge(CredentialError):
    """More than any credential that is read here."""

    code = 41365
    hint = "Put large content elsewhere and name it by its hash."


class SchemaMismatch(CredentialError):
    """The claims are not what their schema asks for."""

    code = 42265
    hint = "The issuer must issue the credential again; the message names the member."


class Unavailable(CredentialError):
    """Something that is needed to judge could not be had."""

    code = 50265
    hint = "Try again once the issuer can be reached."
