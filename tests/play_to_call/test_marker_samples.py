import struct

from hypothesis import given
from hypothesis import strategies as st

from listenctl.play_to_call.stream_sender import replace_marker_samples

# -1 and what looks like it across two samples.
SAMPLES = st.lists(st.sampled_from([-1, -2, 0, 255, -256, 1]) | st.integers(-32768, 32767))


@given(SAMPLES)
def test_only_samples_of_minus_one_are_moved(samples: list[int]) -> None:
    pcm = struct.pack(f"<{len(samples)}h", *samples)

    moved = replace_marker_samples(pcm)

    assert list(struct.unpack(f"<{len(samples)}h", moved)) == [-2 if one == -1 else one for one in samples]


def test_audio_without_any_is_returned_as_it_is() -> None:
    pcm = b"\x00\xff\xfe\xff"

    assert replace_marker_samples(pcm) is pcm
