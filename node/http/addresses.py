"""Where an address that somebody else named may make us connect to.

The name in a URL is a stranger's word, as an announced multiaddr is (`node/reach.py`): it may stand for this machine,
for a printer in the owner's network, for a cloud's metadata service that hands out keys.

    global                         yes
    loopback, private, shared      only if the owner allows private addresses
    link-local, metadata services,
    unspecified, multicast, ...    never

Pure: an address in, a verdict out. It is asked about the address that is really connected to, not about a name.
"""

import ipaddress
from typing import Final

_IP = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: the last 32 bits are the IPv4 address that a gateway connects to."""

_SHARED: Final = ipaddress.IPv4Network("100.64.0.0/10")
"""RFC 6598: carriers' networks, and those of private VPNs."""

_METADATA: Final = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "168.63.129.16",  # Azure's, which is a global address
        "100.100.100.200",  # Alibaba's
        "192.0.0.192",  # Oracle's former one
        "fd00:ec2::254",  # Amazon's over IPv6
        "fd20:ce::254",  # Google's over IPv6
    )
)
"""Services of clouds that give whoever connects the machine's own credentials; most have a link-local address."""


def may_connect(address: str, *, allow_private: bool) -> bool:
    """Whether to connect to an IP address in its text form."""
    try:
        ip = _plain(ipaddress.ip_address(address))
    except ValueError:
        return False
    if ip in _METADATA or ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        return False
    if ip.is_loopback or ip in _SHARED:
        return allow_private
    if ip.is_reserved or (isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local):
        return False
    return ip.is_global or (allow_private and ip.is_private)


def _plain(ip: _IP) -> _IP:
    """The IPv4 address that an IPv6 one wraps, if it does."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip
