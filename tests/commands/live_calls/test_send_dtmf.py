"""`send-dtmf` to calls that live: simulated ones of this machine, and those of a running server."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from listenctl.events import Reporter
from listenctl.media.dtmf_detector import DtmfDetector
from listenctl.media.sources.audio_sources import open_source
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio, ListenVerb
from listenctl.simulator.plan import CallPlan
from listenctl.simulator.simulated_call import SimulatedCall
from listenctl.simulator.simulated_call_socket import call_socket
from tests.helpers.cli import listenctl
from tests.helpers.scripted_server import target
from tests.helpers.server import Events, Running, faster, running

NOTE = "listenctl: the protocol can't send DTMF to jambonz; the digits are played to the caller as tones"


@asynccontextmanager
async def placed(
    folder: Path, *, found: bool = True, heard: Path | None = None, stream: bool = True, pass_dtmf: bool = True
) -> AsyncIterator[tuple[Running, SimulatedCall]]:
    """Run a server with a call whose caller can be found, as one of `listenctl call`, if ``found``."""
    option = BidirectionalAudio(streaming=True, sample_rate=8000) if stream else BidirectionalAudio()
    verb = ListenVerb(pass_dtmf=pass_dtmf, bidirectional=option, metadata={"streamRate": 8000 if stream else 0})
    async with running(faster(control=folder / "listenctl" / "default.sock")) as run:
        call = SimulatedCall(CallPlan(target=target(run.port), verb=verb, heard=heard), Reporter(Events()))
        over = asyncio.create_task(call.run())
        await run.events.wait_for("call-started")
        try:
            if found:
                async with call_socket(folder / "listenctl" / "calls", call, lambda _: None):
                    yield run, call
            else:
                yield run, call
        finally:
            call.hang_up()
            await over


async def send(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(lambda: listenctl("send-dtmf", *arguments, home=folder))


async def keys_heard(path: Path) -> list[tuple[str, int]]:
    """Return the keys that the caller heard, and their milliseconds."""
    source = await open_source(str(path), 8000, channel=1)
    detector = DtmfDetector(8000)
    tones = []
    while data := await source.read(8000):
        tones += detector.feed(data)
    return [(tone.digit, tone.duration_ms) for tone in [*tones, *detector.end_audio()]]


@pytest.mark.parametrize("by", ["id", "prefix", "@latest"])
async def test_a_simulated_call_gets_the_events_that_jambonz_would_send(by: str, tmp_path: Path) -> None:
    async with placed(tmp_path) as (run, call):
        sid = call.metadata.call_sid or ""
        wanted = {"id": sid, "prefix": sid[:6]}.get(by, by)
        done = await send(tmp_path, wanted, "1w#d", "--digit-ms", "60", "--gap-ms", "40")
        events = [await run.events.wait_for("dtmf", number) for number in (1, 2, 3)]

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{sid}: 1w#D pressed\n", "")
    assert [(event["digit"], event["duration"]) for event in events] == [("1", "480"), ("#", "480"), ("D", "480")]
    assert events[1]["time"] - events[0]["time"] == pytest.approx(0.6, abs=0.25)


async def test_what_was_pressed_is_one_json_object_if_asked_for(tmp_path: Path) -> None:
    async with placed(tmp_path) as (_, call):
        done = await send(tmp_path, "@latest", "7", "--json")

    said = {"v": 1, "call_sid": call.metadata.call_sid, "digits": "7", "as": "event", "passed": True}
    assert json.loads(done.stdout) == said


async def test_keys_that_the_verb_doesnt_pass_on_are_status_3_and_said(tmp_path: Path) -> None:
    async with placed(tmp_path, pass_dtmf=False) as (_, call):
        human = await send(tmp_path, "@latest", "7")
        machine = await send(tmp_path, "@latest", "7", "--json")

    said = "listenctl: the call's verb has no passDtmf, so the server receives no DTMF\n"
    assert (human.returncode, human.stdout, human.stderr) == (3, f"{call.metadata.call_sid}: 7 pressed\n", said)
    assert (machine.returncode, json.loads(machine.stdout)["passed"], machine.stderr) == (3, False, said)


@pytest.mark.parametrize("arguments", [["12"], ["12", "--as", "tones"]], ids=["event", "tones"])
async def test_it_is_quiet_if_asked_to_be(arguments: list[str], tmp_path: Path) -> None:
    async with placed(tmp_path):
        done = await send(tmp_path, "@latest", *arguments, "-q")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_keys_need_no_gap_as_tones_do(tmp_path: Path) -> None:
    async with placed(tmp_path) as (run, _):
        keys = await send(tmp_path, "@latest", "1w2", "--digit-ms", "50", "--gap-ms", "0")
        tones = await send(tmp_path, "@latest", "1w2", "--gap-ms", "39", "--as", "tones")
        pressed = [event["digit"] for event in run.events.of("dtmf")]

    assert keys.returncode == 0
    assert pressed == ["1", "2"]
    said = "listenctl: --gap-ms 39: tones need at least 40 ms between them\n"
    assert (tones.returncode, tones.stderr) == (2, said)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "clips"])
async def test_any_other_call_gets_tones_that_the_caller_hears(stream: bool, tmp_path: Path) -> None:
    heard = tmp_path / "heard.wav"
    async with placed(tmp_path, found=False, heard=heard, stream=stream) as (run, call):
        done = await send(tmp_path, "@latest", "12w#")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{call.metadata.call_sid}: digits 12w# played")
    assert done.stderr.splitlines() == [NOTE]
    keys = await keys_heard(heard)
    assert [digit for digit, _ in keys] == ["1", "2", "#"]
    assert all(abs(milliseconds - 100) <= 10 for _, milliseconds in keys)
    assert run.events.of("dtmf") == []


async def test_a_simulated_call_gets_tones_if_asked_for(tmp_path: Path) -> None:
    heard = tmp_path / "heard.wav"
    async with placed(tmp_path, heard=heard) as (run, _):
        done = await send(tmp_path, "@latest", "5", "--as", "tones", "--digit-ms", "200", "--json")

    assert json.loads(done.stdout)["outcome"] == "played"
    ((digit, milliseconds),) = await keys_heard(heard)
    assert digit == "5"
    assert milliseconds == pytest.approx(200, abs=10)
    assert run.events.of("dtmf") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch", "1"], "no simulated call nosuch is running on this machine; there is no live call nosuch"),
        (["nosuch", "1", "--as", "event"], "no simulated call nosuch is running on this machine"),
        (["nosuch", "1", "--as", "tones"], "there is no live call nosuch"),
    ],
)
async def test_a_call_that_is_nowhere_is_status_4_and_says_where_it_was_looked_for(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    async with placed(tmp_path):
        done = await send(tmp_path, *arguments)

    assert (done.returncode, done.stdout, done.stderr) == (4, "", f"listenctl: {said}\n")


async def test_without_a_server_and_a_simulated_call_it_names_both(tmp_path: Path) -> None:
    done = await send(tmp_path, "@latest", "1")

    assert done.returncode == 4
    assert done.stderr.startswith(
        "listenctl: no simulated call @latest is running on this machine; no server named default"
    )


async def test_keys_that_take_too_long_are_status_124_and_counted(tmp_path: Path) -> None:
    async with placed(tmp_path):
        done = await send(tmp_path, "@latest", "12ww3", "--timeout", "0.7", "--digit-ms", "50", "--gap-ms", "0")

    said = "listenctl: not all keys were pressed within 0.7 s: 2 of 3 were\n"
    assert (done.returncode, done.stderr) == (124, said)


async def test_a_call_that_ends_between_keys_is_status_4_and_they_are_counted(tmp_path: Path) -> None:
    async with placed(tmp_path) as (run, call):
        sending = asyncio.create_task(send(tmp_path, "@latest", "1" + 20 * "w" + "2"))
        await run.events.wait_for("dtmf")
        call.hang_up()
        done = await sending

    assert (done.returncode, done.stderr) == (4, "listenctl: the call has ended: 1 of 2 keys were pressed\n")


# What has no meaning for a kind of target.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ws://127.0.0.1:1/", "1", "--name", "default"], "--name is for a live call"),
        (["ws://127.0.0.1:1/", "1", "--as", "tones"], "--as is for a live call"),
        (["a", "1", "--tones"], "--tones is for a call to a URL"),
        (["a", "1", "--events", "f"], "--events is for a call to a URL"),
        (["a", "1", "--ca", "f"], "--ca is for a call to a URL"),
        (["a", "1", "--insecure"], "--insecure is for a call to a URL"),
        (["a", "1", "--auth-file", "f"], "--auth-file is for a call to a URL"),
        (["a", "1", "--user-agent", "x"], "--user-agent is for a call to a URL"),
        (["a", "1", "--subprotocol", "x"], "--subprotocol is for a call to a URL"),
    ],
)
async def test_an_option_without_a_meaning_is_refused(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = await send(tmp_path, *arguments)

    assert done.returncode == 2
    assert done.stderr.startswith(f"listenctl: {said}")


async def test_a_variable_may_mean_other_commands(tmp_path: Path) -> None:
    env = {"LISTENCTL_CA": "/nowhere", "LISTENCTL_EVENTS": "f"}
    async with placed(tmp_path):
        done = await asyncio.to_thread(lambda: listenctl("send-dtmf", "@latest", "1", home=tmp_path, env=env))

    assert (done.returncode, done.stderr) == (0, "")


async def test_a_call_to_a_url_that_takes_too_long_is_status_124(tmp_path: Path) -> None:
    async with running(faster()) as run:
        url = f"ws://127.0.0.1:{run.port}/"
        done = await send(tmp_path, url, "1", "--timeout", "0.2")

    assert (done.returncode, done.stdout) == (124, "")
    assert done.stderr.endswith("listenctl: 1: not accepted by the server within 0.2 s\n")
