"""Playouts that are stepped in ticks of 20 ms; what they say is kept with its time."""

import base64
import json
import struct

from listenctl.protocol.jambonz_messages import Mark, PlayDone
from listenctl.protocol.jambonz_model.command_verdicts import Verdict
from listenctl.protocol.jambonz_model.mark_playout import PendingMark
from listenctl.protocol.jambonz_model.playout import Playout
from listenctl.protocol.jambonz_model.profiles import CURRENT, Profile
from listenctl.protocol.jambonz_model.stream_playout import ExactStream, MediaServerStream, StreamTick
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio

V7_SAMPLES = bytes.fromhex("0000e80318fcffff")
V7 = (
    b'{"type":"playAudio","data":{"audioContent":"AADoAxj8//8=","audioContentType":"raw","sampleRate":8000,'
    b'"queuePlay":true,"id":"v7"}}'
)
SECOND = 8000
TICK_SAMPLES = 160


def tone(samples: int, value: int = 1000) -> bytes:
    return struct.pack("<h", value) * samples


def play(samples: bytes, **data: object) -> bytes:
    content = base64.b64encode(samples).decode()
    fields = {"audioContent": content, "audioContentType": "raw", "sampleRate": 8000} | data
    return json.dumps({"type": "playAudio", "data": fields}).encode()


def words(*verdicts: Verdict) -> list[str]:
    return [f"{verdict.outcome} {verdict.reason}".strip() for verdict in verdicts]


class Call:
    """A call that is stepped: what was heard, and messages and verdicts with the seconds when they came."""

    def __init__(self, profile: Profile = CURRENT, option: BidirectionalAudio | None = None) -> None:
        self.playout = Playout(profile, option)
        self.heard = b""
        self.messages: list[tuple[float, Mark | PlayDone]] = []
        self.verdicts: list[Verdict] = []

    def send(self, text: bytes) -> list[str]:
        verdicts = self.playout.take_text(text)
        self.verdicts += verdicts
        return words(*verdicts)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 50)):
            at = self.playout.time
            tick = self.playout.play_tick()
            self.heard += tick.audio
            self.messages += [(at, message) for message in tick.messages]
            self.verdicts += tick.verdicts

    @property
    def done(self) -> list[tuple[float, object]]:
        return [(at, message.id) for at, message in self.messages if isinstance(message, PlayDone)]

    @property
    def runs(self) -> list[tuple[int, int]]:
        """The values heard, without silence, each with the number of samples in a row."""
        runs: list[tuple[int, int]] = []
        for value in struct.unpack(f"<{len(self.heard) // 2}h", self.heard):
            if value and runs and runs[-1][0] == value:
                runs[-1] = (value, runs[-1][1] + 1)
            elif value:
                runs.append((value, 1))
        return runs


class Timeline:
    """A stream at 8 kHz that is stepped from its beginning; answers are kept with their milliseconds."""

    def __init__(self, stream: MediaServerStream | ExactStream) -> None:
        self.stream = stream
        self.ticks: list[StreamTick] = []
        self._marks = 0

    @property
    def answers(self) -> list[tuple[int, str, str]]:
        return [
            (20 * number, answer.mark.name, answer.event)
            for number, tick in enumerate(self.ticks)
            for answer in tick.answers
        ]

    @property
    def faults(self) -> dict[str, str]:
        return {answer.mark.name: answer.fault for tick in self.ticks for answer in tick.answers if answer.fault}

    @property
    def audible(self) -> list[int]:
        return [len(tick.audio) // 2 for tick in self.ticks]

    def mark(self, *names: str) -> None:
        for name in names:
            self._marks += 1
            self.stream.add_mark(PendingMark(self._marks, name))

    def run(self, ms: int) -> None:
        self.ticks += [self.stream.play_tick(TICK_SAMPLES) for _ in range(ms // 20)]
