import base64
import json
from math import inf

import pytest

from listenctl.media.sources.audio_sources import PcmSource
from listenctl.play_to_call.call_messages import PlaybackAnswer
from listenctl.play_to_call.play_as_clips import MAX_CLIP_BYTES, clip_command, judge_clip, read_clip
from listenctl.play_to_call.play_result import PlayEvidence, PlayOutcome
from listenctl.protocol.jambonz_messages import PlayDone


@pytest.mark.parametrize(("queue", "fields"), [(True, {"queuePlay": True}), (False, {})])
async def test_a_clip_is_one_that_jambonz_plays_correctly(queue: bool, fields: dict[str, object]) -> None:
    text = await clip_command(b"\x01\x00" * 8000, 8000, clip_id="a-1", queue=queue)

    data = json.loads(text)["data"]
    assert base64.b64decode(data.pop("audioContent"), validate=True) == b"\x01\x00" * 8000
    # The rate is a number, and the type is never missing (listenctl-protocol(7) 5.1).
    assert data == {"audioContentType": "raw", "sampleRate": 8000, "id": "a-1"} | fields


async def test_a_long_sound_becomes_several_clips() -> None:
    source = PcmSource(bytes(MAX_CLIP_BYTES + 10))

    clips = [len(await read_clip(source)) for _ in range(3)]

    assert clips == [MAX_CLIP_BYTES, 10, 0]


@pytest.mark.parametrize(
    ("done", "at", "outcome", "heard"),
    [
        (PlayDone("a", None, "3", "3000", "24000"), 13.1, PlayOutcome.PLAYED, 3.0),
        (PlayDone("a", None, "2", "2700", "24000"), 13.1, PlayOutcome.PLAYED, 3.0),
        (PlayDone("a", None, "1", "1000", "8000"), 11.0, PlayOutcome.INTERRUPTED, 1.0),
        # After killAudio it counts what was read ahead (listenctl-protocol(7) 13), so the clock is believed.
        (PlayDone("a", None, "3", "3000", "24000"), 10.8, PlayOutcome.INTERRUPTED, 0.8),
        (PlayDone("a", "completed", 3, 3000, 24000), 13.1, PlayOutcome.PLAYED, 3.0),
        (PlayDone(), 13.1, PlayOutcome.PLAYED, 3.0),
        (PlayDone(), 11.5, PlayOutcome.INTERRUPTED, 1.5),
        # It waited for its turn.
        (PlayDone("a", None, "1", "1000", "8000"), 60.0, PlayOutcome.INTERRUPTED, 1.0),
    ],
)
def test_a_play_done_says_whether_all_was_played(done: PlayDone, at: float, outcome: PlayOutcome, heard: float) -> None:
    result = judge_clip(PlaybackAnswer(at, done), 3.0, passed_at=10.0, began_at=10.0)

    assert (result.outcome, result.evidence) == (outcome, PlayEvidence.PLAY_DONE)
    assert result.seconds == pytest.approx(heard)


@pytest.mark.parametrize(("began_at", "heard"), [(10.0, 1.5), (12.0, 0.0), (inf, 0.0), (1.0, 3.0)])
def test_how_far_a_clip_was_that_the_server_says_was_killed_is_told_by_the_clock(began_at: float, heard: float) -> None:
    result = judge_clip(PlaybackAnswer(11.5, None, "stopped by killAudio"), 3.0, passed_at=10.0, began_at=began_at)

    assert (result.outcome, result.seconds) == (PlayOutcome.INTERRUPTED, heard)
    assert result.detail == "stopped by killAudio"
