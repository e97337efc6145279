"""Keys that are heard in the audio of calls, reported beside those that jambonz tells of."""

import asyncio
import json
from pathlib import Path

import pytest

from listenctl.events import Reporter
from listenctl.json_lines import MAX_TEXT
from listenctl.media.dtmf_detector import CallDtmfDetector
from listenctl.media.files.recording_names import RecordingDestination
from listenctl.media.sources.sample_speech import sample_speech
from listenctl.media.sources.tones import dtmf_tones
from listenctl.protocol.audio import AudioFormat
from listenctl.protocol.jambonz_messages import Mark
from listenctl.protocol.listen_verb.listen_verb import ListenVerb
from listenctl.server.recording.recording_writer import RecordSettings
from listenctl.simulator.plan import CallPlan, DtmfPress
from listenctl.simulator.simulated_call import SimulatedCall
from tests.helpers.frames import binary, close, text
from tests.helpers.playout import play
from tests.helpers.scripted_server import target
from tests.helpers.server import faster, read_sidecar, recorded_audio, running

pytestmark = pytest.mark.simulated_time

LISTENING = faster(detect_dtmf=True)
KEYS = (DtmfPress(0.3, "1", 0.1), DtmfPress(0.6, "#", 0.15))


class SilentTool:
    """A tool that keeps nothing of what it gets."""

    def deliver_text(self, data: bytes) -> None: ...

    def deliver_audio(self, data: bytes, samples: int) -> None: ...

    def close(self, code: int, reason: str) -> None: ...


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


MASKING = faster(detect_dtmf=True, mask_dtmf=True)


def digits_heard(audio: bytes, audio_format: AudioFormat) -> list[str]:
    detector = CallDtmfDetector(audio_format, 0)
    return [tone.digit for tone in detector.feed(audio) + detector.end_audio()]


class KeepingTool(SilentTool):
    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.audio = b""
        self.samples = 0

    def deliver_text(self, data: bytes) -> None:
        self.texts.append(data)

    def deliver_audio(self, data: bytes, samples: int) -> None:
        self.audio += data
        self.samples += samples


@pytest.mark.parametrize("mix_type", ["mono", "stereo", "mixed"])
async def test_masked_digits_are_in_no_event_and_no_recording(mix_type: str, tmp_path: Path) -> None:
    async with running(MASKING, record=tmp_path) as run:
        await place(run.port, mix_type)
        saved = await run.events.wait_for("recording-saved")

    sidecar = read_sidecar(saved)
    reported = [event["digit"] for event in [*run.events.of("dtmf"), *run.events.of("dtmf-tone"), *sidecar["events"]]]
    assert reported == ["x"] * 8
    assert sidecar["audio"]["dtmf_masked"]
    audio_format = AudioFormat(8000, 2 if mix_type == "stereo" else 1)
    assert digits_heard(recorded_audio(saved), audio_format) == []
    (ended,) = run.events.of("call-ended")
    assert (saved["samples"], saved["complete"]) == (ended["received_samples"], True)


async def test_a_tool_gets_neither_masked_digits_nor_their_tones() -> None:
    audio = dtmf_tones("4111", 8000, tone=0.1, gap=0.05)
    tool = KeepingTool()
    async with running(MASKING) as run:
        peer = await run.call(text('{"callSid":"CS-A","sampleRate":8000,"mixType":"mono"}'))
        await run.events.wait_for("call-started")
        tools = run.server.tools_of(run.server.live[0])
        assert tools is not None
        tools.attach_tool(tool, b"{}", audio=True)
        for at in range(0, len(audio), 320):
            await peer.send(binary(audio[at : at + 320]))
            await asyncio.sleep(0.02)
        await peer.send(text('{"event":"dtmf","dtmf":"4","duration":"800"}'), close(1000))
        await run.events.wait_for("call-ended")

    assert tool.texts == [b"{}", b'{"event":"dtmf","dtmf":"x","duration":"800"}']
    assert (len(tool.audio), tool.samples) == (len(audio), len(audio) // 2)
    assert digits_heard(tool.audio, AudioFormat(8000, 1)) == []


async def test_without_keys_a_masked_recording_is_the_same_with_its_pauses_and_late_metadata(tmp_path: Path) -> None:
    recordings = []
    speech = sample_speech(AudioFormat(8000, 1))[:64000]
    for mask_dtmf in (False, True):
        record = RecordSettings(RecordingDestination.parse(f"{tmp_path}/{mask_dtmf}/"), fill=True)
        async with running(faster(mask_dtmf=mask_dtmf, metadata_timeout=0.1), record=record) as run:
            peer = await run.call()
            for at in range(0, len(speech), 320):
                await peer.send(binary(speech[at : at + 320]))
                await asyncio.sleep(3.0 if at == 32000 else 0.02)
                if at == 16000:
                    await peer.send(text('{"callSid":"CS-A","sampleRate":8000,"mixType":"stereo"}'))
            await peer.send(close(1000))
            saved = await run.events.wait_for("recording-saved")
        recordings.append(
            (saved["samples"], recorded_audio(saved), [gap["position"] for gap in read_sidecar(saved)["gaps"]])
        )

    unmasked, masked = recordings
    assert masked == unmasked


MEMBER = {"room": "r", "memberId": 7, "callSid": "a", "accountSid": "b", "tag": "", "sampleRate": 8000}


@pytest.mark.parametrize(
    ("metadata", "recorded", "warned"),
    [
        (MEMBER, True, ["muted-member"]),
        (MEMBER, False, []),
        ({"callSid": "a", "sampleRate": 8000, "mixType": "mono"}, True, []),
    ],
)
async def test_a_recorded_room_member_is_warned_of_because_nothing_tells_who_is_muted(
    metadata: dict[str, object], recorded: bool, warned: list[str], tmp_path: Path
) -> None:
    async with running(record=tmp_path if recorded else None) as run:
        await run.call(text(json.dumps(metadata)), binary(bytes(640)), close(1000))
        await run.events.wait_for("call-ended")

    assert [warning["rule"] for warning in run.events.of("warning")] == warned


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


async def test_a_mark_and_a_clip_of_a_tool_are_reported_with_the_names_that_their_user_gave(tmp_path: Path) -> None:
    async with running(record=tmp_path) as run:
        peer = await run.call(text('{"callSid":"CS-A","sampleRate":8000,"mixType":"mono"}'))
        await run.events.wait_for("call-started")
        tools = run.server.tools_of(run.server.live[0])
        assert tools is not None
        number = tools.attach_tool(SilentTool(), b"{}", audio=False)
        await tools.take_tool_message(number, '{"type":"mark","data":{"name":"intro"}}')
        await tools.take_tool_message(number, play(bytes(16), id=7).decode())
        await peer.send(
            text(Mark("lc-m1-intro", "playout").serialize()), text('{"type":"playDone","data":{"id":"lc-c1"}}')
        )
        # Names that no tool gave stay as they are.
        await peer.send(text(Mark("lc-m9", "playout").serialize()), close(1000))
        saved = await run.events.wait_for("recording-saved")

    assert [event["name"] for event in run.events.of("mark")] == ["intro", "lc-m9"]
    assert [event["id"] for event in run.events.of("play-done")] == [7]
    listed = read_sidecar(saved)["events"]
    assert [event.get("name", event.get("id")) for event in listed] == ["intro", 7, "lc-m9"]
