"""Each fault by itself, and recordings of calls that have it."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from listenctl.errors import RefusedError, UsageError
from listenctl.events import Reporter
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.jambonz_model.first_text import BROKEN_FIRST_TEXTS
from listenctl.protocol.jambonz_model.send_buffer import SendBuffer
from listenctl.server.calls.live_call_log import EMPTY_MESSAGE
from listenctl.simulator.fault_catalogue import FAULT_KINDS, FaultValue
from listenctl.simulator.injected_faults import ClosingMode, InjectedFaults, parse_fault
from listenctl.simulator.simulated_call import SimulatedCall
from tests.helpers.scripted_server import serving, shake_hands
from tests.helpers.server import Events, faster, running
from tests.helpers.simulated_calls import Noise, Placed, make_noise, place, plan_for

GOOD = b'{"sampleRate":8000,"mixType":"mono","callSid":"c"}'
KEY = b'{"event":"dtmf","dtmf":"1","duration":"1600"}'


def faults_of(*specs: str, channels: int = 1) -> InjectedFaults:
    return InjectedFaults([parse_fault(spec) for spec in specs], channels=channels)


def test_without_faults_nothing_is_changed() -> None:
    none = faults_of()

    assert none.first_text(GOOD) == GOOD
    assert none.first_text_is_due(0.0, audio_sent=False)
    assert none.join_texts([GOOD, KEY]) == (GOOD, KEY)
    assert none.split_message(b"\1\2\3\4") == (b"\1\2\3\4",)
    assert none.delay_right_channel(b"\1\2\3\4") == b"\1\2\3\4"
    assert (none.allows_sending(0.0), none.captures_audio(0.0), none.allows_reading(0.0, 10**9)) == (True, True, True)
    assert none.subprotocol("audio.jambonz.org") == "audio.jambonz.org"
    assert (none.backlog, none.buffer_seconds(2.0), none.early_digits) == (0.0, 2.0, "")
    assert (none.closing_mode, none.read_rate, none.begun_faults(1e9)) == (ClosingMode.HANG_UP, None, ())


@pytest.mark.parametrize(
    ("spec", "text", "number", "start"),
    [
        ("stall", "3", 3.0, 2.0),
        ("stall=4.5", "4.5", 4.5, 2.0),
        ("stall=3@5", "3@5", 3.0, 5.0),
        ("pause=1@0", "1@0", 1.0, 0.0),
        ("burst=2", "2", 2.0, 0.0),
        ("slow-reader", "0", 0.0, 0.0),
        ("skew=17", "17", 17.0, 0.0),
        ("glued-texts=#A", "#A", 0.0, 0.0),
        ("subprotocol=chat", "chat", 0.0, 0.0),
        ("odd-chunks", "", 0.0, 0.0),
    ],
)
def test_a_fault_is_read_with_its_value_or_the_default(spec: str, text: str, number: float, start: float) -> None:
    fault = parse_fault(spec)

    assert fault.name == spec.partition("=")[0]
    assert (fault.text, fault.number, fault.start) == (text, number, start)


@pytest.mark.parametrize("name", FAULT_KINDS)
def test_each_fault_can_be_asked_for_by_its_name_but_not_with_an_empty_value(name: str) -> None:
    kind = FAULT_KINDS[name]

    assert parse_fault(name).kind is kind
    if kind.value:
        with pytest.raises(UsageError, match=f"--fault '{name}=': '' is not a valid value; use {name}="):
            parse_fault(f"{name}=")


def test_an_unknown_fault_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        parse_fault("stal=3")

    assert str(caught.value).startswith("--fault 'stal': unknown fault; use one of first-frame-apostrophe, ")
    assert all(name in str(caught.value) for name in FAULT_KINDS)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("odd-chunks=3", "takes no value; use odd-chunks"),
        ("stall=-1", "'-1' is not a valid value; use stall=SECONDS[@START]"),
        ("stall=3@", "'' is not a valid value; use stall=SECONDS[@START]"),
        ("stall=nan", "'nan' is not a valid value"),
        ("stall=0", "0 is not between 0.001 and 3600"),
        ("burst=5.1", "5.1 is not between 0.001 and 5"),
        ("burst=1@2", "'1@2' is not a valid value; use burst=SECONDS"),
        ("skew=0", "0 is not between 1 and 640000"),
        ("skew=1.5", "'1.5' is not a valid value; use skew=SAMPLES"),
        ("glued-texts=12x", "'12x' is not a valid value; use glued-texts=DIGITS"),
        ("subprotocol=a\r\nX: y", r"'a\r\nX: y' is not a valid value; use subprotocol=NAME"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused(spec: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_fault(spec)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "specs",
    [
        ("first-frame-cut", "first-frame-empty"),
        ("no-first-frame", "first-frame-quotes"),
        ("no-first-frame", "late-first-frame"),
        ("first-frame-binary", "late-first-frame"),
        ("abrupt-end", "graceful-shutdown"),
        ("subprotocol", "no-subprotocol"),
        ("burst=1", "burst=2"),
    ],
)
def test_faults_that_contradict_each_other_are_refused(specs: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match=f"{specs[0]} and {specs[1]}".replace("=1", "").replace("=2", "")):
        faults_of(*specs)


def test_each_way_to_break_a_first_frame_is_a_fault() -> None:
    assert {f"first-frame-{name}" for name in BROKEN_FIRST_TEXTS} == {
        name for name in FAULT_KINDS if name.startswith("first-frame-") and name != "first-frame-binary"
    }


def test_texts_that_leave_together_are_glued() -> None:
    glued = faults_of("glued-texts=1")

    assert glued.early_digits == "1"
    assert glued.join_texts([GOOD, KEY]) == (
        b'{"sampleRate":8000,"mixType":"mono","callSid":"c"}{"event":"dtmf","dtmf":"1","duration":"1600"}',
    )
    assert glued.join_texts([KEY]) == (KEY,)
    assert glued.join_texts([]) == ()


def test_during_a_stall_nothing_leaves() -> None:
    stalled = faults_of("stall=3@5", "stall=1@10")

    shut = [number / 10 for number in range(120) if not stalled.allows_sending(number / 10)]

    assert shut == [*(number / 10 for number in range(50, 80)), *(number / 10 for number in range(100, 110))]
    assert stalled.captures_audio(6.0)


@pytest.mark.parametrize(("seconds", "size"), [(0.5, 8_000), (1.5, 24_000), (4.0, 64_000), (5.0, 80_000)])
def test_a_burst_is_one_message(seconds: float, size: int) -> None:
    burst = faults_of(f"burst={seconds}")
    fork = SendBuffer(AudioFormat(8000, 1), seconds=burst.buffer_seconds(2.0), resampled=False)

    lost = sum(fork.add_frame(bytes(320)) for _ in range(round(burst.backlog * 50)))

    assert lost == 0
    assert len(fork.take_message()) == size


def test_during_a_pause_nothing_is_captured() -> None:
    paused = faults_of("pause=3@5")

    assert [paused.captures_audio(elapsed) for elapsed in (4.98, 5.0, 7.98, 8.0)] == [True, False, False, True]
    assert paused.allows_sending(6.0)


@pytest.mark.parametrize(
    ("message", "pieces"),
    [
        (b"", (b"",)),
        (b"\1", (b"\1",)),
        (b"\1\2", (b"\1", b"\2")),
        (b"\1\2\3\4", (b"\1\2\3", b"\4")),
        (b"\1\2\3\4\5\6", (b"\1\2\3", b"\4\5\6")),
    ],
)
def test_chunks_are_odd(message: bytes, pieces: tuple[bytes, ...]) -> None:
    assert faults_of("odd-chunks").split_message(message) == pieces


def test_the_right_channel_is_late_across_frames() -> None:
    skewed = faults_of("skew=3", channels=2)
    sent = bytes.fromhex("0100a100 0200a200 0300a300 0400a400 0500a500")

    pieces = [
        skewed.delay_right_channel(sent[:8]),
        skewed.delay_right_channel(b""),
        skewed.delay_right_channel(sent[8:]),
    ]

    assert pieces == [
        bytes.fromhex("01000000 02000000"),
        b"",
        bytes.fromhex("03000000 0400a100 0500a200"),
    ]


def test_only_stereo_can_be_skewed() -> None:
    with pytest.raises(UsageError, match="use --mix-type stereo"):
        faults_of("skew=3", channels=1)


def test_a_slow_reader_reads_so_many_bytes_a_second() -> None:
    slow = faults_of("slow-reader=1000")

    assert slow.read_rate == 1000.0
    assert slow.allows_reading(0.5, 499)
    assert not slow.allows_reading(0.5, 500)
    assert slow.allows_reading(0.501, 500)
    assert not faults_of("slow-reader").allows_reading(3600.0, 0)


def test_faults_are_reported_once_when_they_begin() -> None:
    faults = faults_of("stall=1@4", "odd-chunks", "pause=2@3")

    assert [fault.name for fault in faults.begun_faults(0.0)] == ["odd-chunks"]
    assert faults.begun_faults(2.98) == ()
    assert [(fault.name, fault.start) for fault in faults.begun_faults(5.0)] == [("pause", 3.0), ("stall", 4.0)]
    assert faults.begun_faults(100.0) == ()


def test_a_fault_has_a_default_if_it_takes_a_value() -> None:
    assert all(bool(kind.default) == (kind.value != FaultValue.NONE) for kind in FAULT_KINDS.values())
    assert FAULT_KINDS["stall"].usage == "stall=SECONDS[@START]"
    assert FAULT_KINDS["abrupt-end"].usage == "abrupt-end"
    assert faults_of("graceful-shutdown=7").shutdown_timeout == 7.0


pytestmark = pytest.mark.simulated_time

STEREO_16000 = AudioFormat(16000, 2)
REPAIRED = ("first-frame-apostrophe", "first-frame-quotes", "first-frame-newline", "first-frame-cut")
UNNAMED = ("first-frame-empty", "first-frame-not-json")


def rules(placed: Placed) -> set[str]:
    return {warning["rule"] for warning in placed.sidecar["warnings"]}


async def recorded(
    folder: Path, *faults: str, samples: int, sample_rate: int = 8000, mix_type: str = "stereo", **options: Any
) -> tuple[Placed, Noise]:
    """Record a call with these faults that sends noise; ``options`` are those of ``place`` and of the server."""
    noise = make_noise(folder, sample_rate=sample_rate, samples=samples)
    recorded_as = options.pop("recorded_as", None)
    async with running(faster(**options), record=folder / "recordings") as run:
        plan = plan_for(run.port, noise, *faults, sample_rate=sample_rate, mix_type=mix_type)
        return await place(run, plan, recorded_as=recorded_as), noise


# The first text.


WITH_DEFAULTS: dict[str, Any] = {"default_format": STEREO_16000, "metadata_timeout": 0.15}


@pytest.mark.parametrize(
    ("fault", "changes", "warned", "metadata"),
    [
        *((fault, {}, {"first-frame"}, "repaired") for fault in REPAIRED),
        *((fault, WITH_DEFAULTS, {"first-frame"}, "missing") for fault in UNNAMED),
        ("no-first-frame", WITH_DEFAULTS, {"no-metadata"}, "missing"),
        ("late-first-frame=0.3", {"metadata_timeout": 0.1}, {"no-metadata", "late-metadata"}, "late"),
        ("late-first-frame=0.3", {}, set(), "valid"),
        ("first-frame-binary", {}, set(), "valid"),
        ("odd-chunks", {}, set(), "valid"),
        ("subprotocol=audio.drachtio.org", {}, set(), "valid"),
        ("no-subprotocol", {}, set(), "valid"),
    ],
)
async def test_a_fault_that_drops_no_audio_is_recorded_completely(
    fault: str, changes: dict[str, Any], warned: set[str], metadata: str, tmp_path: Path
) -> None:
    recorded_as = "unknown-1" if metadata in ("missing", "late") else None
    placed, noise = await recorded(tmp_path, fault, samples=9600, sample_rate=16000, recorded_as=recorded_as, **changes)

    sidecar = placed.sidecar
    name, _, value = fault.partition("=")
    assert placed.audio == noise.fork("stereo")
    assert (sidecar["audio"]["sample_rate"], sidecar["audio"]["channels"]) == (16000, 2)
    assert (sidecar["complete"], placed.gaps) == (True, [])
    assert (placed.faults, rules(placed)) == ([name], warned)
    assert sidecar["subprotocol"] == {"subprotocol": value, "no-subprotocol": None}.get(name, "audio.jambonz.org")
    match metadata:
        case "repaired":
            assert not sidecar["metadata_valid"]
            assert sidecar["metadata"]["from"] == placed.metadata.caller
        case "missing":
            assert sidecar["metadata"] == {}
        case _:
            assert sidecar["metadata"] == placed.metadata.fields


async def test_digits_glued_to_the_first_text_are_all_recorded(tmp_path: Path) -> None:
    placed, noise = await recorded(tmp_path, "glued-texts=1#", samples=3200, mix_type="mono")

    sidecar = placed.sidecar
    assert [(event["event"], event["digit"], event["position"]) for event in sidecar["events"]] == [
        ("dtmf", "1", 0),
        ("dtmf", "#", 0),
    ]
    assert sidecar["metadata"] == placed.metadata.fields
    assert placed.audio == noise.fork("mono")
    assert sidecar["complete"]


# The connection.


@pytest.mark.parametrize(
    ("fault", "drain_timeout", "closed_by", "code", "end"),
    [
        ("abrupt-end", 5.0, "nobody", 1006, ("jambonz", False)),
        # The recorder closes a media server that shuts down, unless that is gone before.
        ("graceful-shutdown", 0.2, "listenctl", 1000, ("server", True)),
        ("graceful-shutdown=0.1", 5.0, "nobody", 1006, ("nobody", False)),
    ],
)
async def test_a_call_that_ends_without_a_close_of_jambonz_is_saved_with_all_that_came(
    fault: str, drain_timeout: float, closed_by: str, code: int, end: tuple[str, bool], tmp_path: Path
) -> None:
    placed, noise = await recorded(tmp_path, fault, samples=3200, drain_timeout=drain_timeout)

    assert placed.audio == noise.fork("stereo")
    assert (placed.sidecar["complete"], placed.gaps) == (True, [])
    assert (EMPTY_MESSAGE in rules(placed)) == fault.startswith("graceful")
    assert (placed.sidecar["close"]["by"], placed.sidecar["close"]["code"]) == (closed_by, code)
    assert (placed.summary.end.by, placed.summary.taken) == end


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


async def test_a_slow_reader_does_not_read_what_the_server_sends(tmp_path: Path) -> None:
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
        with pytest.raises(RefusedError, match=r"speaks audio\.jambonz\.org and .* none of them"):
            await place(run, plan_for(run.port, noise, "subprotocol"))

    assert len(run.events.of("connection-refused")) == 1
    assert run.events.of("call-started") == []


# Together.


async def test_several_faults_at_once_are_all_survived(tmp_path: Path) -> None:
    faults = ("first-frame-newline", "glued-texts=5", "burst=0.5", "odd-chunks", "skew=100", "abrupt-end")

    placed, noise = await recorded(tmp_path, *faults, samples=8000)

    late = Noise(noise.path, noise.samples.copy())
    late.samples[1] = np.pad(noise.samples[1], (100, 0))[:8000]
    assert placed.audio == late.fork("stereo")
    assert placed.sidecar["complete"]
    assert [event["digit"] for event in placed.sidecar["events"]] == ["5"]
    assert set(placed.faults) == {fault.partition("=")[0] for fault in faults}


def test_every_fault_is_tried_with_the_recorder() -> None:
    source = Path(__file__).read_text().partition("# The first text.")[2]

    others = [name for name in FAULT_KINDS if name not in (*REPAIRED, *UNNAMED)]
    assert [name for name in others if f'"{name}"' not in source and f'"{name}=' not in source] == []


FRAME = 160


def missing_part(recorded: bytes, sent: bytes, frame_bytes: int) -> tuple[int, int]:
    """Return position and number of the sample frames missing from ``sent``; all others must have been recorded."""
    recorded_frames, sent_frames = (np.frombuffer(data, f"V{frame_bytes}") for data in (recorded, sent))
    lost = len(sent_frames) - len(recorded_frames)
    differs = recorded_frames != sent_frames[: len(recorded_frames)]
    position = int(differs.argmax()) if differs.any() else len(recorded_frames)
    assert recorded_frames[position:].tobytes() == sent_frames[position + lost :].tobytes()
    return position, lost


async def test_a_burst_is_complete_and_nothing_is_missing(tmp_path: Path) -> None:
    placed, noise = await recorded(tmp_path, "burst=0.6", samples=8000)

    sidecar = placed.sidecar
    assert placed.audio == noise.fork("stereo")
    assert (sidecar["complete"], sidecar["lost_samples"], sidecar["paused_samples"]) == (True, 0, 0)
    assert placed.gaps == [("burst", 0)]
    assert sidecar["gaps"][0]["position"] == 0
    assert sidecar["gaps"][0]["length"] == pytest.approx(0.6, abs=0.15)


async def test_a_stall_is_a_hole_at_the_right_place_and_channels_do_not_swap(tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=3 * 8000)
    frame_bytes = {"mono": 2, "stereo": 4, "mixed": 2}

    async with running(record=tmp_path / "recordings") as run:
        plans = (plan_for(run.port, noise, "stall=0.75@0.3", mix_type=mix_type) for mix_type in frame_bytes)
        calls = await asyncio.gather(*(place(run, replace(plan, buffer=0.5)) for plan in plans))

    for (mix_type, size), placed in zip(frame_bytes.items(), calls, strict=True):
        # The buffer overflows with its 26th frame: the other 25 are lost with 16 bytes (listenctl-protocol(7) 3.3).
        lost = 25 * FRAME + 16 // size
        sidecar = placed.sidecar
        position, missing = missing_part(placed.audio, noise.fork(mix_type), size)
        assert missing == lost
        assert position == pytest.approx(0.3 * 8000, abs=4 * FRAME)
        # The ledger measures the hole by the clock and finds its position by the short message.
        [hole] = sidecar["gaps"]
        assert (hole["kind"], hole["position"]) == ("hole", position)
        assert hole["missing"] == pytest.approx(lost, abs=2 * FRAME)
        assert (sidecar["complete"], sidecar["lost_samples"]) == (False, hole["missing"])
        # The caller reports the loss too, but a requested stall is no loss in its result.
        [gap] = placed.events.of("gap")
        assert (gap["kind"], gap["position"], gap["missing"]) == ("hole", position, lost)
        [ended] = placed.events.of("call-ended")
        assert (ended["lost_samples"], ended["stalled_samples"]) == (lost, lost)
        assert ended["samples"] == len(placed.audio) // size
        assert placed.summary.lost_samples == 0


async def test_a_stall_loses_nothing_while_the_buffer_holds_or_the_fork_is_resampled(tmp_path: Path) -> None:
    slow, fast = (make_noise(tmp_path, sample_rate=rate, samples=rate * 2) for rate in (8000, 16000))

    async with running(record=tmp_path / "recordings") as run:
        plans = [
            plan_for(run.port, slow, "stall=0.6@0.3", mix_type="stereo"),
            replace(plan_for(run.port, fast, "stall=0.6@0.3", sample_rate=16000), buffer=0.25),
        ]
        buffered, resampled = await asyncio.gather(*(place(run, plan) for plan in plans))

    assert buffered.audio == slow.fork("stereo")
    assert resampled.audio == fast.fork("mono")
    for placed in (buffered, resampled):
        assert placed.sidecar["complete"]
        # It arrived late and all at once.
        assert placed.gaps == [("burst", 0)]
        assert placed.events.of("gap") == []


async def test_a_pause_is_cut_out_and_reported(tmp_path: Path) -> None:
    placed, noise = await recorded(tmp_path, "pause=0.5@0.3", samples=3 * 8000)

    sidecar = placed.sidecar
    position, missing = missing_part(placed.audio, noise.fork("stereo"), 4)
    assert missing == pytest.approx(0.5 * 8000, abs=FRAME)
    assert missing % FRAME == position % FRAME == 0
    [pause] = sidecar["gaps"]
    assert (pause["kind"], pause["position"]) == ("pause", position)
    assert pause["missing"] == pytest.approx(missing, abs=2 * FRAME)
    # What was never sent isn't lost.
    assert (sidecar["complete"], sidecar["lost_samples"], sidecar["paused_samples"]) == (True, 0, pause["missing"])
    assert placed.summary.samples == len(placed.audio) // 4
