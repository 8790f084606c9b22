"""Finding twins on the local network: libp2p's mDNS discovery (libp2p specifications, discovery/mdns.md), over IPv4.

The library's own discovery announces the wildcard that it was told to listen on, holds the trio loop up for more than a
second, ends the node where there is no interface, and never hears of a new address. This one announces concrete
addresses, on the interfaces that they belong to and nowhere else, works in threads, and begins anew when they change.

It only finds: who is found is anybody, and proves itself when it is dialled. Runs on the trio side.
"""

import contextlib
import ipaddress
import logging
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import trio
from zeroconf import Error, ServiceBrowser, ServiceInfo, ServiceStateChange, Zeroconf

logger = logging.getLogger(__name__)

SERVICE: Final = "_p2p._udp.local."

CHECK_S: Final = 5.0
"""How often our own addresses are looked at."""

MAX_ADDRESSES: Final = 8
"""Addresses of one announcement, ours or another's."""

MAX_STRING_BYTES: Final = 255
"""One string of a TXT record (RFC 1035, section 3.3)."""

_KEY: Final = b"dnsaddr="
_LOOKUP_MS: Final = 3000


class Neighbours:
    """Announces `addresses()`, each of which ends in `/p2p/<peer ID>`, and calls `found` with those of each other twin.

    `found` is called on the trio loop and returns at once. It may be called again for the same twin.
    """

    def __init__(self, addresses: Callable[[], Sequence[str]], found: Callable[[Sequence[str]], None]) -> None:
        self._addresses = addresses
        self._found = found
        self._refused = ""

    async def run(self) -> None:
        """Announce and listen until cancelled. A network that does not let us is tried again."""
        announced: tuple[str, ...] = ()
        responder: _Responder | None = None
        try:
            while True:
                current = tuple(self._addresses())[:MAX_ADDRESSES]
                if current != announced:
                    if responder is not None:
                        await trio.to_thread.run_sync(responder.close)
                    responder = await self._open(current)
                    announced = current if responder is not None else ()
                await trio.sleep(CHECK_S)
        finally:
            if responder is not None:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(responder.close)

    async def _open(self, addresses: Sequence[str]) -> "_Responder | None":
        interfaces = ipv4_of(addresses)
        if not interfaces:
            return None
        token = trio.lowlevel.current_trio_token()

        def found(others: Sequence[str]) -> None:  # in a thread of zeroconf
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(self._found, others)

        try:
            return await trio.to_thread.run_sync(_Responder, addresses, interfaces, found)
        except (OSError, RuntimeError, Error) as error:
            if str(error) != self._refused:
                logger.info("cannot look for twins on the local network: %s", error)
            self._refused = str(error)
            return None


class _Responder:
    """One announcement, and a watch for those of others. Everything here blocks."""

    def __init__(
        self, addresses: Sequence[str], interfaces: Sequence[str], found: Callable[[Sequence[str]], None]
    ) -> None:
        self._found = found
        self._name = f"{secrets.token_hex(16)}.{SERVICE}"
        self._zeroconf = Zeroconf(interfaces=list(interfaces))
        service = ServiceInfo(
            SERVICE,
            self._name,
            port=int(addresses[0].split("/")[4]),
            addresses=[socket.inet_aton(ip) for ip in interfaces],
            properties=write_txt(addresses),
            server=f"{self._name.partition('.')[0]}.local.",
        )
        try:
            # The name is random: asking the network three times whether it is taken would only take time.
            self._zeroconf.register_service(service, cooperating_responders=True)
            ServiceBrowser(self._zeroconf, SERVICE, handlers=[self._on_change])
        except BaseException:
            self._zeroconf.close()
            raise

    def close(self) -> None:
        """Take the announcement back and end."""
        self._zeroconf.close()

    def _on_change(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if name == self._name or state_change is ServiceStateChange.Removed:
            return
        with contextlib.suppress(Error):  # closed while it was looking
            info = zeroconf.get_service_info(service_type, name, _LOOKUP_MS)
            if info is not None and (addresses := tuple(read_txt(info.text))):
                self._found(addresses)


def ipv4_of(addresses: Sequence[str]) -> list[str]:
    """The IPv4 addresses in multiaddrs, each once."""
    parts = (address.split("/") for address in addresses)
    return list(dict.fromkeys(part[2] for part in parts if part[1:2] == ["ip4"]))


def write_txt(addresses: Sequence[str]) -> bytes:
    """The TXT record of an announcement: a string `dnsaddr=<multiaddr>` for each address."""
    strings = (_KEY + address.encode() for address in addresses)
    return b"".join(bytes([len(string)]) + string for string in strings if len(string) <= MAX_STRING_BYTES)


def read_txt(text: bytes) -> Iterator[str]:
    """The TCP addresses with a peer ID in a TXT record of anybody; what is malformed is left out."""
    left, at = MAX_ADDRESSES, 0
    while at < len(text) and left:
        string = text[at + 1 : at + 1 + text[at]]
        at += 1 + text[at]
        if string.startswith(_KEY) and _is_usable(address := string[len(_KEY) :].decode("ascii", "replace")):
            left -= 1
            yield address


def _is_usable(address: str) -> bool:
    match address.split("/"):
        case ["", "ip4" | "ip6", ip, "tcp", port, "p2p", peer] if port.isdecimal() and peer:
            with contextlib.suppress(ValueError):
                return not ipaddress.ip_address(ip).is_unspecified
    return False
