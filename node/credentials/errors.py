"""Errors of this twin's own credentials.

NodeError
├── CredentialUnknown   40465
├── StatusListUnknown   40466
├── CredentialExists    40965  an id that is taken
├── NotRevocable        40966  issued without a place in a status list
└── DidkitMissing       50165  VCDM 1.1 needs a library that is not installed
"""

from node.errors import NodeError


class CredentialUnknown(NodeError):
    """There is no such credential here."""

    code = 40465
    hint = "See the credentials that are here with `pagi vc list`."


class StatusListUnknown(NodeError):
    """There is no such status list here."""

    code = 40466
    hint = "Only the issuer of a credential has its status list: ask the twin that the credential names."


class CredentialExists(NodeError):
    """A credential of this id is here already."""

    code = 40965
    hint = "Leave the id out to have a fresh one, or choose another."


class NotRevocable(NodeError):
    """The credential has no place in a status list."""

    code = 40966
    hint = "Let it expire: a credential of another program cannot be revoked from here."


class DidkitMissing(NodeError):
    """VCDM 1.1 with its old signature suites is done by didkit, which is not installed."""

    code = 50165
    hint = "Install it with `pip install 'pagi-twin[didkit]'`, or use VCDM 2.0, which needs nothing."
