from collections.abc import Sequence

import numpy as np
import pytest

from listenctl.media.sources.audio_sources import AudioSource, PcmSource, SilenceSource
from listenctl.play_to_call.trim_and_gain import SoundEdits, edit_source

RATE = 1000


async def read_all(source: AudioSource, samples: int = 7) -> list[int]:
    pieces = []
    while piece := await source.read(samples):
        pieces.append(piece)
    await source.close()
    return [int(value) for value in np.frombuffer(b"".join(pieces), "<i2")]


def ramp(count: int) -> PcmSource:
    return PcmSource(np.arange(count, dtype="<i2").tobytes())


def flat(count: int, value: int = 10000) -> PcmSource:
    return PcmSource(np.full(count, value, "<i2").tobytes())


async def test_a_source_that_is_not_changed_stays_itself() -> None:
    source = ramp(10)

    assert edit_source(source, RATE, SoundEdits(), None) is source


@pytest.mark.parametrize(
    ("source", "edits", "kept"),
    [
        (ramp(100), SoundEdits(start=0.02, duration=0.03), range(20, 50)),
        (ramp(10), SoundEdits(duration=5.0), range(10)),
        (ramp(10), SoundEdits(start=1.0), []),
        (SilenceSource(), SoundEdits(duration=0.05), [0] * 50),
    ],
    ids=["a part", "a duration beyond the end", "a start beyond the end", "an endless source"],
)
async def test_a_part_is_cut_out_to_the_sample(source: AudioSource, edits: SoundEdits, kept: Sequence[int]) -> None:
    assert await read_all(edit_source(source, RATE, edits, None)) == list(kept)


@pytest.mark.parametrize(("gain", "value"), [(6.0, 19953), (-20.0, 1000), (20.0, 32767)])
async def test_a_gain_is_in_decibels_and_clips(gain: float, value: int) -> None:
    assert await read_all(edit_source(flat(9), RATE, SoundEdits(gain_db=gain), None)) == [value] * 9


async def test_a_fade_rises_and_falls_at_the_ends() -> None:
    faded = await read_all(edit_source(flat(100), RATE, SoundEdits(fade=0.01), 0.1))

    assert faded[:11] == [1000 * step for step in range(11)]
    assert set(faded[10:90]) == {10000}
    assert faded == faded[::-1]


async def test_a_fade_lies_at_the_ends_of_the_part() -> None:
    edits = SoundEdits(fade=0.01, start=0.05, duration=0.1)

    faded = await read_all(edit_source(flat(1000), RATE, edits, edits.length(1.0)))

    assert len(faded) == 100
    assert (faded[0], faded[50], faded[-1]) == (0, 10000, 0)


@pytest.mark.parametrize(
    ("edits", "own", "length"),
    [
        (SoundEdits(), 3.0, 3.0),
        (SoundEdits(), None, None),
        (SoundEdits(start=1.0), 3.0, 2.0),
        (SoundEdits(start=4.0), 3.0, 0.0),
        (SoundEdits(start=1.0, duration=1.5), 3.0, 1.5),
        (SoundEdits(start=1.0, duration=5.0), 3.0, 2.0),
        (SoundEdits(duration=5.0), None, 5.0),
        (SoundEdits(loop=True), 3.0, None),
        (SoundEdits(loop=True, duration=7.0), 3.0, 7.0),
    ],
)
def test_the_length_is_known_where_it_can_be(edits: SoundEdits, own: float | None, length: float | None) -> None:
    assert edits.length(own) == length
