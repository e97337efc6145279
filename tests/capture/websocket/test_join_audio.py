"""Joined audio has the frames and gives the reports of single frames, in complete and damaged captures."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import count

import pytest

from listenctl.capture.capture_events import CapturedAudio, CapturedFrame, CapturedSession, CaptureEvent
from listenctl.capture.packets.packet_batches import CaptureNotice, EmbeddedSecrets
from listenctl.capture.packets.read_pcap import read_pcap
from listenctl.capture.packets.tcp_events import TcpData, TcpEvent
from listenctl.capture.packets.tcp_streams import read_tcp
from listenctl.capture.tls.key_log import KeyLog
from listenctl.capture.websocket.websocket_sessions import WebSocketSessionReader
from listenctl.inspection.call_observers import CallObserver
from listenctl.inspection.capture_inspector import CaptureInspector
from listenctl.inspection.settings import InspectionSettings
from listenctl.inspection.sound_checks.call_sound import SoundChecksObserver
from listenctl.json_lines import JsonObject
from listenctl.protocol.listen_session import AudioReceived
from listenctl.protocol.timeline import TimelineEntry
from tests.helpers.capture import CAPTURES, FOLDER
from tests.helpers.pcap import (
    Damage,
    Packet,
    call_packets,
    cut_packets,
    delay_packets,
    drop_packets,
    pcap,
    read_sessions,
    repeat_packets,
)


class Audio(CallObserver):
    """Collects the audio of each call."""

    def __init__(self) -> None:
        self.heard: dict[int, list[TimelineEntry]] = {}

    def on_entry(self, session: CapturedSession, entry: TimelineEntry) -> None:
        if isinstance(entry.event, AudioReceived):
            self.heard.setdefault(session.number, []).append(entry)


def everything(
    events: Iterable[CaptureEvent], settings: InspectionSettings | None = None
) -> tuple[list[JsonObject], list[object], dict[int, JsonObject], dict[int, list[TimelineEntry]]]:
    hearing, audio = SoundChecksObserver(), Audio()
    inspector = CaptureInspector(settings, [hearing, audio])
    for event in events:
        inspector.feed_event(event)
    reports = inspector.finish_calls()
    sounds = {number: sound.to_json() for number, sound in hearing.reports.items()}
    exact: list[object] = [(report.gaps, report.drift, report.violations, report.keys) for report in reports]
    return [report.to_json() for report in reports], exact, sounds, audio.heard


def frames(events: Iterable[CaptureEvent]) -> dict[int, list[CapturedFrame]]:
    """Return the frames of each session, also those of joined audio."""
    seen: dict[int, list[CapturedFrame]] = {}
    for event in events:
        if isinstance(event, CapturedAudio):
            seen[event.session.number] += map(event.frame, range(len(event.times)))
        elif isinstance(event, CapturedFrame):
            seen.setdefault(event.session.number, []).append(event)
    return seen


def described(seen: dict[int, list[CapturedFrame]]) -> dict[int, list[object]]:
    return {
        number: [(at, sender, frame, packet) for at, _, sender, frame, packet in all_of_it]
        for number, all_of_it in seen.items()
    }


ENCRYPTED = "encrypted/d_wss_mono16k"


def read(name: str, packets: Sequence[Packet], *, size: int = 1 << 20, join_audio: bool) -> list[CaptureEvent]:
    keylog = KeyLog((FOLDER / f"{ENCRYPTED}.keylog").read_bytes() if name == ENCRYPTED else "")
    return read_sessions(packets, size=size, keylog=keylog, join_audio=join_audio)


@pytest.mark.parametrize("size", [1 << 20, 3000])
@pytest.mark.parametrize("name", [*CAPTURES, ENCRYPTED])
def test_a_real_call_is_reported_alike(name: str, size: int) -> None:
    original = call_packets(name)

    joined, single = (read(name, original, size=size, join_audio=join) for join in (True, False))

    assert described(frames(joined)) == described(frames(single))
    assert everything(joined) == everything(single)


@pytest.mark.parametrize("damage", [drop_packets, cut_packets, repeat_packets, delay_packets])
@pytest.mark.parametrize("name", [*CAPTURES, ENCRYPTED])
def test_a_damaged_capture_is_reported_alike(name: str, damage: Damage) -> None:
    damaged = damage(call_packets(name), random.Random(7))

    joined, single = (read(name, damaged, join_audio=join) for join in (True, False))

    assert described(frames(joined)) == described(frames(single))
    assert everything(joined) == everything(single)


@pytest.mark.parametrize("pieces", [20, 40, 60, 100, 300])
@pytest.mark.parametrize("labels", [("SERVER_TRAFFIC",), ("SERVER_TRAFFIC", "SERVER_HANDSHAKE")])
def test_secrets_of_one_side_that_arrive_late_are_reported_alike(labels: tuple[str, ...], pieces: int) -> None:
    lines = (FOLDER / f"{ENCRYPTED}.keylog").read_text().splitlines(keepends=True)
    late = [line for line in lines if line.startswith(labels)]

    def read_late(*, join_audio: bool) -> list[CaptureEvent]:
        keylog = KeyLog("".join(line for line in lines if line not in late))
        items: list[TcpEvent | CaptureNotice | EmbeddedSecrets] = []
        left = pieces
        for event in (one for events in read_tcp(read_pcap(iter([pcap(call_packets(ENCRYPTED))]))) for one in events):
            items.append(event)
            left -= isinstance(event, TcpData)
            if left == 0 and isinstance(event, TcpData):
                items.append(EmbeddedSecrets("".join(late)))
        reader = WebSocketSessionReader("test.pcap", keylog, count(1), join_audio=join_audio)
        return reader.read_events(items) + reader.end_capture()

    joined, single = (read_late(join_audio=join) for join in (True, False))

    assert late
    assert described(frames(joined)) == described(frames(single))
    assert everything(joined) == everything(single)


def test_calls_at_the_same_time_are_reported_alike_though_one_comes_after_the_other() -> None:
    calls = [call_packets(name) for name in CAPTURES]
    together = sorted(
        (replace(packet, at=packet.at - one[0].at + 1e9) for one in calls for packet in one),
        key=lambda packet: packet.at,
    )

    joined = read_sessions(together, join_audio=True)

    assert sum(isinstance(event, CapturedAudio) for event in joined) > len(CAPTURES)
    assert everything(joined) == everything(read_sessions(together))


def test_keys_are_heard_alike() -> None:
    settings = InspectionSettings(detect_dtmf=True)
    original = call_packets("a_mono8k_sip")

    assert everything(read_sessions(original, join_audio=True), settings) == everything(
        read_sessions(original), settings
    )


@pytest.mark.parametrize(("name", "messages"), [("a_mono8k_sip", 700), (ENCRYPTED, 500)])
def test_nearly_all_audio_comes_joined(name: str, messages: int) -> None:
    events = read(name, call_packets(name), join_audio=True)

    joined = sum(len(event.times) for event in events if isinstance(event, CapturedAudio))

    assert joined > messages
    assert len(events) < 30
