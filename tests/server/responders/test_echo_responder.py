"""Callers hear themselves."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import soundfile

from listenctl.protocol.application_commands import MarkCommand
from listenctl.protocol.call_sharing.tool_messages import ToolMessageType
from listenctl.server.responders.echo_responder import EchoResponder
from tests.helpers.control import controlled
from tests.helpers.frames import binary, text
from tests.helpers.server import faster
from tests.helpers.simulated_calls import (
    answer_call,
    as_streamed,
    make_noise,
    place_and_hear,
    plan_to_hear,
    without_silence,
)

pytestmark = pytest.mark.simulated_time


@pytest.mark.parametrize("mix_type", ["mono", "stereo"])
async def test_callers_hear_what_they_say_from_the_first_sample_on(mix_type: str, tmp_path: Path) -> None:
    noise = make_noise(tmp_path, sample_rate=8000, samples=8000)

    _, heard = await answer_call(
        tmp_path, EchoResponder(), caller=noise, duration=1.8, mix_type=mix_type, metadata={"streamRate": 8000}
    )

    assert np.array_equal(without_silence(heard.audio), without_silence(as_streamed(noise.samples[0])))


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize(("sample_rate", "stream_rate"), [(16000, 8000), (8000, 16000)])
async def test_the_echo_has_the_rate_of_the_stream(
    sample_rate: int, stream_rate: int, said: bool, tmp_path: Path
) -> None:
    run, heard = await answer_call(
        tmp_path,
        EchoResponder(),
        caller="tone:440",
        duration=2.8,
        sample_rate=sample_rate,
        stream_rate=stream_rate,
        metadata={"streamRate": stream_rate} if said else {},
    )

    assert run.events.of("warning") == []
    second = without_silence(heard.audio)[2000:][: heard.sample_rate]
    spectrum = np.abs(np.fft.rfft(second))
    assert len(second) == heard.sample_rate
    assert abs(int(spectrum.argmax()) - 440) <= 2


async def test_the_servers_rate_counts_where_the_metadata_has_none(tmp_path: Path) -> None:
    _, heard = await answer_call(
        tmp_path,
        EchoResponder(),
        settings=faster(stream_rate=8000),
        caller="tone:440",
        duration=1.0,
        sample_rate=16000,
    )

    # Echoed at the call's own rate there would be twice as much.
    assert 0.5 < heard.events.of("call-ended")[0]["received_audio_bytes"] / 16000 <= 1.05


async def test_an_echo_that_had_to_find_out_the_rate_isnt_late_for_that(tmp_path: Path) -> None:
    caller = tmp_path / "caller.wav"
    soundfile.write(caller, np.concatenate([np.zeros(12000), np.full(8000, 3000)]).astype(np.int16), 8000)

    _, heard = await answer_call(tmp_path, EchoResponder(), caller=str(caller), duration=3.0)

    assert 1.5 <= np.flatnonzero(heard.audio)[0] / 8000 < 1.8


@pytest.mark.parametrize(
    ("metadata", "doubt"),
    [({"streamRate": 0}, "takes clips"), ({}, "the caller may hear nothing: jambonz answers no mark")],
)
async def test_a_call_that_may_not_hear_its_echo_is_told_of(
    metadata: dict[str, object], doubt: str, tmp_path: Path
) -> None:
    run, heard = await answer_call(
        tmp_path, EchoResponder(), caller="tone:440", duration=1.0, stream_rate=None, metadata=metadata
    )

    warning = await run.events.wait_for_warning("echo-unheard")
    assert warning["call"] == heard.metadata.call_sid
    assert doubt in warning["detail"]
    assert not heard.audio.any()
    assert not metadata or heard.verdicts == set()


async def test_the_echo_of_a_call_that_is_silent_keeps_nobody_from_streaming(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        server.run.server.responders.append(EchoResponder())
        peer = await server.run.call(text('{"callSid":"a","sampleRate":8000,"mixType":"mono","streamRate":8000}'))
        await server.run.events.wait_for("call-started")
        async with server.attach() as first, server.attach() as second:
            await first.send(ToolMessageType.ACQUIRE.serialize())
            await first.json()
            # The echo wants it now, and so does another.
            await peer.send(binary(bytes(320)))
            await second.send(ToolMessageType.ACQUIRE.serialize())
            await first.send(ToolMessageType.RELEASE.serialize())

            assert await second.json() == {"type": "listenctl:granted"}


async def test_the_echo_pauses_while_another_tool_streams_and_comes_back(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        server.run.server.responders.append(EchoResponder())
        plan = plan_to_hear(
            server.run, tmp_path / "heard.wav", caller="tone:440", duration=4.0, metadata={"streamRate": 8000}
        )
        placing = asyncio.create_task(place_and_hear(plan))
        await server.run.events.wait_for("call-started")
        async with server.attach() as tool:
            await tool.send(ToolMessageType.ACQUIRE.serialize())
            granted = await tool.json()
            await tool.send(np.full(8000, 12345, "<i2").tobytes(), MarkCommand("said").serialize())
            # It pushes the end of that out of the pre-buffer (listenctl-protocol(7) 6.2).
            await tool.send(bytes(2560))
            said = await tool.json()
            await tool.send(ToolMessageType.RELEASE.serialize())
        heard = await placing

    from_tool = np.flatnonzero(heard.audio == 12345)
    assert granted == {"type": "listenctl:granted"}
    assert said["data"]["name"] == "said"
    # All in one piece, so no echo was added to it, and echo comes before the end.
    assert from_tool[-1] - from_tool[0] == 7999
    assert np.abs(heard.audio[from_tool[-1] + 4000 :].astype(int)).max() > 1000
