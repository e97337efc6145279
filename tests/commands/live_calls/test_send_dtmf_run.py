"""Digits for live calls: simulated calls on this machine and others; on simulated time."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from listenctl.commands.live_calls.send_command_run import Recipient
from listenctl.commands.live_calls.send_dtmf_run import Digits, DtmfForm, run_digits
from listenctl.errors import ListenctlError, NotFoundError, TimedOutError, UsageError
from listenctl.events import Reporter
from listenctl.media.dtmf_detector import DtmfDetector
from listenctl.media.sources.audio_sources import open_source
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio, ListenVerb
from listenctl.simulator.plan import CallPlan
from listenctl.simulator.simulated_call import SimulatedCall
from listenctl.simulator.simulated_call_socket import call_socket
from tests.helpers.scripted_server import target
from tests.helpers.server import Events, Running, faster, running

pytestmark = pytest.mark.simulated_time

NOTE = "listenctl: the protocol can't send DTMF to jambonz; the digits are played to the caller as tones\n"


@asynccontextmanager
async def placed(
    folder: Path, *, simulated: bool = True, heard: Path | None = None, stream: bool = True, pass_dtmf: bool = True
) -> AsyncIterator[tuple[Running, SimulatedCall]]:
    """Run a server with a call, which is found as a simulated call only if ``simulated``."""
    option = BidirectionalAudio(streaming=True, sample_rate=8000) if stream else BidirectionalAudio()
    verb = ListenVerb(pass_dtmf=pass_dtmf, bidirectional=option, metadata={"streamRate": 8000 if stream else 0})
    async with running(faster(control=folder / "default.sock")) as run, asyncio.TaskGroup() as group:
        call = SimulatedCall(CallPlan(target=target(run.port), verb=verb, heard=heard), Reporter(Events()))
        group.create_task(call.run())
        await run.events.wait_for("call-started")
        try:
            if simulated:
                async with call_socket(folder / "calls", call, lambda _: None):
                    yield run, call
            else:
                yield run, call
        finally:
            call.hang_up()


async def send(
    folder: Path,
    digits: Digits,
    *,
    call: str = "@latest",
    form: DtmfForm | None = None,
    patience: float = 60,
    json: bool = False,
    quiet: bool = False,
) -> int:
    recipient = Recipient(socket=folder / "default.sock", call=call, timeout=patience, json=json, quiet=quiet)
    return await run_digits(recipient, digits, folder / "calls", form)


async def detected_digits(path: Path) -> list[tuple[str, int]]:
    """Return the digits that the caller heard, and their milliseconds."""
    source = await open_source(str(path), 8000, channel=1)
    detector = DtmfDetector(8000)
    tones = []
    while data := await source.read(8000):
        tones += detector.feed(data)
    return [(tone.digit, tone.duration_ms) for tone in [*tones, *detector.end_audio()]]


@pytest.mark.parametrize("name", ["id", "prefix", "@latest"])
async def test_simulated_call_sends_events(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with placed(tmp_path) as (run, call):
        sid = call.metadata.call_sid or ""
        status = await send(tmp_path, Digits("1w#D", 60, 40), call={"id": sid, "prefix": sid[:6]}.get(name, name))
        events = [await run.events.wait_for("dtmf", number) for number in (1, 2, 3)]

    assert (status, *capsys.readouterr()) == (0, f"{sid}: 1w#D pressed\n", "")
    assert [(event["digit"], event["duration"]) for event in events] == [("1", "480"), ("#", "480"), ("D", "480")]
    assert events[1]["time"] - events[0]["time"] == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize(("pass_dtmf", "status"), [(True, 0), (False, 3)])
async def test_json_result(*, pass_dtmf: bool, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with placed(tmp_path, pass_dtmf=pass_dtmf) as (_, call):
        assert await send(tmp_path, Digits("7"), json=True) == status

    out, err = capsys.readouterr()
    expected = {"v": 1, "call_sid": call.metadata.call_sid, "digits": "7", "as": "event", "passed": pass_dtmf}
    assert json.loads(out) == expected
    assert ("no passDtmf, so the server receives no DTMF" in err) is not pass_dtmf


@pytest.mark.parametrize("form", [None, DtmfForm.TONES])
async def test_quiet_prints_nothing(form: DtmfForm | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with placed(tmp_path):
        status = await send(tmp_path, Digits("12"), form=form, quiet=True)

    assert (status, *capsys.readouterr()) == (0, "", "")


async def test_only_tones_need_a_gap(tmp_path: Path) -> None:
    async with placed(tmp_path) as (run, _):
        assert await send(tmp_path, Digits("1w2", 50, 0)) == 0
        with pytest.raises(UsageError, match="--gap-ms 39: tones need at least 40 ms between them"):
            await send(tmp_path, Digits("1w2", None, 39), form=DtmfForm.TONES)
        await run.events.wait_for("dtmf", 2)

    assert [event["digit"] for event in run.events.of("dtmf")] == ["1", "2"]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "clips"])
async def test_other_calls_get_tones(stream: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heard = tmp_path / "heard.wav"
    async with placed(tmp_path, simulated=False, heard=heard, stream=stream) as (run, call):
        assert await send(tmp_path, Digits("12w#")) == 0

    out, err = capsys.readouterr()
    assert out.startswith(f"{call.metadata.call_sid}: digits 12w# played")
    assert err == NOTE
    digits = await detected_digits(heard)
    assert [digit for digit, _ in digits] == ["1", "2", "#"]
    assert all(abs(milliseconds - 100) <= 10 for _, milliseconds in digits)
    assert run.events.of("dtmf") == []


async def test_simulated_call_gets_tones_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heard = tmp_path / "heard.wav"
    async with placed(tmp_path, heard=heard) as (run, _):
        await send(tmp_path, Digits("5", 200), form=DtmfForm.TONES, json=True)

    assert json.loads(capsys.readouterr().out)["outcome"] == "played"
    ((digit, milliseconds),) = await detected_digits(heard)
    assert digit == "5"
    assert milliseconds == pytest.approx(200, abs=10)
    assert run.events.of("dtmf") == []


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        (None, "no simulated call nosuch is running on this machine; there is no live call nosuch"),
        (DtmfForm.EVENT, "no simulated call nosuch is running on this machine"),
        (DtmfForm.TONES, "there is no live call nosuch"),
    ],
)
async def test_unknown_call(form: DtmfForm | None, problem: str, tmp_path: Path) -> None:
    async with placed(tmp_path):
        with pytest.raises(NotFoundError) as raised:
            await send(tmp_path, Digits("1"), call="nosuch", form=form)

    assert str(raised.value) == problem


async def test_a_call_that_ends_meanwhile_has_ended_and_is_not_unknown(tmp_path: Path) -> None:
    async with placed(tmp_path, simulated=False) as (_, call):

        async def hang_up() -> None:
            await asyncio.sleep(1)
            call.hang_up()

        with pytest.raises(NotFoundError) as raised:
            await asyncio.gather(send(tmp_path, Digits("1" * 30), call=str(call.metadata.call_sid)), hang_up())

    assert str(raised.value) == "the call has ended"


async def test_no_simulated_call_and_no_server(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no simulated call @latest is running on this machine; no server named"):
        await send(tmp_path, Digits("1"))


async def test_timeout_counts_digits(tmp_path: Path) -> None:
    async with placed(tmp_path):
        with pytest.raises(TimedOutError, match=r"only 2 of 3 digits pressed within 0.7 s"):
            await send(tmp_path, Digits("12ww3", 50, 0), patience=0.7)


async def test_call_that_ends_between_digits(tmp_path: Path) -> None:
    async def hang_up(run: Running, call: SimulatedCall) -> None:
        await run.events.wait_for("dtmf")
        call.hang_up()

    async with placed(tmp_path) as (run, call), asyncio.TaskGroup() as group:
        group.create_task(hang_up(run, call))
        with pytest.raises(ListenctlError, match="the call has ended; 1 of 2 digits were pressed"):
            await send(tmp_path, Digits("1" + 20 * "w" + "2"))
