"""HTTP, WebSocket and permessage-deflate on one connection."""

import zlib
from functools import cache

from listenctl.capture.tls.key_log import KeyLog
from tests.fuzz.found import Found, expect
from tests.fuzz.reader import Reader, Seed
from tests.fuzz.seeds import CALLS, pieces_of
from tests.fuzz.streams import found_in, known_in, seed_of
from tests.helpers.frames import BINARY, CONTINUATION, HANDSHAKE, TEXT, close, frame, text

_DEFLATED = b"Sec-WebSocket-Extensions: permessage-deflate"
_REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nno!\n"
_ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"


def check(data: bytes) -> None:
    expect(found_in(data, KeyLog()), data, _seeds(), _known())


@cache
def _seeds() -> list[Seed]:
    refused = [(0, HANDSHAKE), (1, _REFUSED), (0, HANDSHAKE), (1, _ANSWER + b"\r\n"), (0, text("{}")), (0, close())]
    return [*(seed_of(pieces_of(name)) for name in CALLS), _deflated(), seed_of(refused)]


def _deflated() -> Seed:
    """Return a compressed call, with a message in fragments."""
    texts = [b'{"callSid":"CS-A","sampleRate":8000,"mixType":"mono"}', b'{"event":"dtmf","dtmf":"1"}' * 9]
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    messages = [
        compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)[:-4] for data in [*texts, bytes(320), *texts]
    ]
    kinds = (TEXT, TEXT, BINARY, TEXT)
    said = [frame(kind, message, rsv=4) for kind, message in zip(kinds, messages, strict=False)]
    said += [frame(TEXT, messages[4][:5], fin=False, rsv=4), frame(CONTINUATION, messages[4][5:])]
    asked = HANDSHAKE[:-2] + _DEFLATED + b"\r\n\r\n"
    return seed_of([(0, asked), (1, _ANSWER + _DEFLATED + b"\r\n\r\n"), *((0, one) for one in said), (0, close())])


@cache
def _known() -> list[list[tuple[int, Found]]]:
    return [known_in(seed.data, KeyLog()) for seed in _seeds()]


READER = Reader("frames", _seeds, check)
