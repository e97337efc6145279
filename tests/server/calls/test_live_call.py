"""Keys that are heard in the audio of calls, reported beside those that jambonz tells of."""

import json
from pathlib import Path

import pytest

from listenctl.events import Reporter
from listenctl.json_lines import MAX_TEXT
from listenctl.protocol.listen_verb.listen_verb import ListenVerb
from listenctl.simulator.plan import CallPlan, DtmfPress
from listenctl.simulator.simulated_call import SimulatedCall
from tests.helpers.frames import binary, close, text
from tests.helpers.scripted_server import target
from tests.helpers.server import faster, read_sidecar, running

pytestmark = pytest.mark.simulated_time

LISTENING = faster(detect_dtmf=True)
KEYS = (DtmfPress(0.3, "1", 0.1), DtmfPress(0.6, "#", 0.15))


async def place(port: int, mix_type: str) -> None:
    verb = ListenVerb(mix_type=mix_type, pass_dtmf=True)
    plan = CallPlan(target=target(port), verb=verb, caller="silence", duration=1.2, dtmf_presses=KEYS, tones=True)
    await SimulatedCall(plan, Reporter()).run()


@pytest.mark.parametrize("mix_type", ["mono", "stereo", "mixed"])
async def test_the_tones_of_a_caller_are_reported_beside_what_jambonz_tells(mix_type: str, tmp_path: Path) -> None:
    async with running(LISTENING, record=tmp_path) as run:
        await place(run.port, mix_type)
        saved = await run.events.wait_for("recording-saved")

    heard = run.events.of("dtmf-tone")
    assert [(tone["digit"], tone["channel"]) for tone in heard] == [("1", 1), ("#", 1)]
    for tone, key in zip(heard, KEYS, strict=True):
        assert tone["time"] == pytest.approx(key.time, abs=0.06)
        assert tone["position"] == pytest.approx(tone["time"] * 8000, abs=8)
        assert tone["duration_ms"] == pytest.approx(key.duration * 1000, abs=15)
    assert [event["digit"] for event in run.events.of("dtmf")] == ["1", "#"]
    events = [event for event in read_sidecar(saved)["events"] if event["event"] == "dtmf-tone"]
    assert [(event["digit"], event["channel"], event["position"]) for event in events] == [
        (tone["digit"], tone["channel"], tone["position"]) for tone in heard
    ]


async def test_without_the_option_nobody_listens() -> None:
    async with running() as run:
        await place(run.port, "mono")
        await run.events.wait_for("call-ended")

    assert run.events.of("dtmf-tone") == []


async def test_a_call_with_too_low_a_rate_is_warned_of_once() -> None:
    async with running(LISTENING) as run:
        await run.call(text(json.dumps({"callSid": "a", "sampleRate": 4000})), binary(bytes(640)), close(1000))
        await run.events.wait_for("call-ended")

    warnings = [warning for warning in run.events.of("warning") if warning["rule"] == "dtmf-undetectable"]
    assert [warning["call"] for warning in warnings] == ["a"]


@pytest.mark.parametrize(
    ("metadata", "parties"),
    [
        ({"from": "+1", "to": "+2", "direction": "outbound"}, ("+1", "+2", "outbound")),
        ({"from": 7}, (None, None, None)),
        ({"from": "1" * 5000}, ("1" * MAX_TEXT, None, None)),
    ],
)
async def test_the_begin_and_the_end_of_a_call_name_its_parties(
    metadata: dict[str, object], parties: tuple[str | None, ...]
) -> None:
    async with running() as run:
        await run.call(text(json.dumps({"callSid": "a", **metadata})), binary(bytes(640)), close(1000))
        await run.events.wait_for("call-ended")

    reports = [*run.events.of("call-started"), *run.events.of("call-ended")]
    assert [tuple(report[name] for name in ("from", "to", "direction")) for report in reports] == [parties, parties]
