import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from listenctl.load import load_call
from listenctl.load.load_call_outcome import LoadCallEnding, LoadCallOutcome
from listenctl.load.load_frames import speech_frames
from listenctl.load.load_thresholds import Threshold
from listenctl.load.plan import CallFormat, FormatShare, LoadPlan, parse_mix
from listenctl.load.report import LoadReport
from listenctl.load.run_load import LoadRun
from listenctl.net.server_address import CallTarget
from listenctl.protocol.application_commands import Disconnect, MarkCommand, PlayAudio
from tests.helpers.scripted_server import target

pytestmark = pytest.mark.simulated_time

Take = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def listening(
    take: Take, refuse: Callable[[ServerConnection, Request], Response | None] | None = None
) -> AsyncIterator[CallTarget]:
    async def take_and_forget(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            await take(connection)

    subprotocols = [Subprotocol("audio.jambonz.org")]
    async with (
        asyncio.timeout(3600),
        serve(
            take_and_forget, "127.0.0.1", 0, subprotocols=subprotocols, ping_interval=None, process_request=refuse
        ) as server,
    ):
        yield target(server.sockets[0].getsockname()[1])


async def ignore(connection: ServerConnection) -> None:
    async for _ in connection:
        pass


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        if isinstance(message, bytes):
            await connection.send(message)


async def run(plan: LoadPlan) -> tuple[LoadReport, list[LoadCallOutcome]]:
    outcomes: list[LoadCallOutcome] = []
    report = await LoadRun(plan, outcomes.append).run()
    return report, outcomes


async def test_each_call_is_complete_with_its_own_first_text_and_all_its_frames() -> None:
    received: list[list[str | bytes]] = []

    async def keep(connection: ServerConnection) -> None:
        received.append([message async for message in connection])

    async with listening(keep) as server:
        report, outcomes = await run(
            LoadPlan(target=server, calls=6, hold=0.5, mix=parse_mix("8000:mono*2,16000:stereo"), arrivals=1000)
        )

    first = [json.loads(messages[0]) for messages in received]
    audio = {
        fields["callSid"]: b"".join(map(_bytes, messages[1:])) for fields, messages in zip(first, received, strict=True)
    }
    assert report.ok
    assert (report.placed, report.connected, report.endings[LoadCallEnding.COMPLETE]) == (6, 6, 6)
    assert report.formats == {"8000:mono": 4, "16000:stereo": 2}
    assert report.close_codes == {"1000": 6}
    assert {fields["direction"] for fields in first} == {"inbound"}
    for outcome in outcomes:
        assert audio[outcome.call_sid] == b"".join(speech_frames(outcome.format).payloads[:25])
        assert outcome.frames == 25


def _bytes(message: str | bytes) -> bytes:
    assert isinstance(message, bytes)
    return message


async def test_an_echo_is_found_whole_with_its_delay_and_gain() -> None:
    async with listening(echo) as server:
        report, outcomes = await run(LoadPlan(target=server, calls=3, hold=0.6, echo=True, arrivals=1000))

    assert report.ok
    assert report.echo is not None
    assert (report.echo.sent, report.echo.lost) == (90, 0)
    assert report.echo.delay is not None
    assert report.echo.gain is not None
    assert (report.echo.delay.count, report.echo.gain.min, report.echo.gain.max) == (90, 0.0, 0.0)
    assert all(outcome.first_audio is not None for outcome in outcomes)


async def test_an_echo_with_a_hole_fails_its_check() -> None:
    async def lossy(connection: ServerConnection) -> None:
        number = 0
        async for message in connection:
            number += isinstance(message, bytes)
            if isinstance(message, bytes) and number not in (10, 11):
                await connection.send(message)

    async with listening(lossy) as server:
        report, _ = await run(LoadPlan(target=server, calls=1, hold=0.6, echo=True))

    assert report.echo is not None
    assert report.echo.lost >= 2
    assert not report.ok
    assert [one.text for one in report.outcomes if not one.ok] == ["echo.lost>0"]


async def test_the_end_of_an_echo_is_waited_for() -> None:
    async def delayed(connection: ServerConnection) -> None:
        late: list[bytes] = []
        async for message in connection:
            if isinstance(message, bytes):
                late.append(message)
                if len(late) > 20:
                    await connection.send(late.pop(0))

    async with listening(delayed) as server:
        report, _ = await run(LoadPlan(target=server, calls=1, hold=0.6, echo=True))

    assert report.echo is not None
    assert report.echo.lost == 0
    assert report.echo.delay is not None
    assert report.echo.delay.min >= 0.38


async def send_and_keep(connection: ServerConnection, messages: list[str | bytes], answers: list[str | bytes]) -> None:
    await connection.recv()
    for message in messages:
        await connection.send(message)
    answers.extend([message async for message in connection if isinstance(message, str)])


async def run_with(
    *messages: str | bytes, hold: float = 0.2, stream_rate: int | None = None
) -> tuple[LoadReport, LoadCallOutcome, list[str | bytes]]:
    """Run one call whose server sends ``messages``; return the texts that the server got, too."""
    answers: list[str | bytes] = []
    async with listening(partial(send_and_keep, messages=list(messages), answers=answers)) as server:
        report, (outcome,) = await run(LoadPlan(target=server, calls=1, hold=hold, stream_rate=stream_rate))
    return report, outcome, answers


async def test_marks_are_answered_when_their_audio_has_been_played() -> None:
    report, _, answers = await run_with(bytes(4800), MarkCommand("a").serialize(), hold=0.8, stream_rate=8000)

    mark = report.distributions["mark"]
    assert answers == ['{"type": "mark", "data": {"name":"a", "event": "playout"}}']
    assert mark is not None
    assert mark.min >= 0.3


async def test_a_clip_is_first_audio_and_is_answered_when_it_is_over() -> None:
    clip = PlayAudio.encode(bytes(1600), "raw", sample_rate=8000, clip_id="a").serialize()

    report, outcome, answers = await run_with(clip, hold=0.5)

    assert [json.loads(answer)["type"] for answer in answers] == ["playDone"]
    assert outcome.first_audio is not None
    assert report.ignoring_calls == 0


CLIP_WITHOUT_AUDIO = {"audioContentType": "raw", "sampleRate": 8000}


@pytest.mark.parametrize(
    ("message", "stream_rate"),
    [
        (json.dumps({"type": "playAudio", "data": CLIP_WITHOUT_AUDIO}), None),
        (json.dumps({"type": "playAudio", "data": {**CLIP_WITHOUT_AUDIO, "audioContent": ""}}), None),
        (b"", 8000),
        (bytes(320), None),
    ],
    ids=["missing clip", "empty clip", "empty message", "stream that jambonz would not play"],
)
async def test_what_makes_no_sound_is_not_first_audio(message: str | bytes, stream_rate: int | None) -> None:
    report, outcome, _ = await run_with(message, stream_rate=stream_rate)

    assert outcome.first_audio is None
    assert report.ignoring_calls == (message == bytes(320))


async def test_clips_where_the_server_streams_are_counted_as_ignored() -> None:
    clip = PlayAudio.encode(bytes(1600), "raw", sample_rate=8000).serialize()

    report, outcome, _ = await run_with(clip, clip, stream_rate=8000)

    assert report.as_json()["ignored_clip_calls"] == 1
    assert outcome.as_json()["ignored_clips"] == 2
    assert outcome.first_audio is None


async def end_after_first_text(connection: ServerConnection, how: str) -> None:
    await connection.recv()
    match how:
        case "disconnect":
            await connection.send(Disconnect().serialize())
        case "no code":
            connection.transport.write(b"\x88\x00")
        case "abort":
            connection.transport.abort()
        case code:
            await connection.close(int(code), "out of memory" if code == "1011" else "")
    await ignore(connection)


@pytest.mark.parametrize("how", ["disconnect", "1000", "no code", "4000"])
async def test_a_call_that_the_server_ends_is_early_and_fails_the_check_unless_that_is_expected(how: str) -> None:
    expected = [Threshold.parse("ended-early<1")]
    async with listening(partial(end_after_first_text, how=how)) as server:
        report, outcomes = await run(LoadPlan(target=server, calls=2, hold=20))
        tolerant, _ = await run(LoadPlan(target=server, calls=1, hold=20, thresholds=expected))

    assert report.endings == {LoadCallEnding.EARLY: 2}
    assert report.failed == 0
    assert [outcome.text for outcome in report.outcomes if not outcome.ok] == ["ended-early>0"]
    assert tolerant.ok
    assert all(outcome.seconds < 15 for outcome in outcomes)


@pytest.mark.parametrize(("how", "problem"), [("1011", "the server closed with 1011 out of memory"), ("abort", "")])
async def test_a_call_that_breaks_is_a_failure_with_its_reason(how: str, problem: str) -> None:
    async with listening(partial(end_after_first_text, how=how)) as server:
        report, _ = await run(LoadPlan(target=server, calls=2, hold=20))
        tolerant, _ = await run(LoadPlan(target=server, calls=1, hold=5, thresholds=[Threshold.parse("failed>1")]))

    assert report.failed == 2
    assert not report.ok
    assert report.problems == {problem: 2} or not problem
    # A given threshold replaces the default one.
    assert [outcome.text for outcome in tolerant.outcomes] == ["failed>1", "ended-early>0", "lost>0"]
    assert tolerant.ok


async def test_refused_calls_fail_and_the_others_are_measured() -> None:
    refused = 0

    def refuse_some(connection: ServerConnection, _request: Request) -> Response | None:
        nonlocal refused
        refused += 1
        return connection.respond(503, "full\n") if refused % 2 else None

    async with listening(ignore, refuse_some) as server:
        report, outcomes = await run(LoadPlan(target=server, calls=4, hold=0.1, arrivals=1000))

    assert (report.failed, report.connected) == (2, 2)
    assert all("503" in problem for problem in report.problems)
    assert [outcome.handshake is None for outcome in outcomes].count(True) == 2


@pytest.mark.parametrize("limit", [None, 1.0])
async def test_a_load_that_is_stopped_or_takes_too_long_hangs_up_in_order(limit: float | None) -> None:
    up = asyncio.Event()
    closes: list[int | None] = []

    async def take(connection: ServerConnection) -> None:
        await connection.recv()
        up.set()
        await ignore(connection)
        closes.append(connection.close_code)

    async with listening(take) as server:
        load = LoadRun(LoadPlan(target=server, calls=100, hold=600, arrivals=2, timeout=limit))
        running = asyncio.create_task(load.run())
        await up.wait()
        live = load.snapshot()
        if limit is None:
            load.stop()
        report = await running

    assert live.live >= 1
    assert load.timed_out == (limit is not None)
    assert (report.interrupted, report.ok) == (True, False)
    assert report.placed < 100
    assert report.endings == {LoadCallEnding.CUT: report.placed}
    assert report.problems == {}
    assert set(closes) == {1000}


@pytest.mark.parametrize("turns", range(4))
async def test_a_load_can_be_stopped_at_any_moment(turns: int) -> None:
    async with listening(ignore) as server:
        load = LoadRun(LoadPlan(target=server, calls=3, hold=600))
        loading = asyncio.create_task(load.run())
        for _ in range(turns):
            await asyncio.sleep(0)
        load.stop()
        report = await loading

    assert report.interrupted
    assert report.endings.get(LoadCallEnding.FAILED, 0) == 0


async def test_calls_that_are_not_up_yet_are_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        async with asyncio.timeout(30):
            report, _ = await run(LoadPlan(target=target(silent.getsockname()[1]), calls=2, hold=9, timeout=1.0))

    assert report.endings == {LoadCallEnding.CANCELLED: 2}
    assert report.placed == 2


async def test_audio_that_a_server_does_not_read_is_unread_and_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_call, "CLOSE_TIMEOUT", 0.2)
    read_on = asyncio.Event()

    async def stall(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await read_on.wait()
        connection.transport.abort()

    # At this rate the kernel's buffers are full in two seconds.
    mix = [FormatShare(CallFormat(384_000, "stereo"))]
    async with listening(stall) as server:
        report, _ = await run(LoadPlan(target=server, calls=1, hold=4, mix=mix))
        read_on.set()

    unread = report.distributions["unread"]
    assert report.lost_samples > 0
    assert unread is not None
    assert unread.max > 100_000
    assert "lost>0" in [outcome.text for outcome in report.outcomes if not outcome.ok]
