from collections.abc import Callable

import pytest

from listenctl.inspection.settings import InspectionSettings
from tests.helpers.inspected import METADATA, MadeUp
from tests.helpers.playout import play, tone
from tests.inspection.test_call_inspector import RecordingObserver

FRAME = tone(160)


def paced(frame: bytes = FRAME) -> Callable[[MadeUp], None]:
    return lambda call: call.pace(1.0, 2.0, frame)


def in_bursts(call: MadeUp) -> None:
    for index in range(4):
        call.mark(1.0, f"m{index}")
        call.stream(1.0, tone(16_000))
    for index in range(4):
        call.reach(1.02 + index, f"m{index}")


CLIP = play(FRAME, id="a")


def stream_and_answered_clip(call: MadeUp) -> None:
    call.stream(0.5, FRAME)
    call.say(1.0, CLIP)
    call.answer(1.1, '{"type":"playDone","data":{"id":"a"}}')


@pytest.mark.parametrize(
    ("stated", "metadata", "script", "expected"),
    [
        pytest.param(24000, {"streamRate": 8000}, paced(), (24000, "option"), id="the option comes first"),
        pytest.param(None, {"streamRate": 0}, paced(), (0, "metadata"), id="then the metadata"),
        *(
            pytest.param(None, {}, paced(bytes(rate // 50 * 2)), (rate, "pace"), id=f"a stream paced at {rate} Hz")
            for rate in (8000, 16000, 24000, 48000)
        ),
        pytest.param(None, {}, in_bursts, (16000, "marks"), id="bursts whose marks are answered"),
        pytest.param(
            None,
            {"sampleRate": 16000},
            lambda call: call.stream(1.0, tone(16_000)),
            (16000, "received"),
            id="as the audio from jambonz",
        ),
        pytest.param(None, {}, stream_and_answered_clip, (0, "playDone"), id="an answered clip"),
        pytest.param(None, {}, lambda call: call.say(1.0, CLIP), (0, "clips"), id="a clip without an answer"),
        pytest.param(None, {}, lambda call: call.say(1.0, {"type": "killAudio"}), (0, "default"), id="commands only"),
        pytest.param(None, {}, lambda _call: None, None, id="nothing"),
    ],
)
def test_the_mode_of_a_call(
    stated: int | None,
    metadata: dict[str, object],
    script: Callable[[MadeUp], None],
    expected: tuple[int, str] | None,
) -> None:
    call = MadeUp(InspectionSettings(stream_rate=stated), metadata=METADATA | metadata)
    script(call)

    mode = call.close(6.0).mode

    assert (mode and (mode.stream_rate, mode.source)) == expected


def test_playout_does_not_wait_for_the_end_of_a_long_call() -> None:
    observer = RecordingObserver()
    call = MadeUp(observers=[observer])
    call.pace(1.0, 2.0, FRAME)
    call.listen(2.0, 13.0)

    assert observer.played[0][0] == pytest.approx(1.16, abs=0.03)
