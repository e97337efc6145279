import pytest
from hypothesis import given
from hypothesis import strategies as st

from listenctl.protocol.audio import LinearResampler, add_wrapping, pack, unpack


@pytest.mark.parametrize(
    ("from_rate", "to_rate", "samples", "converted"),
    [
        (8000, 16000, (0, 100, 200), (0, 50, 100, 150, 200, 200)),
        (16000, 8000, (0, 50, 100, 150), (0, 100)),
        (8000, 8000, (1, -2, 3), (1, -2, 3)),
        (24000, 16000, (0, 2, 4, 6), (0, 3, 6)),
        (8000, 16000, (), ()),
    ],
)
def test_samples_lie_between_their_neighbours(
    from_rate: int, to_rate: int, samples: tuple[int, ...], converted: tuple[int, ...]
) -> None:
    assert unpack(LinearResampler(from_rate, to_rate)(pack(samples), last=True)) == converted


@given(
    st.lists(st.integers(-32768, 32767), max_size=60),
    st.integers(1, 10),
    st.sampled_from([8000, 11025, 16000, 24000, 48000]),
    st.sampled_from([8000, 11025, 16000, 24000, 48000]),
)
def test_pieces_make_no_difference(samples: list[int], size: int, from_rate: int, to_rate: int) -> None:
    whole = LinearResampler(from_rate, to_rate)(pack(samples), last=True)
    resampler = LinearResampler(from_rate, to_rate)

    pieces = [resampler(pack(samples[at : at + size])) for at in range(0, len(samples), size)]

    assert b"".join([*pieces, resampler(b"", last=True)]) == whole
    assert len(whole) // 2 == -(-len(samples) * to_rate // from_rate)


def test_a_sum_beyond_16_bits_wraps_around() -> None:
    assert unpack(add_wrapping(pack((32767, -32768, 5)), pack((1, -1, -6)))) == (-32768, 32767, -1)
