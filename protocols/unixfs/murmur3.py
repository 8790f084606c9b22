"""MurmurHash3 x64 128, by its public definition (Austin Appleby, https://github.com/aappleby/smhasher).

It spreads the names of a sharded folder. It is no protection: whoever wants to can make names that fall together.
"""

from typing import Final

_MASK: Final = (1 << 64) - 1
_C1: Final = 0x87C37B91114253D5
_C2: Final = 0x4CF5AD432745937F


def murmur3_x64_64(data: bytes) -> int:
    """The first half of the hash with seed 0, as multicodec 0x22 has it."""
    return murmur3_x64_128(data, 0)[0]


def murmur3_x64_128(data: bytes, seed: int) -> tuple[int, int]:
    """Both halves of the hash, as unsigned numbers of 64 bits."""
    h1 = h2 = seed
    whole = len(data) & ~15
    for offset in range(0, whole, 16):
        h1 ^= _mix_first(int.from_bytes(data[offset : offset + 8], "little"))
        h1 = (_rotate(h1, 27) + h2) * 5 + 0x52DCE729 & _MASK
        h2 ^= _mix_second(int.from_bytes(data[offset + 8 : offset + 16], "little"))
        h2 = (_rotate(h2, 31) + h1) * 5 + 0x38495AB5 & _MASK
    h1 ^= _mix_first(int.from_bytes(data[whole : whole + 8], "little"))
    h2 ^= _mix_second(int.from_bytes(data[whole + 8 :], "little"))
    h1 ^= len(data)
    h2 ^= len(data)
    h1 = h1 + h2 & _MASK
    h2 = h2 + h1 & _MASK
    h1, h2 = _finish(h1), _finish(h2)
    h1 = h1 + h2 & _MASK
    return h1, h2 + h1 & _MASK


def _mix_first(word: int) -> int:
    return _rotate(word * _C1 & _MASK, 31) * _C2 & _MASK


def _mix_second(word: int) -> int:
    return _rotate(word * _C2 & _MASK, 33) * _C1 & _MASK


def _rotate(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) & _MASK


def _finish(word: int) -> int:
    word = (word ^ word >> 33) * 0xFF51AFD7ED558CCD & _MASK
    word = (word ^ word >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return word ^ word >> 33
