"""What jambonz said in a recorded call, in order of time: the audio as it sends it, and the texts of the sidecar."""

from collections import deque
from collections.abc import Iterator
from itertools import chain

from listenctl.capture.captured import CapturedSession, CaptureEvent, FrameSeen, FramesLost
from listenctl.capture.json_fields import Object, count_in, list_in, object_in
from listenctl.capture.packets import Notice
from listenctl.capture.recorded_audio import RecordedAudio
from listenctl.capture.recorded_times import Break, RecordedTimes
from listenctl.protocol import wire_json
from listenctl.protocol.audio import SAMPLE_BYTES
from listenctl.protocol.frame_reader import RawFrame
from listenctl.protocol.messages import Dtmf, Mark, PlayDone
from listenctl.protocol.session import Sender

CHUNKS_A_SECOND = 50
"""jambonz sends one for every 20 ms (protocol.md 3.1)."""

_TEXT, _BINARY = 1, 2


class RecordedCall:
    """
    The frames of a recorded call.

    Args:
        sample_rate: that of the call, in which places in the sidecar are counted; what was kept may have another.
        audio: None where it is gone.

    Attributes:
        last: when the last frame came.
    """

    def __init__(
        self, session: CapturedSession, sidecar: Object, sample_rate: int, audio: RecordedAudio | None
    ) -> None:
        self._session = session
        self._audio = audio
        self._described = object_in(sidecar, "audio")
        self._scale = audio.sample_rate / sample_rate if audio else 1.0
        filled = self._described.get("gaps_filled") is True
        self._times = RecordedTimes(list_in(sidecar, "gaps"), sample_rate, filled=filled)
        texts = (
            (count_in(event, "position"), text)
            for event in list_in(sidecar, "events")
            if isinstance(event, dict) and (text := _text_of(event))
        )
        self._texts = deque(sorted(texts, key=lambda one: one[0]))
        self.last = session.began

    def events(self) -> Iterator[CaptureEvent]:
        """Yield what the sidecar and the audio tell."""
        breaks = deque(self._times.breaks)
        for chunk, position in self._chunks():
            while breaks and breaks[0].position < position:
                yield from self._broken(breaks.popleft())
            yield from self._said(position)
            if not self._times.filling(position):
                yield self._seen(position, RawFrame(True, 0, _BINARY, True, chunk))
        yield from chain.from_iterable(map(self._broken, breaks))
        yield from self._said(None)
        yield from self._ends_early()

    def _chunks(self) -> Iterator[tuple[bytes, int]]:
        """Yield the audio as jambonz sent it, and the place at which each chunk ends; none goes over a break."""
        if self._audio is None:
            return
        frame, usual = self._audio.channels * SAMPLE_BYTES, max(1, self._audio.sample_rate // CHUNKS_A_SECOND)
        places = {place for one in self._times.breaks for place in (one.position, one.position + one.skipped)}
        cuts = deque(sorted(round(place * self._scale) for place in places))
        rest = b""
        for block in chain(self._audio.blocks(), [b""]):
            rest, at = rest + block, 0
            while at < len(rest):
                done = self._audio.samples
                while cuts and cuts[0] <= done:
                    cuts.popleft()
                size = frame * (min(usual, cuts[0] - done) if cuts else usual)
                if at + size > len(rest) and block:
                    break
                chunk = rest[at : at + size]
                at += len(chunk)
                self._audio.samples += len(chunk) // frame
                yield chunk, round(self._audio.samples / self._scale)
            rest = rest[at:]

    def _said(self, position: int | None) -> Iterator[FrameSeen]:
        """Yield the texts that came before a place, or all that are left."""
        while self._texts and (position is None or self._texts[0][0] < position):
            place, text = self._texts.popleft()
            yield self._seen(place, RawFrame(True, 0, _TEXT, True, text))

    def _broken(self, one: Break) -> Iterator[FramesLost]:
        if one.unrecorded:
            size = one.unrecorded * SAMPLE_BYTES * (self._audio.channels if self._audio else 1)
            at = self._session.began + self._times.at(one.position)
            yield FramesLost(at, self._session, Sender.JAMBONZ, size, "received but not written to the recording")

    def _ends_early(self) -> Iterator[Notice]:
        """Say so where the file has less than the sidecar says."""
        if self._audio is None:
            return
        samples, told = self._audio.samples, count_in(self._described, "samples")
        if samples < told:
            where, what = f"session {self._session.number}", f"the audio ends after {samples} of {told} samples"
            yield Notice(where, f"{what}; what is there is used")

    def _seen(self, position: int, frame: RawFrame) -> FrameSeen:
        self.last = at = self._session.began + self._times.at(position)
        return FrameSeen(at, self._session, Sender.JAMBONZ, frame, None)


def _text_of(event: Object) -> bytes | None:
    """Return the text that became an event; None for one that never was any."""
    match event:
        case {"event": "dtmf", "digit": str(digit)}:
            duration = event.get("duration")
            text = Dtmf(digit, duration if isinstance(duration, str | int | float) else None).serialize()
        case {"event": "mark", "name": str(name), "result": str(result)}:
            text = Mark(name, result).serialize()
        case {"event": "play-done"}:
            text = _play_done(event).serialize()
        case {"event": "message", "type": "session:summary", "data": data}:
            text = wire_json.encode({"type": "session:summary", "data": data})
        case {"event": "message", "text": str(text)}:
            pass
        case _:
            return None
    return text.encode(errors="replace")


def _play_done(event: Object) -> PlayDone:
    reason, played = event.get("reason"), event.get("played_ms")
    return PlayDone(
        id=event.get("id"),
        reason=reason if isinstance(reason, str) else None,
        playback_milliseconds=played if isinstance(played, int | float) else None,
    )
