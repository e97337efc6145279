"""WebSocket sessions of complete and damaged captures: every frame, with its time."""

import gzip
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import listenctl.capture.websocket.websocket_sessions as sessions_module
from listenctl.capture.capture_events import CaptureEvent
from listenctl.capture.packets.packet_batches import PacketBatch
from listenctl.capture.packets.read_pcap import read_pcap
from listenctl.capture.packets.tcp_events import TcpData, TcpGap
from listenctl.capture.packets.tcp_streams import TcpReader
from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.tls.tls_events import TlsParty
from listenctl.capture.websocket.http_heads import HttpHead
from listenctl.capture.websocket.websocket_sessions import WebSocketSessionReader
from listenctl.protocol.frames.raw_frame_reader import RawFrame
from listenctl.protocol.listen_session import Sender
from tests.helpers.capture import CAPTURES, FOLDER
from tests.helpers.frames import HANDSHAKE, TEXT, binary, close, frame, text
from tests.helpers.pcap import (
    ACK,
    ANSWER,
    BIDIRECTIONAL_CALLS,
    CLIENT,
    RST,
    SERVER,
    Damage,
    Packet,
    TcpDialog,
    call_packets,
    cut_packets,
    delay_packets,
    drop_packets,
    endings,
    frames,
    in_pieces,
    losses,
    notices,
    packets_of,
    payloads,
    pcap,
    read_file,
    read_packets,
    read_sessions,
    repeat_packets,
    sessions,
    stream_data,
    timed_frames,
    tshark,
    unmasked,
    upgraded,
)
from tests.helpers.tls_sessions import client_context, server_context, tls_dialog

ENCRYPTED = FOLDER / "encrypted/d_wss_mono16k.pcap.gz"


@pytest.mark.parametrize("name", CAPTURES)
def test_frames_are_those_of_wireshark(name: str) -> None:
    path = FOLDER / f"{name}.pcap.gz"
    first = packets_of(gzip.decompress(path.read_bytes()))[0].data
    port, server = int.from_bytes(first[34:36], "big"), int.from_bytes(first[36:38], "big")

    shown = tshark(
        path, "-d", f"tcp.port=={server},http", "-Y", "websocket", "-T", "fields",
        "-e", "frame.time_epoch", "-e", "frame.number", "-e", "tcp.srcport",
        "-e", "websocket.opcode", "-e", "websocket.payload_length",
        "-e", "websocket.payload_length_ext_16", "-e", "websocket.payload_length_ext_64",
    )  # fmt: skip

    expected = []
    for line in shown.splitlines():
        at, number, source, opcodes, lengths, *extended = line.split("\t")
        longer = {"126": iter(extended[0].split(",")), "127": iter(extended[1].split(","))}
        for opcode, length in zip(opcodes.split(","), lengths.split(","), strict=True):
            size = int(next(longer[length]) if length in longer else length)
            expected.append((round(float(at), 6), int(number), source == str(port), int(opcode), size))
    own = [
        (round(one.at, 6), one.packet, one.sender is Sender.JAMBONZ, one.frame.opcode, len(one.frame.payload))
        for one in timed_frames(read_file(path))
    ]
    assert own == expected


@pytest.mark.parametrize("name", CAPTURES)
def test_a_capture_is_one_session_with_its_handshake_and_its_end(name: str) -> None:
    whole = read_file(FOLDER / f"{name}.pcap.gz")

    (session,) = sessions(whole)
    assert isinstance(session.request, HttpHead)
    assert session.request.first_line == f"GET {session.target} HTTP/1.1"
    assert session.request.raw.endswith(b"\r\n\r\n")
    assert session.target == "/media?call=1"
    assert isinstance(session.response, HttpHead)
    assert session.response.first_line == "HTTP/1.1 101 Switching Protocols"
    assert session.subprotocol == "audio.jambonz.org"
    assert (session.encrypted, session.started_midway, session.is_listen) == (False, False, True)
    assert session.server.startswith("127.0.0.1:")
    assert [sender for sender, _ in endings(whole)][-1] is None
    assert {sender for sender, _ in endings(whole)} == {*Sender, None}
    assert losses(whole) == []
    assert notices(whole) == []


def test_a_refused_request_and_the_next_one_are_two_sessions() -> None:
    refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 5\r\n\r\nsorry"
    talk = TcpDialog().open().client(HANDSHAKE).server(refusal).client(HANDSHAKE).server(ANSWER).client(binary(b"x"))

    events = read_sessions(talk.packets)

    lines = [session.response.first_line for session in sessions(events) if session.response]
    assert lines == ["HTTP/1.1 401 Unauthorized", "HTTP/1.1 101 Switching Protocols"]
    assert endings(events)[0] == (None, "refused")
    assert payloads(events) == [b"x"]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_heads_and_frames_may_come_in_any_pieces(size: int) -> None:
    talk = TcpDialog().open()
    for piece in in_pieces(HANDSHAKE, size):
        talk.client(piece)
    for piece in in_pieces(ANSWER + unmasked(b"hello"), size):
        talk.server(piece)
    for piece in in_pieces(text("{}") + binary(b"x" * 200) + close(), size):
        talk.client(piece)

    events = read_sessions(talk.close().packets, size=61)

    assert payloads(events, Sender.JAMBONZ) == [b"{}", b"x" * 200, b"\x03\xe8"]
    assert payloads(events, Sender.APPLICATION) == [b"hello"]


PROXIED = b"PROXY TCP4 198.51.100.7 10.0.0.2 40000 3000\r\n"
PROXIED_2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x08\x0a\x00\x00\x02\x9c\x41\x0b\xb8"
HEALTH_CHECK = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        (PROXIED, "198.51.100.7:40000"),
        (PROXIED_2, "198.51.100.8:40001"),
        (PROXIED + PROXIED_2, "198.51.100.8:40001"),
        (PROXIED_2 + HEALTH_CHECK, "198.51.100.8:40001"),
    ],
    ids=["version 1", "version 2", "two proxies", "a proxy of its own"],
)
@pytest.mark.parametrize("size", [1, 20, 1000])
def test_the_client_that_a_proxy_names_is_that_of_the_session(headers: bytes, client: str, size: int) -> None:
    talk = TcpDialog().open()
    for piece in in_pieces(headers + HANDSHAKE, size):
        talk.client(piece)

    events = read_sessions(talk.server(ANSWER).client(binary(b"x")).close().packets)

    (session,) = sessions(events)
    assert (session.client, session.proxy, session.server) == (client, "10.0.0.1:40000", "10.0.0.2:8080")
    assert payloads(events) == [b"x"]


@pytest.mark.parametrize("data", [HEALTH_CHECK + HANDSHAKE, HANDSHAKE], ids=["unknown", "no proxy"])
def test_a_session_without_a_named_client_has_the_address_of_the_connection(data: bytes) -> None:
    (session,) = sessions(read_sessions(TcpDialog().open().client(data).server(ANSWER).packets))

    assert (session.client, session.proxy) == ("10.0.0.1:40000", "")


def test_a_proxy_may_name_the_client_before_tls() -> None:
    hello = packets_of(gzip.decompress(ENCRYPTED.read_bytes()))[3].data[66:]

    talk = TcpDialog().open().client(PROXIED).client(hello).server(b"\x15\x03\x03\x00\x02\x02\x28")
    events = read_sessions(talk.close().packets)

    (session,) = sessions(events)
    assert (session.encrypted, session.client) == (True, "198.51.100.7:40000")


def test_an_incomplete_header_of_a_proxy_is_no_session() -> None:
    assert read_sessions(TcpDialog().open().client(PROXIED_2[:20]).close().packets) == []


def test_a_request_that_isnt_for_websocket_is_skipped() -> None:
    plain = b"POST /metrics HTTP/1.1\r\nContent-Length: 200\r\n\r\n"
    talk = TcpDialog().open().client(plain).client(b"GET " * 50).server(b"HTTP/1.1 204 No Content\r\n\r\n")

    events = read_sessions(talk.client(HANDSHAKE).server(ANSWER).client(binary(b"x")).packets)

    (session,) = sessions(events)
    assert session.target == "/calls?x=1"
    assert payloads(events) == [b"x"]


@pytest.mark.parametrize(
    "data", [b"INVITE sip:x SIP/2.0\r\n\r\n", b"SSH-2.0-x\r\n", bytes(3000), b"GET / HTTP/1.0\r\n\r\n"], ids=repr
)
def test_other_protocols_are_no_sessions(data: bytes) -> None:
    assert read_sessions(TcpDialog().open().client(data).server(data).close().packets) == []


def test_an_encrypted_session_without_secrets_says_so() -> None:
    events = read_file(ENCRYPTED)

    (session,) = sessions(events)
    assert session.encrypted
    assert "--keylog" in session.unreadable
    assert notices(events) == [f"session 1: {session.unreadable}"]
    assert frames(events) == []


def test_a_refused_call_is_a_session_without_frames() -> None:
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"

    events = read_sessions(TcpDialog().open().client(HANDSHAKE).server(refusal).close().packets)

    (session,) = sessions(events)
    assert session.response is not None
    assert session.response.first_line == "HTTP/1.1 403 Forbidden"
    assert frames(events) == []
    assert endings(events) == [(Sender.JAMBONZ, "fin"), (Sender.APPLICATION, "fin"), (None, "fin")]


def test_a_request_that_nobody_answers_is_a_session_too() -> None:
    events = read_sessions(TcpDialog().open().client(HANDSHAKE).packets)

    (session,) = sessions(events)
    assert (session.target, session.response, session.started_midway) == ("/calls?x=1", None, False)
    assert endings(events) == [(Sender.JAMBONZ, "capture"), (Sender.APPLICATION, "capture"), (None, "capture")]


def test_an_answer_that_comes_late_in_the_capture_belongs_to_its_session() -> None:
    talk = upgraded().client(binary(b"x"))
    # Swap the packets of the response and of the first frame, with their acknowledgements.
    talk.packets[5:9] = talk.packets[7:9] + talk.packets[5:7]

    events = read_sessions(talk.packets)

    (session,) = sessions(events)
    assert session.response is not None
    assert payloads(events) == [b"x"]


def test_an_answer_without_an_upgrade_header_is_followed_by_frames() -> None:
    events = read_sessions(upgraded(b"HTTP/1.1 101 Sure\r\n\r\n").server(unmasked(b"x")).packets)

    (session,) = sessions(events)
    assert session.response is not None
    assert payloads(events) == [b"x"]


RESULT = b'{"type": "Results", "is_final": false}'


@pytest.mark.parametrize(
    ("offered", "client", "server", "is_listen"),
    [
        # A site can give jambonz another name for the subprotocol: its metadata shows that.
        (b"token, 0123abcd", [text('{"callSid": "x", "sampleRate": 8000}')], [], True),
        (b"token, 0123abcd", [text('{"sampleRate": 16000}')], [], False),
        (b"token, 0123abcd", [binary(bytes(320))], [], False),
        (b"token, 0123abcd", [], [RESULT], None),
        (b"token, 0123abcd", [text('{"event":"dtmf","dtmf":"1"}')], [], False),
        (b"", [text("hello")], [], False),
        (b"", [text('{"callSid": "x", "sampleRate": 8000}')], [RESULT], True),
        (b"", [binary(bytes(320))], [], None),
        (b"", [binary(bytes(320))], [RESULT], False),
        (b"", [binary(bytes(320))], [b'{"type":"killAudio"}'], True),
        # Many services report errors in this way.
        (b"", [binary(bytes(320))], [b'{"type":"error"}'], False),
        (b"audio.drachtio.org", [binary(bytes(320))], [RESULT], True),
    ],
)
def test_another_websocket_is_distinguished_from_a_listen_call(
    offered: bytes, client: list[bytes], server: list[bytes], is_listen: bool | None
) -> None:
    header = b"Sec-WebSocket-Protocol: %b\r\n"
    request = HANDSHAKE.replace(header % b"audio.jambonz.org", header % offered if offered else b"")
    talk = TcpDialog().open().client(request).server(ANSWER)
    for data in client:
        talk.client(data)
    for message in server:
        talk.server(frame(TEXT, message, mask=None))

    (session,) = sessions(read_sessions(talk.packets))

    assert session.is_listen is is_listen
    assert "0123abcd" not in repr(session)


@pytest.mark.parametrize(
    ("kept", "missing", "place"), [(66, 40, "a binary frame, after 60 of 100 bytes"), (1, None, "a header")]
)
def test_a_stream_that_ends_within_a_frame_says_so(kept: int, missing: int | None, place: str) -> None:
    events = read_sessions(upgraded().client(binary(b"x" * 100)[:kept]).close().packets)

    (lost,) = losses(events)
    assert (lost.sender, lost.size) == (Sender.JAMBONZ, missing)
    assert lost.detail == f"the stream ends (fin) in {place}"


@pytest.mark.parametrize(("uncaptured", "cut_by"), [(6, None), (0, Sender.APPLICATION)])
def test_a_frame_under_tls_is_cut_by_its_sender_only_if_the_capture_has_all_segments(
    uncaptured: int, cut_by: Sender | None, certificate: Path, tmp_path: Path
) -> None:
    session = tls_dialog(client_context(), server_context(certificate), tmp_path)
    session.do_handshake()
    session.send(TlsParty.CLIENT, HANDSHAKE)
    session.send(TlsParty.SERVER, ANSWER)
    session.send(TlsParty.SERVER, frame(TEXT, b"x" * 60_000, mask=None)[:-100])
    talk = TcpDialog().open()
    for party, data in session.flights:
        for piece in in_pieces(data, 1400):
            talk.send(CLIENT if party is TlsParty.CLIENT else SERVER, ACK, piece)
    captured = talk.packets[: len(talk.packets) - uncaptured]
    reset = talk.send(SERVER, RST | ACK).packets[-1]

    (lost,) = losses(read_sessions([*captured, reset], keylog=session.keylog))

    assert (lost.sender, lost.cut_by) == (Sender.APPLICATION, cut_by)


def test_a_tls_handshake_that_fails_says_by_which_alert() -> None:
    hello = packets_of(gzip.decompress(ENCRYPTED.read_bytes()))[3].data[66:]
    talk = TcpDialog().open().client(hello).server(b"\x15\x03\x03\x00\x02\x02\x28").close()

    events = read_sessions(talk.packets)

    (session,) = sessions(events)
    assert session.encrypted
    assert endings(events) == [(Sender.APPLICATION, "TLS handshake_failure"), (None, "TLS handshake_failure")]


@pytest.mark.parametrize("inside", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", HANDSHAKE], ids=["page", "call"])
def test_only_websocket_under_tls_is_a_session_where_it_can_be_told(
    inside: bytes, certificate: Path, tmp_path: Path
) -> None:
    session = tls_dialog(client_context(), server_context(certificate), tmp_path)
    session.do_handshake()
    session.send(TlsParty.CLIENT, inside)
    session.send(TlsParty.SERVER, ANSWER if inside == HANDSHAKE else b"HTTP/1.1 200 OK\r\n\r\n")
    session.close()
    talk = TcpDialog().open()
    for party, data in session.flights:
        (talk.client if party is TlsParty.CLIENT else talk.server)(data)

    events = read_sessions(talk.close().packets, keylog=session.keylog)

    assert [one.target for one in sessions(events)] == (["/calls?x=1"] if inside == HANDSHAKE else [])
    if inside == HANDSHAKE:
        assert endings(events)[:2] == [(Sender.JAMBONZ, "TLS close_notify"), (Sender.APPLICATION, "TLS close_notify")]


def test_messages_that_never_end_are_given_up_when_they_take_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_module, "MAX_HELD_TOGETHER", 50_000)
    monkeypatch.setattr(sessions_module, "CHECK_INTERVAL", 1)
    reader = WebSocketSessionReader("test.pcap", KeyLog(), count(1))
    streams = TcpReader()
    lost = 0

    for port in range(100):
        talk = TcpDialog(replace(CLIENT, port=port)).open().client(HANDSHAKE).server(ANSWER)
        talk.client(binary(bytes(10_000))[:-1])
        for batch in read_pcap(iter([pcap(talk.packets)])):
            assert isinstance(batch, PacketBatch)
            lost += len(losses(reader.read_events(streams.read_batch(batch))))

    assert 90 <= lost < 100


@pytest.mark.parametrize("name", BIDIRECTIONAL_CALLS)
@pytest.mark.parametrize("damage", [repeat_packets, delay_packets])
@pytest.mark.parametrize("seed", range(3))
def test_repeated_and_late_packets_change_no_frame(name: str, damage: Damage, seed: int) -> None:
    original = call_packets(name)

    damaged = read_sessions(damage(original, random.Random(seed)))

    for sender in Sender:
        assert frames(damaged, sender) == frames(read_sessions(original), sender)


@pytest.mark.parametrize("name", BIDIRECTIONAL_CALLS)
@pytest.mark.parametrize("damage", [drop_packets, cut_packets])
@pytest.mark.parametrize("seed", range(5))
def test_lost_packets_cost_no_frame_that_is_whole(name: str, damage: Damage, seed: int) -> None:
    original = call_packets(name)
    kept = damage(original, random.Random(seed))

    damaged = read_sessions(kept)

    for stream, sender in enumerate((Sender.JAMBONZ, Sender.APPLICATION)):
        lost = list(missing(kept, stream))
        whole = [
            one
            for start, end, one in placed(original, stream, frames(read_sessions(original), sender))
            if not any(start < after and before < end for before, after in lost)
        ]
        assert frames(damaged, sender) == whole


def missing(packets: Sequence[Packet], stream: int) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each gap of a stream, also of everything after its last packet."""
    end = 0
    for one in read_packets(packets):
        if isinstance(one, TcpData | TcpGap) and one.stream is one.stream.connection.streams[stream]:
            size = len(one.data) if isinstance(one, TcpData) else one.size or 0
            if isinstance(one, TcpGap):
                yield end, end + size
            end += size
    yield end, 1 << 40


def placed(original: Sequence[Packet], stream: int, frames: Iterable[RawFrame]) -> Iterator[tuple[int, int, RawFrame]]:
    """Yield the start and the end of each frame in a stream."""
    said_ = stream_data(read_packets(original))[stream]
    at = said_.index(b"\r\n\r\n") + 4
    for one in frames:
        extended = 0 if len(one.payload) < 126 else 2 if len(one.payload) < 65_536 else 8
        end = at + 2 + extended + 4 * one.masked + len(one.payload)
        yield at, end, one
        at = end
    assert at == len(said_)


@pytest.mark.parametrize("name", BIDIRECTIONAL_CALLS)
@pytest.mark.parametrize("first", [7, 60, 333])
def test_a_capture_that_starts_in_the_middle_finds_the_frames_again(name: str, first: int) -> None:
    original = call_packets(name)

    late = read_sessions(original[first:])

    for sender in Sender:
        whole = [one.frame for one in timed_frames(read_sessions(original), sender) if one.at >= original[first].at]
        assert frames(late, sender) == whole
    (session,) = sessions(late)
    assert session.request is None
    assert session.started_midway
    assert session.is_listen


def late_frames(payload: bytes, count: int = 5) -> list[bytes]:
    """Return frames with different masks."""
    return [frame(2, payload, mask=bytes([index, 1, 2, 3])) for index in range(count)]


def read_late(rest: bytes) -> list[CaptureEvent]:
    """Return the events of a capture that starts with the rest of a message, before five frames of silence."""
    late = TcpDialog().client(rest)
    for one in late_frames(bytes(320)):
        late.client(one)
    return read_sessions(late.packets)


def test_a_capture_that_starts_within_a_message_says_how_much_it_skipped() -> None:
    long = binary(bytes(range(256)) * 20)
    events = read_late(long[3000:])

    assert payloads(events) == [bytes(320)] * 5
    assert [one.size for one in losses(events)] == [len(long) - 3000]


def test_silence_under_a_mask_is_no_frame() -> None:
    # Masked silence is only the mask, and this one looks like a frame of 70 bytes.
    silence = frame(2, bytes(640), mask=b"\x88\xc6\x01\x02")
    assert payloads(read_late(silence[333:])) == [bytes(320)] * 5


def test_frames_within_large_packets_are_found() -> None:
    chance = random.Random(1)
    stream = b"".join(frame(2, chance.randbytes(8000), mask=chance.randbytes(4)) for _ in range(40))
    late = TcpDialog()
    for piece in in_pieces(stream[5000:], 30_000):
        late.client(piece)

    assert len(frames(read_sessions(late.packets))) == 39


def test_a_capture_of_one_direction_is_a_session_with_an_end() -> None:
    talk = upgraded().client(text("{}")).client(binary(b"x" * 320)).close()
    said_by_client = [one for one in talk.packets if one.data[26:30] == talk.packets[0].data[26:30]]

    events = read_sessions(said_by_client)

    (session,) = sessions(events)
    assert (session.target, session.response) == ("/calls?x=1", None)
    assert payloads(events) == [b"{}", b"x" * 320]


def test_what_is_said_after_the_end_is_no_session_of_its_own() -> None:
    talk = upgraded().client(binary(b"x")).send(SERVER, RST | ACK)
    for one in late_frames(b"y" * 320):
        talk.send(CLIENT, ACK, one)

    events = read_sessions(talk.packets)

    assert len(sessions(events)) == 1


def test_a_frame_in_which_bytes_are_missing_is_reported_with_its_length() -> None:
    talk = upgraded().client(binary(b"x" * 100))
    whole = talk.packets[-2]
    talk.packets[-2] = replace(whole, data=whole.data[:-30], original=len(whole.data))
    talk.client(binary(b"next"))

    events = read_sessions(talk.packets)

    (lost,) = losses(events)
    assert (lost.sender, lost.size) == (Sender.JAMBONZ, 30)
    assert lost.detail == "30 bytes missing in the capture, the first in a binary frame, after 70 of 100 bytes"
    assert payloads(events) == [b"next"]


def test_a_length_that_cannot_be_is_reported_and_the_frames_after_it_are_found() -> None:
    talk = upgraded().client(binary(b"one")).client(b"\x82\xff" + b"\x7f" * 8)
    for one in late_frames(b"two"):
        talk.client(one)

    events = read_sessions(talk.packets)

    assert payloads(events) == [b"one", *[b"two"] * 5]
    (lost,) = losses(events)
    assert lost.detail == "a frame of 9187201950435737471 bytes, which is more than 67108864"


@settings(max_examples=50)
@given(st.integers(0, 2**32))
def test_damage_of_any_kind_never_raises(seed: int) -> None:
    chance = random.Random(seed)
    talk = upgraded()
    for _ in range(30):
        talk.client(binary(chance.randbytes(chance.choice([0, 100, 320])))).server(unmasked(chance.randbytes(100)))
    damaged = [
        replace(one, data=_damaged(one.data, chance)) if chance.random() < 0.2 else one
        for one in talk.packets
        if chance.random() < 0.9
    ]

    read_sessions(damaged[chance.randrange(5) :])


def _damaged(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + chance.randbytes(chance.randrange(5)) + data[at + chance.randrange(5) :]
