"""Sessions with permessage-deflate: messages are decompressed as far as possible."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

import listenctl.capture.websocket.inflate_frames as inflate_module
from listenctl.capture.websocket.inflate_frames import FrameInflater, InflationBudget
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from tests.helpers.frames import frame, text
from tests.helpers.pcap import ANSWER, TcpDialog, frames, losses, payloads, read_sessions, upgraded

AGAIN = b'{"event": "again and again"}'
RSV1 = 4


def deflating(parameters: str = "") -> TcpDialog:
    line = f"Sec-WebSocket-Extensions: permessage-deflate{parameters}\r\n\r\n"
    return upgraded(ANSWER[:-2] + line.encode())


def compressed(data: bytes, deflate: "zlib._Compress") -> bytes:
    return frame(1, (deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv=RSV1)


def test_compressed_messages_are_decompressed() -> None:
    deflate = zlib.compressobj(wbits=-15)
    talk = deflating()
    for _ in range(3):
        talk.client(compressed(AGAIN * 9, deflate))

    events = read_sessions(talk.client(text("plain")).packets)

    assert payloads(events) == [AGAIN * 9] * 3 + [b"plain"]
    assert {one.rsv for one in frames(events)} == {0}


def test_each_side_forgets_or_keeps_what_it_sent_as_agreed() -> None:
    kept = zlib.compressobj(wbits=-15)
    talk = deflating("; client_no_context_takeover")
    for _ in range(2):
        talk.client(compressed(AGAIN, zlib.compressobj(wbits=-15)))
        data = (kept.compress(AGAIN) + kept.flush(zlib.Z_SYNC_FLUSH))[:-4]
        talk.server(bytes([0xC1, len(data)]) + data)

    events = read_sessions(talk.packets)

    assert payloads(events, Sender.JAMBONZ) == payloads(events, Sender.APPLICATION) == [AGAIN] * 2


def test_a_message_that_would_become_huge_is_skipped_and_reported() -> None:
    huge = compressed(bytes(100_000_000), zlib.compressobj(wbits=-15))
    talk = deflating().client(huge[:60_000]).client(huge[60_000:])

    events = read_sessions(talk.client(compressed(AGAIN, zlib.compressobj(wbits=-15))).packets)

    assert [one.detail for one in losses(events)] == ["a compressed message has more than 67108864 bytes; skipped"]
    assert payloads(events) == [AGAIN]


def test_all_messages_of_a_capture_share_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflate_module, "MAX_INFLATED", 3 << 20)
    talk = deflating("; client_no_context_takeover")
    for _ in range(5):
        talk.client(compressed(bytes(1 << 20), zlib.compressobj(wbits=-15)))
    talk.client(compressed(AGAIN, zlib.compressobj(wbits=-15)))

    events = read_sessions(talk.close().packets)

    (lost,) = losses(events)
    assert lost.detail == "a compressed message would need more than the 3 MiB that a capture may grow by; skipped"
    assert payloads(events, Sender.JAMBONZ) == [*[bytes(1 << 20)] * 3, AGAIN]


def test_messages_that_grow_as_audio_does_need_no_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflate_module, "MAX_INFLATED", 0)
    talk, deflate = deflating(), zlib.compressobj(wbits=-15)
    audio = [bytes((index * step) % 251 for step in range(320)) for index in range(1, 20)]
    for chunk in audio:
        talk.client(compressed(chunk, deflate))

    assert payloads(read_sessions(talk.close().packets), Sender.JAMBONZ) == audio


def test_after_a_loss_what_refers_to_it_is_skipped_and_all_else_is_read() -> None:
    deflate = zlib.compressobj(wbits=-15)
    talk = deflating()
    for index in range(6):
        talk.client(compressed(AGAIN + b"%d" % index, deflate))
    talk.client(compressed(b"new", zlib.compressobj(wbits=-15)))
    del talk.packets[9]

    events = read_sessions(talk.close().packets)

    assert payloads(events, Sender.JAMBONZ) == [AGAIN + b"0", b"new"]
    missing, unreadable = losses(events)
    assert missing.detail == "12 bytes missing in the capture"
    assert unreadable.detail.startswith("can't decompress messages (")


@pytest.mark.parametrize("keeps_context", [False, True])
@given(st.lists(st.tuples(st.binary(max_size=200), st.integers(1, 3)), max_size=8))
def test_what_the_library_compresses_is_decompressed(keeps_context: bool, messages: list[tuple[bytes, int]]) -> None:
    library = PerMessageDeflate(False, not keeps_context, 15, 15)
    inflater = FrameInflater(InflationBudget(), keeps_context=keeps_context)

    for data, parts in messages:
        cuts = [len(data) * index // parts for index in range(parts + 1)]
        joined = b""
        for index in range(parts):
            opcode = Opcode.CONT if index else Opcode.BINARY
            plain = Frame(opcode, data[cuts[index] : cuts[index + 1]], fin=index == parts - 1)
            sent = library.encode(plain)
            one = inflater.inflate_frame(RawFrame(sent.fin, sent.rsv1 << 2, int(sent.opcode), True, bytes(sent.data)))
            assert one is not None
            assert not one.rsv
            joined += one.payload
        assert joined == data
    assert inflater.take_fault() == ""
