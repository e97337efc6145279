"""A program for each call: simulated calls, real children."""

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from listenctl.media.channel_layout import ChannelLayout
from listenctl.protocol.call_sharing.tool_messages import ToolMessageType
from listenctl.server.responders.exec_responder import ExecEnd, ExecProgram, ExecResponder
from tests.helpers.control import controlled
from tests.helpers.frames import binary, close, text
from tests.helpers.server import LIMIT, Event, Events, Running, faster
from tests.helpers.simulated_calls import (
    Heard,
    answer_call,
    as_streamed,
    is_alive,
    make_noise,
    place_and_hear,
    plan_to_hear,
    responding,
    without_silence,
)

METADATA: dict[str, object] = {"streamRate": 8000}


def program(*command: str, **more: object) -> ExecResponder:
    return ExecResponder(ExecProgram(command, **more))  # type: ignore[arg-type]


def python(script: str, **more: object) -> ExecResponder:
    return program(sys.executable, "-c", f"import os, sys, time\n{script}", **more)


def said(events: Events) -> list[str]:
    return [event["line"] for event in events.of("exec-said")]


async def run_program(
    folder: Path, responder: ExecResponder, *, record: Path | None = None, **plan: Any
) -> tuple[Running, Heard, Event]:
    """Return what came of a call that a program answers: all of it, what the caller heard, and the program's end."""
    run, heard = await answer_call(folder, responder, record=record, **plan)
    return run, heard, await run.events.wait_for_one("exec-ended", call=heard.metadata.call_sid)


async def test_the_caller_hears_what_the_program_writes_from_the_first_sample_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However late the rate is found, nothing of the start is dropped; the call ends when all has been heard.
    monkeypatch.setattr("listenctl.server.control_api.in_process_tool.MAX_WAITING", 60)
    noise = make_noise(tmp_path, sample_rate=8000, samples=12000)
    echo = program("sh", "-c", "head -c 24000; head -c 16000 /dev/zero", end=ExecEnd.DISCONNECT)

    run, heard, ended = await run_program(tmp_path, echo, record=tmp_path / "calls", caller=noise, duration=60)

    assert np.array_equal(without_silence(heard.audio), without_silence(as_streamed(noise.samples[0])))
    assert run.events.of("recording-saved")[0]["complete"]
    assert (ended["status"], ended["signal"], ended["dropped_samples"]) == (0, None, 0)
    assert ended["spoken_seconds"] == 2.5


@pytest.mark.parametrize(("channel", "index"), [(ChannelLayout.LEFT, 0), (ChannelLayout.RIGHT, 1)])
async def test_the_program_reads_the_channel_that_it_was_promised(
    channel: ChannelLayout, index: int, tmp_path: Path
) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=4000)
    reader = program("sh", "-c", f"cat > {tmp_path}/pcm", channel=channel)

    await run_program(tmp_path, reader, caller=noise, callee=None, mix_type="stereo")

    assert (tmp_path / "pcm").read_bytes() == noise.samples[index].astype("<i2").tobytes()


async def test_the_program_learns_of_its_call_from_its_environment(tmp_path: Path) -> None:
    names = ("CONTROL", "NAME", "CALL", "CHANNELS", "STREAM_RATE", "FROM")
    script = f'echo "{" ".join(f"$LISTENCTL_{name}" for name in names)}" >&2'
    async with controlled(tmp_path) as server:
        server.run.server.responders.append(program("sh", "-c", script))
        metadata = {"streamRate": 16000, "from": "$(reboot)\n\0x"}
        plan = plan_to_hear(server.run, tmp_path / "heard.wav", duration=0.5, mix_type="stereo", metadata=metadata)
        heard = await place_and_hear(plan)
        await server.run.events.wait_for_one("exec-ended", call=heard.metadata.call_sid)

    # The rest of the number is on a line of its own, without the NUL.
    first = f"{server.socket} default {heard.metadata.call_sid} 2 16000 $(reboot)"
    assert said(server.run.events) == [first, "x"]


@pytest.mark.parametrize(
    ("script", "status", "signal"), [("echo 'no model' >&2; exit 7", 7, None), ("kill -9 $$", None, "SIGKILL")]
)
async def test_a_program_that_ends_is_reported_and_its_call_goes_on(
    script: str, status: int | None, signal: str | None, tmp_path: Path
) -> None:
    async with responding(program("sh", "-c", script)) as run:
        call = asyncio.create_task(place_and_hear(plan_to_hear(run, tmp_path / "heard.wav", duration=LIMIT)))
        ended = await run.events.wait_for("exec-ended")
        live = list(run.server.live)
        call.cancel()
        await asyncio.wait([call])

    assert (ended["status"], ended["signal"]) == (status, signal)
    assert said(run.events) == ["no model"] * (status == 7)
    assert len(live) == 1


@pytest.mark.parametrize("leave", ["", "setsid"])
async def test_what_the_program_leaves_behind_doesnt_keep_its_end_from_counting(leave: str, tmp_path: Path) -> None:
    (tmp_path / "pcm").write_bytes(np.full(8000, 1000, "<i2").tobytes())
    left = f"{leave} sh -c 'echo $$ > pid; exec sleep 250' & while [ ! -s pid ]; do :; done"
    script = f"cd {tmp_path}; {left}; cat pid >&2; cat pcm; exit 3"

    run, heard, ended = await run_program(
        tmp_path, program("sh", "-c", script, end=ExecEnd.DISCONNECT), duration=10, metadata=METADATA
    )
    left_behind = int(said(run.events)[0])
    survives = is_alive(left_behind)
    with suppress(ProcessLookupError):
        os.kill(left_behind, 9)

    assert (ended["status"], ended["spoken_seconds"]) == (3, 1.0)
    assert len(without_silence(heard.audio)) == 8000
    assert heard.events.of("call-ended")[0]["cause"] == "disconnect"
    assert len(heard.audio) < 8000 * 5
    # Whoever has left the group is free.
    assert survives == (leave == "setsid")


async def test_a_call_that_is_over_before_the_rate_is_found_is_heard_by_its_program(tmp_path: Path) -> None:
    teller = program("sh", "-c", f'echo "<$LISTENCTL_STREAM_RATE>" >&2; cat > {tmp_path}/pcm')

    run, _, _ = await run_program(tmp_path, teller, caller="tone:440", duration=0.2)

    assert said(run.events) == ["<>"]
    assert (tmp_path / "pcm").stat().st_size == 3200


async def test_the_end_of_what_the_program_says_is_heard_while_it_is_silent(tmp_path: Path) -> None:
    # Without padding jambonz keeps the last 80 ms (listenctl-protocol(7) 6.2); an odd byte waits for its other half.
    script = (
        "sample = b'\\x10\\x20'\n"
        "os.write(1, sample * 2000 + sample[:1])\n"
        "time.sleep(0.6)\n"
        "os.write(1, sample[1:] + sample * 999)\n"
        "sys.stdin.buffer.read()"
    )

    _, heard, _ = await run_program(tmp_path, python(script), duration=4.0, metadata=METADATA)

    sounding = without_silence(heard.audio)
    assert len(sounding) == 3000
    assert set(sounding.tolist()) == {0x2010}
    assert not [verdict for verdict in heard.verdicts if verdict[1] == "tail-held"]


async def test_a_program_that_writes_too_fast_is_held_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.server.responders.exec_responder.EXIT_TIMEOUT", 0.1)

    _, _, ended = await run_program(tmp_path, program("yes"), duration=3.0, metadata=METADATA)

    # The lead is 0.2 s; on a busy machine, the program starts late.
    assert 0 < ended["spoken_seconds"] < 3.5
    assert ended["signal"] == "SIGTERM"


async def test_a_program_that_falls_behind_loses_audio_and_the_recording_doesnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("listenctl.server.responders.exec_responder.EXIT_TIMEOUT", 3.0)
    monkeypatch.setattr("listenctl.server.responders.exec_responder.MAX_UNREAD", 0.2)

    run, _, ended = await run_program(
        tmp_path,
        program("sh", "-c", "head -c 100 >/dev/null; sleep 60"),
        record=tmp_path / "calls",
        caller="tone:440",
        duration=1.5,
        sample_rate=64000,
    )

    warnings = [event for event in run.events.of("warning") if event["rule"] == "exec-too-slow"]
    # All but the first bytes: what was dropped, and what waited when the program was ended.
    assert 1.4 < ended["dropped_samples"] / 64000 <= 1.5
    assert ended["dropped_seconds"] == round(ended["dropped_samples"] / 64000, 3)
    assert len(warnings) == 1
    assert run.events.of("recording-saved")[0]["complete"]
    assert ended["signal"] == "SIGTERM"


async def test_a_program_that_only_speaks_lacks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("listenctl.server.responders.exec_responder.EXIT_TIMEOUT", 0.1)
    monkeypatch.setattr("listenctl.server.responders.exec_responder.MAX_UNREAD", 0.2)

    run, _, ended = await run_program(tmp_path, program("sleep", "60"), caller="tone:440", duration=1.5)

    [warning] = [event for event in run.events.of("warning") if event["rule"] == "exec-too-slow"]
    assert "has not read any audio of the call" in warning["detail"]
    assert ended["dropped_samples"] == 0


async def test_a_call_that_takes_clips_is_heard_by_its_program_and_told_of(tmp_path: Path) -> None:
    plan: dict[str, Any] = {"caller": "tone:440", "duration": 0.5, "stream_rate": None, "metadata": {"streamRate": 0}}

    run, heard, ended = await run_program(tmp_path, program("cat"), **plan)

    assert [warning["rule"] for warning in run.events.of("warning")] == ["exec-unheard"]
    assert not heard.audio.any()
    assert heard.verdicts == set()
    assert ended["status"] == 0


async def test_a_program_that_cant_be_started_doesnt_cost_the_call(tmp_path: Path) -> None:
    async with responding(program("/nonexistent/agent", "--x")) as run:
        heard = await place_and_hear(plan_to_hear(run, tmp_path / "heard.wav", duration=0.3))
        failed = await run.events.wait_for_one("exec-failed", call=heard.metadata.call_sid)
        over = await run.events.wait_for_one("call-ended", call=heard.metadata.call_sid)

    assert failed["command"] == "/nonexistent/agent --x"
    assert failed["reason"] == "No such file or directory"
    assert over["closed_by"] == "jambonz"


async def test_a_program_hears_on_when_late_metadata_change_the_format_and_that_is_told(tmp_path: Path) -> None:
    settings = faster(metadata_timeout=0.05)

    async with responding(program("sh", "-c", f"cat > {tmp_path}/pcm"), settings=settings) as run:
        peer = await run.call(binary(b"\1\0" * 160))
        await run.events.wait_for("exec-started")
        await peer.send(text('{"callSid":"a","sampleRate":16000,"mixType":"stereo"}'), binary(b"\2\0" * 320))
        warning = await run.events.wait_for_warning("exec-format")
        await peer.send(close(1000))
        await run.events.wait_for("exec-ended")

    assert "16000 Hz and 2 channels" in warning["detail"]
    assert (tmp_path / "pcm").read_bytes() == b"\1\0" * 160 + b"\2\0" * 320


async def test_a_stream_goes_on_after_somebody_has_silenced_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "while os.getppid() > 1: os.write(1, b'\\x10\\x10' * 1600)"
    monkeypatch.setattr("listenctl.server.responders.exec_responder.EXIT_TIMEOUT", 0.1)

    async with controlled(tmp_path) as server:
        server.run.server.responders.append(python(script))
        plan = plan_to_hear(server.run, tmp_path / "heard.wav", duration=4.0, metadata=METADATA)
        placing = asyncio.create_task(place_and_hear(plan))
        await server.run.events.wait_for("exec-started")
        async with server.attach() as tool:
            playout = 0.0
            while playout < 0.1:
                await tool.send(ToolMessageType.SYNC.serialize())
                playout = (await tool.json())["data"]["playout"]
            await tool.send('{"type":"mark","data":{"name":"heard"}}')
            await tool.json()
            await tool.send('{"type":"killAudio"}')
        heard = await placing

    # What had been sent ahead isn't played, and what follows is.
    sounding = np.flatnonzero(heard.audio)
    pauses = np.diff(sounding)
    assert pauses.max() / heard.sample_rate > 0.02
    assert len(sounding) - pauses.argmax() > 0.1 * heard.sample_rate


async def test_endless_lines_and_floods_of_them_are_bounded(tmp_path: Path) -> None:
    script = "os.write(2, b'x' * 200_000 + b'\\n' + b'\\x1b[2J\\xff\\n' + b'y\\n' * 5000)"

    run, _, ended = await run_program(tmp_path, python(script), duration=1.0)

    lines = said(run.events)
    assert lines[0] == "x" * 1000
    assert lines[1] == "\x1b[2J\ufffd"
    assert len(lines) + ended["dropped_lines"] == 5002
    assert len(lines) < 200


async def test_the_server_ends_only_when_its_programs_have(tmp_path: Path) -> None:
    async with responding(program("sh", "-c", "cat >/dev/null; echo done >&2")) as run:
        placing = asyncio.create_task(place_and_hear(plan_to_hear(run, tmp_path / "heard.wav", duration=10)))
        await run.events.wait_for("exec-started")
        run.server.shutdown.begin()
        await placing
        await run.ended

    kinds = [event["event"] for event in run.events.all]
    assert said(run.events) == ["done"]
    assert kinds.index("call-ended") < kinds.index("exec-ended")


async def test_each_of_many_calls_has_a_program_of_its_own(tmp_path: Path) -> None:
    async with responding(program("cat")) as run:
        plans = [plan_to_hear(run, tmp_path / f"heard-{number}.wav", duration=2.0) for number in range(30)]
        calls = await asyncio.gather(*(place_and_hear(plan) for plan in plans))
        for heard in calls:
            await run.events.wait_for_one("exec-ended", call=heard.metadata.call_sid)

    endings: list[Event] = run.events.of("exec-ended")
    assert [(ending["status"], ending["dropped_samples"]) for ending in endings] == [(0, 0)] * 30
    assert len({event["pid"] for event in run.events.of("exec-started")}) == 30


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("b'RIFF' + bytes(4) + b'WAVEfmt ' + bytes(8000)", "WAV"),
        ("b'OggS' + bytes(8000)", "Ogg"),
        ("bytes([0xff, 0xfb, 0x90, 0xc4]).ljust(417, b'x') * 20", "MP3"),
        ('b\'{"error": "no voice"}\'', "JSON"),
        ("bytes(8000)", None),
    ],
)
async def test_a_program_that_writes_no_raw_audio_is_a_warning(written: str, found: str | None, tmp_path: Path) -> None:
    # The call lasts until what was written is heard.
    writer = python(f"sys.stdout.buffer.write({written})", end=ExecEnd.DISCONNECT)

    run, _, _ = await run_program(tmp_path, writer, duration=60, metadata=METADATA)

    warnings = [event["detail"] for event in run.events.of("warning") if event["rule"] == "exec-not-raw"]
    sentence = "heard as noise: write raw 16-bit little-endian samples at 8000 Hz, without a header"
    assert warnings == ([f"the program writes {found}, which is {sentence}"] if found else [])
