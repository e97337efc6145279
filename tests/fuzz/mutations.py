"""Damage of inputs: random changes, and values that a hostile sender would use."""

import re
from collections.abc import Callable, Sequence
from random import Random

from tests.fuzz.reader import Seed

MAX_DAMAGE = 4
MAX_INPUT = 65_536

_ODD_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63), -1)
_WORDS = (
    b"null", b"true", b"[]", b"{}", b'""', b"0", b"-1", b"-0.0", b"1e999", b"1e308", b"-1e308", b"1e-320", b"NaN",
    b"Infinity", b"9" * 400, b"9" * 5000, b"9" * 19, b"281474976710656", b"0.5", b'"\\ud800"', b'"\\u0000"', b'"\xff"',
    b"[" * 200, b'{"a":' * 200, b'"9999-12-31T23:59:59+00:00"', b'"0001-01-01T00:00:00+00:00"', b'"stereo"', b"48000",
)  # fmt: skip
_VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null|[\[\]{}]')

Mutation = Callable[[bytearray, Random, Sequence[int], Sequence[Seed]], None]


def mutated(data: bytes, places: Sequence[int], seeds: Sequence[Seed], chance: Random) -> bytes:
    """Damage an input a few times, preferably at ``places``."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, MAX_DAMAGE)):
        if changed:
            chance.choice(_MUTATIONS)(changed, chance, places, seeds)
    return bytes(changed[:MAX_INPUT])


def _place(data: bytearray, chance: Random, places: Sequence[int]) -> int:
    if places and chance.random() < 0.7:
        return min(len(data) - 1, chance.choice(places) + chance.choice((0, 0, 0, 1, 2, 3)))
    return chance.randrange(len(data))


def _flip(data: bytearray, chance: Random, places: Sequence[int], _: Sequence[Seed]) -> None:
    data[_place(data, chance, places)] ^= 1 << chance.randrange(8)


def _overwrite(data: bytearray, chance: Random, places: Sequence[int], _: Sequence[Seed]) -> None:
    at, size = _place(data, chance, places), chance.choice((1, 2, 4, 8))
    number = chance.choice(_ODD_NUMBERS) % (1 << 8 * size)
    data[at : at + size] = number.to_bytes(size, chance.choice(("little", "big")))


def _nudge(data: bytearray, chance: Random, places: Sequence[int], _: Sequence[Seed]) -> None:
    at = _place(data, chance, places)
    data[at] = (data[at] + chance.choice((-16, -2, -1, 1, 2, 16))) % 256


def _cut_off(data: bytearray, chance: Random, places: Sequence[int], _: Sequence[Seed]) -> None:
    del data[_place(data, chance, places) :]


def _cut_out(data: bytearray, chance: Random, places: Sequence[int], _: Sequence[Seed]) -> None:
    at = _place(data, chance, places)
    del data[at : at + _size(chance)]


def _cut_begin(data: bytearray, chance: Random, places: Sequence[int], _: Sequence[Seed]) -> None:
    del data[: _place(data, chance, places)]


def _insert(data: bytearray, chance: Random, places: Sequence[int], _: Sequence[Seed]) -> None:
    at = _place(data, chance, places)
    data[at:at] = chance.randbytes(_size(chance))


def _zero(data: bytearray, chance: Random, places: Sequence[int], _: Sequence[Seed]) -> None:
    at = _place(data, chance, places)
    end = min(len(data), at + _size(chance))
    data[at:end] = bytes(end - at)


def _repeat(data: bytearray, chance: Random, places: Sequence[int], _: Sequence[Seed]) -> None:
    begin, at = _place(data, chance, places), _place(data, chance, places)
    data[at:at] = data[begin : begin + _size(chance)]


def _splice(data: bytearray, chance: Random, places: Sequence[int], seeds: Sequence[Seed]) -> None:
    other = chance.choice(seeds)
    begin = _place(bytearray(other.data), chance, other.places)
    at = _place(data, chance, places)
    data[at : at + _size(chance)] = other.data[begin : begin + _size(chance)]


def _word(data: bytearray, chance: Random, places: Sequence[int], _: Sequence[Seed]) -> None:
    """Replace a JSON value, or bytes that look like one."""
    found = _VALUE.search(data, _place(data, chance, places))
    if found:
        data[found.start() : found.end()] = chance.choice(_WORDS)


def _size(chance: Random) -> int:
    return chance.choice((1, 2, 3, 4, 8, 16, 40, 200, 1000))


_MUTATIONS: tuple[Mutation, ...] = (
    _flip, _overwrite, _overwrite, _nudge, _nudge, _cut_off, _cut_out, _cut_begin, _insert, _zero, _repeat, _splice,
    _word, _word,
)  # fmt: skip
