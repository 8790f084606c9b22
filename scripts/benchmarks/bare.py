"""The libraries below a twin, each alone in a fresh process: what a twin cannot be smaller or faster than.

`python bare.py libp2p` listens as a twin does and holds a gossip router; `python bare.py xllamacpp FILE` holds a model.
Each prints one line when it is there, and ends when its stdin does. Nothing is imported that its task does not need.
"""

import sys


def main() -> None:
    task, *arguments = sys.argv[1:]
    if task == "libp2p":
        _libp2p()
    else:
        _xllamacpp(*arguments)


def _libp2p() -> None:
    """TCP, Noise and Yamux on loopback, gossipsub 1.1 with the library's usual numbers."""
    import trio
    from libp2p import new_host
    from libp2p.crypto.ed25519 import create_new_key_pair
    from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
    from libp2p.pubsub.pubsub import Pubsub
    from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
    from libp2p.security.noise.transport import Transport as NoiseTransport
    from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
    from libp2p.stream_muxer.yamux.yamux import Yamux
    from libp2p.tools.anyio_service import background_trio_service
    from multiaddr import Multiaddr

    async def serve() -> None:
        keys = create_new_key_pair()
        noise = NoiseTransport(keys, noise_privkey=keys.private_key)
        host = new_host(key_pair=keys, sec_opt={NOISE: noise}, muxer_opt={YAMUX: Yamux})
        router = GossipSub(protocols=[PROTOCOL_ID_V11], degree=6, degree_low=4, degree_high=12)
        gossip = Pubsub(host, router)
        listen = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
        async with (
            host.run(listen_addrs=listen),
            background_trio_service(gossip),
            background_trio_service(router),
        ):
            await gossip.wait_until_ready()
            print(host.get_addrs()[0], flush=True)
            await trio.to_thread.run_sync(sys.stdin.read)

    trio.run(serve)


def _xllamacpp(path: str) -> None:
    """The model with the context that a twin gives it: 4 requests at once, 4,096 tokens each."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_ctx = 4 * 4096
    params.n_parallel = 4
    params.n_batch = params.n_ubatch = 128
    params.cache_ram_mib = 0
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_threads_http = 1
    params.verbosity = -1
    server = xllamacpp.Server(params)
    print("loaded", flush=True)
    sys.stdin.read()
    del server


if __name__ == "__main__":
    main()
