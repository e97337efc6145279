"""Simulated calls with trouble in the first text or the connection, to the recorder: it does what it promises."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from listenctl.errors import RefusedError
from listenctl.events import Reporter
from listenctl.protocol.audio import AudioFormat
from listenctl.server.calls.live_call_log import EMPTY_MESSAGE
from listenctl.simulator.fault_catalogue import FAULT_KINDS
from listenctl.simulator.simulated_call import SimulatedCall
from tests.helpers.scripted_server import serving, shake_hands
from tests.helpers.server import Events, faster, running
from tests.helpers.simulated import Noise, Placed, make_noise, place, plan_for

STEREO_16000 = AudioFormat(16000, 2)
REPAIRED = ("first-frame-apostrophe", "first-frame-quotes", "first-frame-newline", "first-frame-cut")
UNNAMED = ("first-frame-empty", "first-frame-not-json")


def rules(placed: Placed) -> set[str]:
    return {warning["rule"] for warning in placed.sidecar["warnings"]}


# The first text.


@pytest.mark.parametrize("fault", REPAIRED)
async def test_a_broken_first_text_still_says_what_the_call_is(fault: str, tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=16000, samples=3200)

    async with running(record=tmp_path / "recordings") as run:
        placed = await place(run, plan_for(run.port, noise, fault, sample_rate=16000, mix_type="stereo"))

    sidecar = placed.sidecar
    assert (sidecar["metadata_valid"], rules(placed)) == (False, {"first-frame"})
    assert sidecar["metadata"]["from"] == placed.metadata.caller
    assert (sidecar["audio"]["sample_rate"], sidecar["audio"]["channels"]) == (16000, 2)
    assert placed.audio == noise.fork("stereo")
    assert sidecar["complete"]
    assert placed.faults == [fault]


@pytest.mark.parametrize("fault", [*UNNAMED, "no-first-frame"])
async def test_a_call_that_does_not_say_what_it_is_is_what_the_recorder_is_configured_for(
    fault: str, tmp_path: Path
) -> None:
    noise = make_noise(tmp_path, sample_rate=16000, samples=6400)
    settings = faster(default_format=STEREO_16000, metadata_timeout=0.15)

    async with running(settings, record=tmp_path / "recordings") as run:
        plan = plan_for(run.port, noise, fault, sample_rate=16000, mix_type="stereo")
        placed = await place(run, plan, recorded_as="unknown-1")

    sidecar = placed.sidecar
    assert sidecar["metadata"] == {}
    assert (sidecar["audio"]["sample_rate"], sidecar["audio"]["channels"]) == (16000, 2)
    assert rules(placed) == {"no-metadata" if fault == "no-first-frame" else "first-frame"}
    assert placed.audio == noise.fork("stereo")
    assert sidecar["complete"]
    assert placed.faults == [fault]


@pytest.mark.parametrize(
    ("fault", "metadata_timeout", "late"),
    [("late-first-frame=0.3", 0.1, True), ("late-first-frame=0.3", 5.0, False), ("first-frame-binary", 5.0, False)],
    ids=["given up before it came", "waited for", "right behind"],
)
async def test_audio_before_the_first_text_is_kept(
    fault: str, metadata_timeout: float, late: bool, tmp_path: Path
) -> None:
    noise = make_noise(tmp_path, sample_rate=16000, samples=9600)

    async with running(faster(metadata_timeout=metadata_timeout), record=tmp_path / "recordings") as run:
        plan = plan_for(run.port, noise, fault, sample_rate=16000, mix_type="stereo")
        placed = await place(run, plan, recorded_as="unknown-1" if late else None)

    sidecar = placed.sidecar
    assert rules(placed) == ({"no-metadata", "late-metadata"} if late else set())
    assert sidecar["metadata"] == placed.metadata.fields
    assert (sidecar["audio"]["sample_rate"], sidecar["audio"]["channels"]) == (16000, 2)
    assert placed.audio == noise.fork("stereo")
    assert sidecar["complete"]
    assert placed.faults == [fault.partition("=")[0]]


async def test_digits_glued_to_the_first_text_are_all_recorded(tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=3200)

    async with running(record=tmp_path / "recordings") as run:
        placed = await place(run, plan_for(run.port, noise, "glued-texts=1#"))

    sidecar = placed.sidecar
    assert [(event["event"], event["digit"], event["position"]) for event in sidecar["events"]] == [
        ("dtmf", "1", 0),
        ("dtmf", "#", 0),
    ]
    assert [event["digit"] for event in run.events.of("dtmf")] == ["1", "#"]
    assert sidecar["metadata"] == placed.metadata.fields
    assert placed.audio == noise.fork("mono")
    assert sidecar["complete"]


# The connection.


async def test_a_call_that_is_reset_is_saved_with_all_that_came(tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=16000, samples=8000)

    async with running(record=tmp_path / "recordings") as run:
        placed = await place(run, plan_for(run.port, noise, "abrupt-end", sample_rate=16000, mix_type="stereo"))

    assert placed.audio == noise.fork("stereo")
    assert placed.sidecar["close"]["by"] == "nobody"
    assert (placed.sidecar["close"]["code"], placed.sidecar["complete"]) == (1006, True)
    assert (placed.summary.end.by, placed.summary.end.code, placed.summary.taken) == ("jambonz", None, False)


async def test_a_media_server_that_shuts_down_is_closed_by_the_recorder(tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=3200)

    async with running(faster(drain_timeout=0.2), record=tmp_path / "recordings") as run:
        placed = await place(run, plan_for(run.port, noise, "graceful-shutdown"))

    assert placed.audio == noise.fork("mono")
    assert (placed.sidecar["complete"], placed.gaps) == (True, [])
    assert EMPTY_MESSAGE in rules(placed)
    assert placed.sidecar["close"] == {"code": 1000, "reason": "", "by": "listenctl"}
    assert (placed.summary.end.by, placed.summary.end.code, placed.summary.taken) == ("server", 1000, True)


async def test_a_media_server_that_shuts_down_and_is_gone_costs_nothing(tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=3200)

    async with running(faster(drain_timeout=5), record=tmp_path / "recordings") as run:
        placed = await place(run, plan_for(run.port, noise, "graceful-shutdown=0.1"))

    assert placed.audio == noise.fork("mono")
    assert placed.sidecar["complete"]
    assert placed.sidecar["close"]["by"] == "nobody"
    assert (placed.summary.end.by, placed.summary.taken) == ("nobody", False)


async def test_a_slow_reader_is_recorded_like_any_other(tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=8000)

    async with running(faster(ping_interval=0.05), record=tmp_path / "recordings") as run:
        plans = [plan_for(run.port, noise, fault) for fault in ("slow-reader", "slow-reader=10")]
        calls = await asyncio.gather(*(place(run, plan) for plan in plans))

    for placed in calls:
        assert placed.audio == noise.fork("mono")
        assert (placed.sidecar["complete"], placed.gaps) == (True, [])
        assert placed.sidecar["close"]["by"] == "jambonz"
        assert placed.faults == ["slow-reader"]
        assert placed.summary.taken


async def test_a_slow_reader_leaves_in_the_kernel_what_the_server_sends(tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=1600)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        # By the fourth frame it has stopped reading.
        await reader.readexactly(4 * 328)
        writer.write(b"\x82\x7e\x01\x40" + bytes(320))
        await reader.read()

    received = []
    for faults in ([], ["slow-reader"]):
        async with serving(answer) as port:
            events = Events()
            plan = plan_for(port, noise, *faults)
            await SimulatedCall(plan, Reporter(events)).run()
            received.append(events.of("call-ended")[0]["received_audio_bytes"])

    assert received == [320, 0]


async def test_a_wrong_subprotocol_is_refused_with_the_right_one(tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=160)

    async with running(record=tmp_path / "recordings") as run:
        with pytest.raises(RefusedError, match=r"speaks audio\.jambonz\.org and .* not wrong\.example\.org"):
            await place(run, plan_for(run.port, noise, "subprotocol"))

    assert len(run.events.of("connection-refused")) == 1
    assert run.events.of("call-started") == []


async def test_old_and_missing_subprotocols_are_served(tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=3200)

    async with running(record=tmp_path / "recordings") as run:
        plans = [plan_for(run.port, noise, fault) for fault in ("subprotocol=audio.drachtio.org", "no-subprotocol")]
        old, none = await asyncio.gather(*(place(run, plan) for plan in plans))

    assert (old.sidecar["subprotocol"], none.sidecar["subprotocol"]) == ("audio.drachtio.org", None)
    for placed in (old, none):
        assert placed.audio == noise.fork("mono")
        assert placed.sidecar["complete"]


# Together.


async def test_several_faults_at_once_are_all_survived(tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=8000)
    faults = ("first-frame-newline", "glued-texts=5", "burst=0.5", "odd-chunks", "skew=100", "abrupt-end")

    async with running(record=tmp_path / "recordings") as run:
        placed = await place(run, plan_for(run.port, noise, *faults, mix_type="stereo"))

    late = Noise(noise.path, noise.samples.copy())
    late.samples[1] = np.pad(noise.samples[1], (100, 0))[:8000]
    assert placed.audio == late.fork("stereo")
    assert placed.sidecar["complete"]
    assert [event["digit"] for event in placed.sidecar["events"]] == ["5"]
    assert set(placed.faults) == {fault.partition("=")[0] for fault in faults}


def test_every_fault_is_tried_here() -> None:
    source = "".join(path.read_text() for path in Path(__file__).parent.glob("test_call_fault*.py"))

    assert [name for name in FAULT_KINDS if f'"{name}"' not in source and f'"{name}=' not in source] == []
