"""TLS with its secrets at hand, from the records to the WebSocket frames in them."""

from functools import cache

from tests.fuzz.found import Found, expect
from tests.fuzz.reader import Reader, Seed
from tests.fuzz.seeds import key_log, pieces_of, tls12_pieces
from tests.fuzz.streams import found_in, known_in, seed_of


def check(data: bytes) -> None:
    expect(found_in(data, key_log()), data, _seeds(), _known())


@cache
def _seeds() -> list[Seed]:
    return [seed_of(pieces_of("d_wss_mono16k")), *map(seed_of, tls12_pieces())]


@cache
def _known() -> list[list[tuple[int, Found]]]:
    return [known_in(seed.data, key_log()) for seed in _seeds()]


READER = Reader("tls", _seeds, check)
