import pytest

from listenctl.protocol.call_sharing.stream_rate import (
    StreamRate,
    StreamRates,
    metadata_stream_rate,
    stream_rate_problem,
)


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        (8000, 8000),
        (0, 0),
        (384_000, 384_000),
        (999, None),
        (-1, None),
        ("8000", 8000),
        ("0", 0),
        ("-5", None),
        ("16000.5", None),
        ("abc", None),
        ("", None),
        (16000.0, 16000),
        (8000.5, None),
        (float("inf"), None),
        (float("nan"), None),
        (10**30, None),
        (True, None),
        (False, None),
        (None, None),
        ([], None),
    ],
    ids=repr,
)
def test_metadata_say_the_rate_as_a_number_or_its_digits(value: object, rate: int | None) -> None:
    assert metadata_stream_rate({"streamRate": value}) == rate
    assert metadata_stream_rate({"sampleRate": 8000}) is None


@pytest.mark.parametrize("fields", [{}, {"streamRate": 8000}, {"streamRate": 0}, {"streamRate": None}])
def test_nothing_is_said_of_a_rate_that_is_right_or_missing(fields: dict[str, object]) -> None:
    assert stream_rate_problem(fields) == ""


def test_digits_are_taken_and_told_of() -> None:
    complaint = 'streamRate in the metadata is the text "16000"; assuming the number 16000'
    assert stream_rate_problem({"streamRate": "16000"}) == complaint


@pytest.mark.parametrize(("value", "told"), [("abc", '"abc"'), (-5, "-5"), (16000.5, "16000.5"), ("x" * 99, '"xxx')])
def test_what_is_no_rate_is_ignored_and_told_of(value: object, told: str) -> None:
    complaint = stream_rate_problem({"streamRate": value})

    assert complaint.startswith(f"streamRate {told}")
    assert "is ignored; give a rate in Hz" in complaint
    assert len(complaint) < 150


def test_metadata_go_before_a_probe_that_before_a_tool_and_that_before_the_server() -> None:
    assert (StreamRates().best, StreamRates().streaming) == (StreamRate(None, None), None)
    rates = StreamRates(0)
    assert (rates.best, rates.streaming) == (StreamRate(0, "server"), None)

    rates.take_tool_rate(16_000, probed=False)
    assert rates.best == StreamRate(16_000, "tool")

    rates.take_tool_rate(24_000, probed=True)
    rates.take_tool_rate(16_000, probed=False)
    assert rates.best == StreamRate(24_000, "probe")

    rates.metadata = 8000
    assert rates.best == StreamRate(8000, "metadata")
    # Whoever streams knows what it streams.
    assert rates.streaming == 16_000
