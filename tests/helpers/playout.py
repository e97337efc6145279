"""Playouts that are stepped in ticks of 20 ms; what they say is kept with its time."""

import base64
import json
import struct
from collections.abc import Sequence
from itertools import groupby

from listenctl.media.files.libsndfile import read_clip_wav
from listenctl.protocol.audio import unpack_samples
from listenctl.protocol.jambonz_messages import Mark, PlayDone
from listenctl.protocol.jambonz_model.clip_decoder import WavReader
from listenctl.protocol.jambonz_model.command_verdicts import Verdict
from listenctl.protocol.jambonz_model.playout import Playout
from listenctl.protocol.jambonz_model.profiles import CURRENT, Profile
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


class LinearResampler:
    """Interpolate between neighbouring samples: good enough for tests and levels, not for music."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        self._from_rate = from_rate
        self._to_rate = to_rate
        self._kept: Sequence[int] = ()
        # Where the next sample is taken, in units of 1/to_rate of an input sample after the first kept one.
        self._at = 0

    def __call__(self, samples: bytes, *, last: bool = False) -> bytes:
        source = [*self._kept, *unpack_samples(samples)]
        if last and source:
            source.append(source[-1])
        converted = []
        index, phase = divmod(self._at, self._to_rate)
        while index + 1 < len(source):
            here = source[index]
            converted.append(here + (source[index + 1] - here) * phase // self._to_rate)
            self._at += self._from_rate
            index, phase = divmod(self._at, self._to_rate)
        done = min(index, len(source))
        self._kept = source[done:]
        self._at -= done * self._to_rate
        return struct.pack(f"<{len(converted)}h", *converted)


def new_playout(
    profile: Profile = CURRENT,
    option: BidirectionalAudio | None = None,
    *,
    call_rate: int = 8000,
    wav_reader: WavReader = read_clip_wav,
) -> Playout:
    return Playout(profile, option, call_rate=call_rate, resampler=LinearResampler, wav_reader=wav_reader)


class Call:
    """A playout in ticks of 20 ms; messages, verdicts and audio are kept."""

    def __init__(
        self, profile: Profile = CURRENT, option: BidirectionalAudio | None = None, *, call_rate: int = 8000
    ) -> None:
        self.playout = new_playout(profile, option, call_rate=call_rate)
        self.ticks: list[bytes] = []
        self.messages: list[tuple[float, Mark | PlayDone]] = []
        self.verdicts: list[Verdict] = []

    def send(self, *messages: bytes) -> list[str]:
        """Send texts, which begin with a brace, and audio; return the verdicts in words."""
        take = {True: self.playout.take_text, False: self.playout.take_audio}
        verdicts = [verdict for message in messages for verdict in take[message.startswith(b"{")](message)]
        self.verdicts += verdicts
        return words(*verdicts)

    def run(self, seconds: float) -> list[Verdict]:
        before = len(self.verdicts)
        for _ in range(round(seconds * 50)):
            at = self.playout.time
            tick = self.playout.play_tick()
            self.ticks.append(tick.audio)
            self.messages += [(at, message) for message in tick.messages]
            self.verdicts += tick.verdicts
        return self.verdicts[before:]

    def end(self, after: float = 0) -> list[Verdict]:
        """Play for some seconds, then end the listen; return the verdicts of the end."""
        self.run(after)
        return list(self.playout.end_listen())

    @property
    def heard(self) -> bytes:
        return b"".join(self.ticks)

    @property
    def answers(self) -> list[tuple[int, str, str]]:
        """The answers to marks with their milliseconds."""
        return [(round(1000 * at), one.name, one.event) for at, one in self.messages if isinstance(one, Mark)]

    @property
    def done(self) -> list[tuple[float, object]]:
        return [(at, message.id) for at, message in self.messages if isinstance(message, PlayDone)]

    @property
    def audible(self) -> list[int]:
        """The number of samples in each tick that aren't silence."""
        return [sum(value != 0 for value in struct.unpack(f"<{len(one) // 2}h", one)) for one in self.ticks]

    @property
    def held(self) -> int:
        """Samples in the pre-buffer of a stream at 8 kHz."""
        return round(self.playout.held * SECOND)

    @property
    def runs(self) -> list[tuple[int, int]]:
        """The values heard, without silence, each with the number of samples in a row."""
        values = struct.unpack(f"<{len(self.heard) // 2}h", self.heard)
        return [(value, len(list(run))) for value, run in groupby(filter(None, values))]


def streaming(
    profile: Profile = CURRENT, sample_rate: int = SECOND, *, call_rate: int = 8000, enabled: bool = True
) -> Call:
    option = BidirectionalAudio(enabled=enabled, streaming=True, sample_rate=sample_rate)
    return Call(profile, option, call_rate=call_rate)


def mark(name: str = "m") -> bytes:
    return b'{"type":"mark","data":{"name":"' + name.encode() + b'"}}'
