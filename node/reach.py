"""Where a twin's announcement may make us connect to.

An announcement is a stranger's word, and a connection is a knock at somebody's door: at a service on this machine, at
a printer in the owner's network, at a victim whom a whole swarm is told to call. So an address is dialled only if it is
one that its twin can be reached at from here:

    loopback                       only if all our own addresses are loopback: a swarm on one machine
    private, link-local, shared    of a twin that the owner named, or in the same /24 or /64 as one of our own
    global                         yes
    names (/dns4), other forms     of a twin that the owner named: a name can stand for any of the above
    multicast, unspecified, ...    never

Pure: addresses in, a verdict out. How often one host may be dialled is the directory's business.
"""

import ipaddress
from collections.abc import Iterable
from typing import Final

_IP = ipaddress.IPv4Address | ipaddress.IPv6Address

_SAME_NETWORK_BITS: Final = {4: 24, 6: 64}
"""The usual size of one local network. Our own netmask is not known here, and a smaller guess harms nobody."""


def host_of(address: str) -> str:
    """Which host a multiaddr leads to, without port and peer; of a form that we do not know the whole address."""
    ip = _ip_of(address)
    return str(ip) if ip is not None else address.partition("/tcp/")[0]


def may_dial(address: str, *, named: bool, own: Iterable[str]) -> bool:
    """Whether to connect to an announced multiaddr. `own` are our own addresses, `named` is whether the owner named
    the twin that announced it."""
    ip = _ip_of(address)
    if ip is None:
        return named and not address.startswith(("/ip4/", "/ip6/"))
    ours = [known for known in map(_ip_of, own) if known is not None]
    if ip.is_loopback:
        return bool(ours) and all(known.is_loopback for known in ours)
    if ip.is_multicast or ip.is_unspecified or ip.is_reserved:
        return False
    return ip.is_global or (named and not ip.is_link_local) or any(_same_network(ip, known) for known in ours)


def rank_of_address(address: str) -> int | None:
    """How far one of our own addresses carries: 0 anywhere, 1 a relay's or a name, 2 our own network, 3 this machine.

    None if it leads nowhere.
    """
    ip = _ip_of(address)
    if ip is None:
        return 1
    if ip.is_multicast or ip.is_unspecified:
        return None
    return 0 if ip.is_global else 3 if ip.is_loopback else 2


def _ip_of(address: str) -> _IP | None:
    """The IP address of `/ip4/…/tcp/…/p2p/…` or `/ip6/…`, unwrapped if it is an IPv4 address in IPv6's clothes."""
    parts = address.split("/")
    if len(parts) != 7 or parts[0] or parts[1] not in ("ip4", "ip6") or parts[3] != "tcp" or parts[5] != "p2p":
        return None
    try:
        ip = ipaddress.IPv4Address(parts[2]) if parts[1] == "ip4" else ipaddress.IPv6Address(parts[2])
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address):
        return ip.ipv4_mapped or ip.sixtofour or ip
    return ip


def _same_network(one: _IP, other: _IP) -> bool:
    if one.version != other.version:
        return False
    shift = one.max_prefixlen - _SAME_NETWORK_BITS[one.version]
    return int(one) >> shift == int(other) >> shift
