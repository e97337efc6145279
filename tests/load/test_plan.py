from collections import Counter

import pytest

from listenctl.errors import UsageError
from listenctl.load.plan import CallFormat, FormatShare, LoadPlan, parse_mix
from listenctl.net.server_address import CallTarget
from listenctl.net.websocket_url import parse_websocket_url

TARGET = CallTarget(address=parse_websocket_url("ws://localhost:3000/"))


def plan(mix: str) -> LoadPlan:
    return LoadPlan(target=TARGET, calls=1, hold=1, mix=parse_mix(mix))


def test_a_mix_has_rates_types_and_shares() -> None:
    assert parse_mix("8000:mono*3, 16000:stereo,8000") == (
        FormatShare(CallFormat(8000, "mono"), 3),
        FormatShare(CallFormat(16000, "stereo"), 1),
        FormatShare(CallFormat(8000, "mono"), 1),
    )


@pytest.mark.parametrize("mix", ["8000", "8000:mono*3,16000:stereo", "8000*5,16000*5,48000:mixed*2", "8000*97,16000*3"])
def test_formats_come_in_their_shares(mix: str) -> None:
    planned = plan(mix)
    rounds = sum(share.weight for share in planned.mix)

    formats = Counter(planned.format(number) for number in range(rounds * 7))

    assert formats == {share.format: share.weight * 7 for share in planned.mix}


def test_formats_of_equal_shares_take_turns() -> None:
    planned = plan("8000*4,16000*4")

    rates = [planned.format(number).sample_rate for number in range(16)]

    assert all(len(set(rates[at : at + 4])) == 2 for at in range(13))


@pytest.mark.parametrize(
    ("mix", "problem"),
    [("", "not a list"), ("8000:", "not a list"), ("fast", "not a list"), ("8000:mono*", "not a list"),
     ("8000:quad", "unknown type quad; use mono"), ("8", "not a sample rate"), ("999999", "not a sample rate"),
     ("8000*0", "a share must be at least 1")],
)  # fmt: skip
def test_an_invalid_mix_is_refused(mix: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        parse_mix(mix)


def test_an_echo_comes_at_the_rate_of_its_call_unless_another_is_given() -> None:
    clips = LoadPlan(target=TARGET, calls=1, hold=1)
    echo = LoadPlan(target=TARGET, calls=1, hold=1, echo=True)
    streaming = LoadPlan(target=TARGET, calls=1, hold=1, echo=True, stream_rate=24000)

    assert [one.echo_rate(16000) for one in (clips, echo, streaming)] == [None, 16000, 24000]
