"""The libp2p host: one key, TCP with Noise and Yamux, our limits, concrete addresses.

Runs on the trio side.
"""

from collections.abc import Sequence
from typing import Any

from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.network.config import ConnectionConfig
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.utils.address_validation import expand_wildcard_address
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from identity.keys import KeyPair
from node.net import patches
from node.net.errors import CannotListen, MalformedAddress
from node.net.settings import NetSettings
from node.net.yamux import Yamux


def make_host(keys: KeyPair, settings: NetSettings) -> Any:
    """A host that is not running yet."""
    patches.quiet_logging()
    key_pair = create_new_key_pair(keys.seed)
    limit = settings.max_connections
    host = new_host(
        key_pair=key_pair,
        sec_opt=patches.secure_transports(key_pair),
        muxer_opt={YAMUX: Yamux},
        connection_config=ConnectionConfig(
            max_connections=limit,
            high_watermark=limit,
            low_watermark=0,
            min_connections=0,
            max_connections_per_peer=4,
        ),
        resource_manager=patches.resource_manager(limit),
        addrs_factory=announced,
        disable_identify_address_discovery=True,
    )
    patches.multiplex_by(host.get_network(), Yamux)
    return host


def parse_address(text: str) -> Multiaddr:
    """Read a multiaddr. Raises MalformedAddress."""
    try:
        return Multiaddr(text)
    except (MultiaddrError, ValueError) as error:
        raise MalformedAddress(f"not a multiaddr: {text[:120]!r}") from error


def check_listen(addresses: Sequence[Multiaddr]) -> None:
    """Raise AddressInUse, CannotListen or MalformedAddress unless we can listen on each of them."""
    for address in addresses:
        patches.check_listen_address(address)


def check_listening(host: Any, addresses: Sequence[Multiaddr]) -> None:
    """Raise CannotListen unless the running host listens on each of them."""
    for address in addresses:
        if str(address) not in host.get_network().listeners:
            raise CannotListen(f"cannot listen on {address}")


def announced(candidates: Sequence[Multiaddr]) -> list[Multiaddr]:
    """What we tell others: wildcard addresses replaced by those of the interfaces that are up."""
    return [address for candidate in candidates for address in _expand(candidate)]


def _expand(address: Multiaddr) -> list[Multiaddr]:
    for wildcard, loopback in (("/ip4/0.0.0.0/", "/ip4/127.0.0.1/"), ("/ip6/::/", "/ip6/::1/")):
        if str(address).startswith(wildcard):
            concrete = [found for found in expand_wildcard_address(address) if found != address]
            return concrete or [Multiaddr(str(address).replace(wildcard, loopback, 1))]
    return [address]
