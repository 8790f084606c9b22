"""Errors of the network port.

NetError
├── LocalNetError                 ours, or our caller's
│   ├── MalformedAddress    40041  not a multiaddr that can be dialled
│   ├── MessageTooLarge     41341  a payload over the limit of its kind
│   ├── AddressInUse        50041  another process listens there
│   ├── CannotListen        50042  the address cannot be listened on
│   ├── NetworkDown         50341  the libp2p thread is not running (it is being restarted), or is closed
│   └── PublishTimeout      50441  backpressure did not end in time
└── RemoteNetError                the other side's, or the path's
    ├── RemoteUnavailable   50310  no connection to that peer, or it went away
    ├── RemoteTimeout       50410  no answer in time
    ├── RemoteRefused       50210  it does not speak that protocol, or reset the stream
    └── BlockNotFound       40441  none of the peers has that block
"""

from identity.errors import PagiError


class NetError(PagiError):
    """Something between this twin and its peers went wrong."""

    code = 50040
    hint = "Look at the peers with `pagi peers`, and try again."


class LocalNetError(NetError):
    """This side cannot do what was asked."""


class MalformedAddress(LocalNetError):
    code = 40041
    hint = "Use a multiaddr with a peer ID, such as '/ip4/192.0.2.1/tcp/4001/p2p/12D3KooW…'."


class MessageTooLarge(LocalNetError):
    code = 41341
    hint = "Large content never travels in a message: store it as blocks and send its CID."


class AddressInUse(LocalNetError):
    code = 50041
    hint = "Stop the other process, or choose another port (0 lets the system choose)."


class CannotListen(LocalNetError):
    code = 50042
    hint = "Name an address of this machine, such as '/ip4/127.0.0.1/tcp/0'."


class NetworkDown(LocalNetError):
    code = 50341
    hint = "The network part restarts by itself; try again in a few seconds, and look at the log for the reason."


class PublishTimeout(LocalNetError):
    code = 50441
    hint = "The peers take messages more slowly than they are published: publish less, or try again later."


class RemoteNetError(NetError):
    """The other side, or the path to it, failed."""


class RemoteUnavailable(RemoteNetError):
    code = 50310
    hint = "The peer is not connected. Check that it is running and can be reached, then try again."


class RemoteTimeout(RemoteNetError):
    code = 50410
    hint = "The peer did not answer in time. It may be busy; try again later."


class RemoteRefused(RemoteNetError):
    code = 50210
    hint = "The peer refused: it does not speak this protocol, or found the request malformed or too large."


class BlockNotFound(RemoteNetError):
    code = 40441
    hint = "Ask a peer that has this content, or wait until one is connected."
