import pytest

from listenctl.protocol.stream_rates import StreamRate, StreamRates, rate_in


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        (8000, 8000),
        (0, 0),
        (384_000, 384_000),
        (999, None),
        (-1, None),
        ("8000", None),
        (8000.5, None),
        (10**30, None),
        (True, None),
        (False, None),
        (None, None),
        ([], None),
    ],
)
def test_metadata_say_the_rate_as_a_number(value: object, rate: int | None) -> None:
    assert rate_in({"streamRate": value}) == rate


def test_metadata_without_it_say_nothing() -> None:
    assert rate_in({"sampleRate": 8000}) is None


def test_metadata_go_before_a_tool_and_that_before_the_server() -> None:
    rates = StreamRates(0)
    assert rates.believed == StreamRate(0, "server")

    rates.tool = 16_000
    assert rates.believed == StreamRate(16_000, "tool")

    rates.metadata = 8000
    assert rates.believed == StreamRate(8000, "metadata")
    # Whoever streams knows what it streams.
    assert rates.playing == 16_000


def test_nothing_said_is_nothing_known() -> None:
    rates = StreamRates()

    assert (rates.believed, rates.playing) == (StreamRate(None, None), None)
    assert StreamRates(0).playing is None
