from hypothesis import given
from hypothesis import strategies as st

from listenctl.protocol.audio import AudioFormat, SampleAssembler, add_wrapping, unpack_samples

# V5: L=1000, R=-2, then L=1001, R=-3.
STEREO = bytes.fromhex("e803 feff e903 fdff")


def test_sizes_are_those_of_all_channels_and_samples_those_of_one() -> None:
    mono, stereo = AudioFormat(64_000, 1), AudioFormat(8000, 2)

    assert [(one.frame_bytes, one.byte_rate) for one in (mono, stereo)] == [(2, 128_000), (4, 32_000)]
    assert (stereo.samples_in(640), stereo.samples_in(643), stereo.duration_of(160)) == (160, 160, 0.02)


def test_whole_frames_pass_untouched() -> None:
    assembler = SampleAssembler(frame_bytes=4)

    assert assembler.feed(STEREO) is STEREO
    assert assembler.rest == b""


def test_channels_never_swap() -> None:
    assembler = SampleAssembler(frame_bytes=4)

    found = [assembler.feed(STEREO[:2]), assembler.feed(STEREO[2:7]), assembler.feed(STEREO[7:])]

    assert found == [b"", STEREO[:4], STEREO[4:]]
    assert (assembler.feed(b"\xe9"), assembler.rest) == (b"", b"\xe9")


@given(st.lists(st.binary(max_size=9)), st.sampled_from((2, 4)))
def test_nothing_is_lost_whatever_the_cuts(pieces: list[bytes], frame_bytes: int) -> None:
    assembler = SampleAssembler(frame_bytes)

    found = [assembler.feed(piece) for piece in pieces]

    assert all(len(data) % frame_bytes == 0 for data in found)
    assert b"".join(found) + assembler.rest == b"".join(pieces)
    assert len(assembler.rest) < frame_bytes


def test_a_sum_beyond_16_bits_wraps_around() -> None:
    samples, others = bytes.fromhex("ff7f 0080 0500"), bytes.fromhex("0100 ffff faff")

    assert unpack_samples(add_wrapping(samples, others)) == (-32768, 32767, -1)
