"""Errors of HTTP with others. A caller that tries several ways to a peer treats them as it does those of the network.

NetError (node.net.errors)
├── LocalNetError
│   └── AddressForbidden    40314  a URL that is none, or one that leads to where we do not connect
└── RemoteNetError
    ├── HostUnreachable     50215  no connection, no TLS, no such name, or it broke off
    ├── HostSilent          50415  no whole answer in time
    ├── HostRefused         50216  a status that is not success, or redirects that lead nowhere; carries the status
    └── AnswerTooLarge      50214  an answer over its bound, or one that is compressed
"""

from typing import Final

from node.net.errors import LocalNetError, RemoteNetError


class AddressForbidden(LocalNetError):
    code = 40314
    hint = "Name a public http(s) URL; for hosts of your own network set `allow_private_addresses` in [network]."


class HostUnreachable(RemoteNetError):
    code = 50215
    hint = "Check the host's name and certificate, and that this machine reaches the internet."


class HostSilent(RemoteNetError):
    code = 50415
    hint = "The host did not answer in time. It may be busy; try again later."


class HostRefused(RemoteNetError):
    """The host answered with `status`, which is not success."""

    code = 50216
    hint = "The host does not have it, or does not take it: ask whoever named the address."

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status: Final = status


class AnswerTooLarge(RemoteNetError):
    code = 50214
    hint = "Whoever runs the host must answer with less, and uncompressed."
