import pytest

from node.reach import host_of, may_dial

HOME = ("/ip4/192.168.1.7/tcp/4801/p2p/me", "/ip6/2001:db9::7/tcp/4801/p2p/me")
ALONE = ("/ip4/127.0.0.1/tcp/4801/p2p/me",)


def at(host: str) -> str:
    kind = "ip6" if ":" in host else "ip4"
    return f"/{kind}/{host}/tcp/4801/p2p/them"


@pytest.mark.parametrize(
    ("host", "stranger", "named"),
    [
        ("8.8.8.8", True, True),
        ("2606:4700::1111", True, True),
        ("192.168.1.200", True, True),
        ("192.168.2.200", False, True),
        ("10.0.0.1", False, True),
        ("100.64.0.1", False, True),
        ("fd00::1", False, True),
        ("127.0.0.1", False, False),
        ("127.8.8.8", False, False),
        ("::1", False, False),
        ("::ffff:127.0.0.1", False, False),
        ("::ffff:10.0.0.1", False, True),
        ("2002:7f00:1::", False, False),
        ("169.254.169.254", False, False),
        ("fe80::1", False, False),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("ff02::1", False, False),
        ("255.255.255.255", False, False),
        ("240.0.0.1", False, False),
    ],
)
def test_whom_an_announcement_may_make_us_call(host: str, stranger: bool, named: bool) -> None:
    assert may_dial(at(host), named=False, own=HOME) is stranger
    assert may_dial(at(host), named=True, own=HOME) is named


def test_on_one_machine_alone_loopback_is_where_the_others_are() -> None:
    assert may_dial(at("127.0.0.1"), named=False, own=ALONE)
    assert may_dial(at("::1"), named=False, own=ALONE)
    assert not may_dial(at("127.0.0.1"), named=True, own=(*ALONE, *HOME))
    assert not may_dial(at("127.0.0.1"), named=True, own=())
    assert not may_dial(at("192.168.1.7"), named=False, own=ALONE)


def test_a_link_local_neighbour_is_reached_from_such_an_address() -> None:
    assert may_dial(at("169.254.7.8"), named=False, own=("/ip4/169.254.7.1/tcp/1/p2p/me",))


@pytest.mark.parametrize(
    "address",
    [
        "/dns4/printer.local/tcp/4801/p2p/them",
        "/dns6/example.org/tcp/4801/p2p/them",
        "/unix/var/run/docker.sock/p2p/them",
        "/ip4/8.8.8.8/udp/4801/quic-v1/p2p/them",
        "/ip4/8.8.8.8/tcp/4801/p2p/relay/p2p-circuit/p2p/them",
        "/ip4/8.8.8.8.8/tcp/4801/p2p/them",
        "/ip4/0x7f000001/tcp/4801/p2p/them",
        "/ip4/127.1/tcp/4801/p2p/them",
        "/ip6/fe80::1%eth0/tcp/4801/p2p/them",
        "ip4/8.8.8.8/tcp/4801/p2p/them/",
        "",
    ],
)
def test_what_is_no_plain_ip_address_is_no_strangers_to_give(address: str) -> None:
    assert not may_dial(address, named=False, own=HOME)


def test_a_named_twin_may_have_a_name_but_no_spelling_of_an_ip_address_that_we_do_not_know() -> None:
    assert may_dial("/dns4/example.org/tcp/4801/p2p/them", named=True, own=HOME)
    assert not may_dial("/ip4/127.1/tcp/4801/p2p/them", named=True, own=HOME)


def test_knocks_are_counted_by_host() -> None:
    one, other = "/ip6/::ffff:8.8.8.8/tcp/1/p2p/a", "/ip4/8.8.8.8/tcp/2/p2p/b"
    assert host_of(one) == host_of(other) == "8.8.8.8"
    assert host_of("/dns4/example.org/tcp/1/p2p/a") == host_of("/dns4/example.org/tcp/2/p2p/a") == "/dns4/example.org"
