"""Connections on the trio side, without a network around them."""

import pytest
import trio
from multiaddr import Multiaddr

from node.net.connections import Connections
from node.net.counters import Counters
from node.net.host import make_host
from node.net.settings import NetSettings
from tests.node.net.support import LOOPBACK, new_keys


@pytest.mark.slow
def test_who_was_hung_up_on_at_the_end_is_not_dialled_again() -> None:
    """Hanging up on a silent peer takes seconds, in which those that were already hung up on would be dialled."""

    async def main() -> None:
        settings = NetSettings(redial_first_s=0.01)
        host, other = make_host(new_keys(), settings), make_host(new_keys(), settings)
        listen = [Multiaddr(LOOPBACK)]
        async with host.run(listen), other.run(listen), trio.open_nursery() as nursery:
            counters = Counters()
            connections = Connections(host, nursery, settings, counters, lambda event: None, lambda peer, gone: None)
            await connections.dial(str(other.get_addrs()[0]), timeout_s=10)
            assert host.get_network().get_connections(other.get_id())
            await connections.close()
            await trio.sleep(0.2)
            assert not host.get_network().get_connections(other.get_id())
            assert "redials" not in counters.snapshot()
            nursery.cancel_scope.cancel()

    trio.run(main)
