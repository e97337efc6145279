"""Real calls, as the server that they came to wrote them down: every frame is found again, and all of the audio."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.frames import Opcode

from listenctl.capture.capture_events import CapturedFrame
from listenctl.capture.tls.key_log import KeyLog
from listenctl.protocol.listen_session import Sender
from tests.helpers.capture import CAPTURES, FOLDER, received_audio
from tests.helpers.captured import frames, losses, read_file, seen, sessions

TLS = "encrypted/d_wss_mono16k"
SENDERS = {"in": Sender.JAMBONZ, "out": Sender.APPLICATION}
# So many characters of a text were written down.
SHOWN = 4000
WRITTEN_DOWN = [name for name in CAPTURES if name != "d_wss_mono16k_decrypted"] + [TLS]


def written_down(name: str) -> list[Any]:
    lines = gzip.decompress((FOLDER / f"{name}.jsonl.gz").read_bytes()).splitlines()
    return [json.loads(line) for line in lines]


def keylog_of(name: str) -> KeyLog | None:
    path = FOLDER / f"{name}.keylog"
    return KeyLog(path.read_text()) if path.exists() else None


def as_written(one: CapturedFrame) -> dict[str, object]:
    """Return a frame as the server wrote it down."""
    fin, rsv, opcode, masked, payload = one.frame
    written = {"op": Opcode(opcode).name, "fin": int(fin), "rsv": rsv, "masked": masked, "len": len(payload)}
    match opcode:
        case Opcode.TEXT:
            return written | {"text": payload.decode()[:SHOWN]}
        case Opcode.CLOSE:
            return written | {"code": int.from_bytes(payload[:2], "big"), "reason": payload[2:].decode()}
    return written | {"head": payload[:16].hex()}


@pytest.mark.parametrize("name", WRITTEN_DOWN)
def test_every_frame_is_there_as_the_server_saw_it(name: str) -> None:
    asked, *lines, ended = written_down(name)

    events = read_file(FOLDER / f"{name}.pcap.gz", keylog_of(name))

    (session,) = sessions(events)
    assert session.request is not None
    assert session.request.raw.decode() == asked["request"]
    assert losses(events) == []
    assert "end" in ended
    for direction, sender in SENDERS.items():
        expected = [line for line in lines if line.get("dir") == direction]
        kept = [{key: line[key] for key in line.keys() - {"conn", "wall", "t", "dir"}} for line in expected]
        assert [as_written(one) for one in seen(events, sender)] == kept
        # The server is asleep at times; what it got it can't have had before it was sent.
        late = [line["wall"] - one.at for line, one in zip(expected, seen(events, sender), strict=True)]
        assert all(-0.001 < delay < 0.5 for delay in (late if sender is Sender.JAMBONZ else [-one for one in late]))


@pytest.mark.parametrize("name", [*CAPTURES, TLS])
def test_the_audio_is_what_the_server_received(name: str) -> None:
    expected = received_audio("d_wss_mono16k_decrypted" if name == TLS else name)

    events = read_file(FOLDER / f"{name}.pcap.gz", keylog_of(name))

    audio = [frame.payload for frame in frames(events, Sender.JAMBONZ) if frame.opcode == Opcode.BINARY]
    assert b"".join(audio) == expected.data


def test_a_capture_may_be_decompressed_already(tmp_path: Path) -> None:
    path = FOLDER / f"{CAPTURES[0]}.pcap.gz"
    plain = tmp_path / "call"
    plain.write_bytes(gzip.decompress(path.read_bytes()))

    assert frames(read_file(plain)) == frames(read_file(path))
