"""A capture that ends early accuses nobody: what it has of a call breaks no rule that the whole call keeps."""

import gzip
import random
from collections.abc import Callable, Iterable, Iterator
from itertools import count

import pytest

from listenctl.capture.capture_events import CapturedFrame, CaptureEvent, SessionOpened
from listenctl.capture.formats.dump_line_format import DumpHeader, frame_line, header_line
from listenctl.capture.formats.dump_sessions import DumpSessionReader
from listenctl.capture.formats.read_dump import parse_dump_line
from listenctl.capture.packets.read_pcap import read_pcap
from listenctl.capture.packets.tcp_events import StreamEnding
from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.websocket.find_websockets import BytesLost, WebSocketFinder
from listenctl.capture.websocket.websocket_sessions import read_websocket_sessions
from listenctl.inspection.sound_checks.call_sound import SoundChecksObserver
from listenctl.protocol.listen_session import Sender
from tests.helpers.capture import CAPTURES, FOLDER
from tests.helpers.frames import CLOSE, HANDSHAKE, PING, PONG, TEXT, frame
from tests.helpers.inspected import APPLICATION, JAMBONZ, MadeUp, capture_events, inspect
from tests.helpers.pcap import ANSWER, packets_of, pcap
from tests.helpers.playout import play, tone

FIRST, DRAWN = 12, 8
"""Cuts of each capture: after each of the first packets, and after some of the others."""


def rules_of(events: Iterable[CaptureEvent]) -> set[str]:
    return {rule for report in inspect(events, observers=[SoundChecksObserver()]) for rule in report.counts}


def cuts(packets: int, seed: str) -> list[int]:
    chance = random.Random(seed)
    return [*range(1, FIRST), *sorted(chance.sample(range(FIRST, packets), DRAWN))]


def pcap_events(data: bytes) -> Iterator[CaptureEvent]:
    for events in read_websocket_sessions(read_pcap(iter([data])), "cut.pcap", KeyLog(), count(1), join_audio=True):
        yield from events


def dump_lines(events: Iterable[CaptureEvent]) -> Iterator[bytes]:
    began = 0.0
    for event in events:
        if isinstance(event, SessionOpened):
            began = event.session.began
            yield header_line(DumpHeader("2026-11-20T10:00:00Z", "c1", target="/", subprotocol="audio.jambonz.org"))
        elif isinstance(event, CapturedFrame):
            yield frame_line(event.at - began, event.sender, event.frame)


def dump_events(lines: Iterable[bytes]) -> Iterator[CaptureEvent]:
    reader = DumpSessionReader("cut.jsonl", count(1))
    for number, line in enumerate(lines, 1):
        yield from reader.add_line(number, parse_dump_line(line))
    yield from reader.end_file()


@pytest.mark.parametrize("name", CAPTURES)
def test_a_capture_cut_at_a_packet_breaks_no_rule_that_the_whole_one_keeps(name: str) -> None:
    data = gzip.decompress((FOLDER / f"{name}.pcap.gz").read_bytes())
    packets = packets_of(data)
    whole = rules_of(pcap_events(data))

    for cut in cuts(len(packets), name):
        broken = rules_of(pcap_events(pcap(packets[:cut])))
        assert broken <= whole | {"capture-ends"}, f"after packet {cut}"


@pytest.mark.parametrize("name", CAPTURES)
def test_a_dump_cut_at_a_line_breaks_no_rule_that_the_whole_one_keeps(name: str) -> None:
    lines = list(dump_lines(capture_events(name)))
    whole = rules_of(dump_events(lines))

    for cut in cuts(len(lines), name):
        assert rules_of(dump_events(lines[:cut])) <= whole | {"capture-ends"}, f"after line {cut}"


class CutCall(MadeUp):
    """A call of which the capture has the first ``frames`` frames."""

    def __init__(self, frames: int) -> None:
        self.left = frames
        self.last = 0.0
        super().__init__()

    def frame(
        self,
        at: float,
        sender: Sender,
        opcode: int,
        payload: bytes,
        *,
        fin: bool = True,
        rsv: int = 0,
        masked: bool | None = None,
    ) -> None:
        self.left -= 1
        if self.left >= 0:
            self.last = at
            super().frame(at, sender, opcode, payload, fin=fin, rsv=rsv, masked=masked)


def stream_after_a_mark(call: MadeUp) -> None:
    call.mark(0.01, "ready")
    call.listen(0.0, 1.0)
    call.reach(1.03, "ready")
    call.pace(1.1, 2.0, tone(160))
    call.mark(2.0, "said")
    call.listen(1.0, 2.4)
    call.reach(2.41, "said")


def clips_of_which_one_is_killed(call: MadeUp) -> None:
    call.say(0.1, play(tone(8000), id="a"))
    call.listen(0.0, 1.1)
    call.answer(1.15, '{"type":"playDone","data":{"id":"a"}}')
    call.say(1.2, play(tone(8000), id="b"))
    call.say(1.3, play(tone(8000), id="c", queuePlay=True))
    call.say(1.5, {"type": "killAudio"})
    call.answer(1.53, '{"type":"playDone","data":{"id":"b"}}')
    call.listen(1.1, 3.0)
    call.answer(3.01, '{"type":"playDone","data":{"id":"c"}}')


def pings_and_a_disconnect(call: MadeUp) -> None:
    call.frame(0.1, APPLICATION, PING, b"1")
    call.listen(0.0, 0.5)
    call.frame(0.6, JAMBONZ, PONG, b"1")
    call.say(0.7, {"type": "disconnect"})


@pytest.mark.parametrize("scene", [stream_after_a_mark, clips_of_which_one_is_killed, pings_and_a_disconnect])
def test_a_call_cut_at_any_frame_breaks_no_rule_that_the_whole_one_keeps(scene: Callable[[MadeUp], None]) -> None:
    whole = CutCall(1_000_000)
    scene(whole)
    kept = set(whole.close(4.0).counts)
    frames = 1_000_000 - whole.left - 1

    for cut in range(1, frames + 1):
        call = CutCall(cut)
        scene(call)
        call.frame(4.0, JAMBONZ, CLOSE, b"\x03\xe8")
        report = call.end(call.last, how=StreamEnding.CAPTURE)
        assert set(report.counts) <= kept | {"capture-ends"}, f"after frame {cut}"
        # The answer may come after the end of the capture.
        assert report.close["answered"] is None


@pytest.mark.parametrize("how", [StreamEnding.CAPTURE, StreamEnding.FORGOTTEN, StreamEnding.REPLACED])
def test_a_capture_that_ends_within_a_frame_has_no_hole(how: StreamEnding) -> None:
    finder = WebSocketFinder(has_handshake=True)
    finder.feed(0, 0.0, HANDSHAKE)
    finder.feed(1, 0.1, ANSWER)
    finder.feed(0, 0.2, frame(TEXT, b"{}")[:4])

    assert [one for one in finder.end_side(0, 0.3, how) if isinstance(one, BytesLost)] == []


@pytest.mark.parametrize(
    ("how", "cut_by"),
    [
        (StreamEnding.FIN, Sender.JAMBONZ),
        (StreamEnding.RST, Sender.JAMBONZ),
        (StreamEnding.RESET_BY_RECEIVER, Sender.APPLICATION),
    ],
)
def test_a_connection_that_ends_within_a_frame_has_lost_the_rest(how: StreamEnding, cut_by: Sender) -> None:
    finder = WebSocketFinder(has_handshake=True)
    finder.feed(0, 0.0, HANDSHAKE)
    finder.feed(1, 0.1, ANSWER)
    finder.feed(0, 0.2, frame(TEXT, b"{}")[:7])

    (lost,) = [one for one in finder.end_side(0, 0.3, how) if isinstance(one, BytesLost)]
    assert (lost.size, lost.cut_by) == (1, cut_by)
