import random

import pytest

from protocols.unixfs.murmur3 import murmur3_x64_64, murmur3_x64_128


def test_the_verification_value_of_the_definition() -> None:
    """The check of SMHasher (`VerificationTest`): keys of 0 to 255 bytes, seeds 256 - length, and a hash over all."""
    hashes = b"".join(
        half.to_bytes(8, "little")
        for length in range(256)
        for half in murmur3_x64_128(bytes(range(length)), 256 - length)
    )
    first, _ = murmur3_x64_128(hashes, 0)
    assert first & 0xFFFFFFFF == 0x6384BA69


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        # Test vectors of github.com/spaolacci/murmur3, whose `New64` Kubo takes for its shards.
        ("", 0, 0),
        ("hello", 0xCBD8A7B341BD9B02, 0x5B1E906A48AE1D19),
        ("hello, world", 0x342FAC623A5EBC8E, 0x4CDCBC079642414D),
        ("19 Jan 2038 at 3:14:07 AM", 0xB89E5988B737AFFC, 0x664FC2950231B2CB),
        ("The quick brown fox jumps over the lazy dog.", 0xCD99481F9EE902C9, 0x695DA1A38987B6E7),
    ],
)
def test_published_vectors(text: str, first: int, second: int) -> None:
    assert murmur3_x64_128(text.encode(), 0) == (first, second)
    assert murmur3_x64_64(text.encode()) == first


def test_names_are_spread() -> None:
    numbers = random.Random(7)
    slots = {murmur3_x64_64(numbers.randbytes(12)) >> 56 for _ in range(5000)}
    assert len(slots) == 256
