"""The commands of a live call against the real server and a simulated jambonz at its other end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from listenctl.events import Reporter
from listenctl.live_client.control_client import attach_to_call, follow_events, list_calls
from listenctl.live_client.send_command import wait_for_mark
from listenctl.protocol.jambonz_model.profiles import IDEAL
from listenctl.protocol.listen_verb.listen_verb import BidirectionalAudio, ListenVerb
from listenctl.simulator.plan import CallPlan
from listenctl.simulator.simulated_call import SimulatedCall
from listenctl.simulator.simulated_call_log import SimulatedCallResult
from tests.helpers.cli import listenctl
from tests.helpers.scripted_server import target
from tests.helpers.server import Events, Running, faster, running, until

STREAMING = ListenVerb(bidirectional=BidirectionalAudio(enabled=True, streaming=True, sample_rate=8000))
SECOND = b"\x10\0" * 8000


@dataclass(frozen=True, slots=True)
class Stage:
    """A server and a call that lasts until it is told to end."""

    run: Running
    socket: Path
    call: SimulatedCall
    heard: Events
    """What jambonz noticed."""
    over: asyncio.Task[SimulatedCallResult]

    async def command(self, *arguments: str) -> CompletedProcess[str]:
        return await asyncio.to_thread(lambda: listenctl(*arguments, home=self.socket.parent.parent))

    @property
    def id(self) -> str:
        return self.call.metadata.call_sid or ""


@asynccontextmanager
async def staged(folder: Path, verb: ListenVerb = STREAMING) -> AsyncIterator[Stage]:
    socket = folder / "listenctl" / "default.sock"
    async with running(faster(control=socket)) as run:
        heard = Events()
        plan = CallPlan(target=target(run.port), verb=verb, profile=IDEAL, duration=60)
        call = SimulatedCall(plan, Reporter(heard))
        over = asyncio.create_task(call.run())
        await run.events.wait_for("call-started")
        try:
            yield Stage(run, socket, call, heard, over)
        finally:
            call.hang_up()
            await over


async def test_the_call_is_listed_with_who_it_is(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        listing = await asyncio.to_thread(list_calls, stage.socket)
        table = await stage.command("calls")

    (call,) = listing["calls"]
    assert (call["call"], call["sample_rate"], call["attached"]) == (stage.id, 8000, 0)
    assert stage.id in table.stdout


async def test_a_mark_behind_audio_is_answered_when_it_was_played(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, attach_to_call(stage.socket, "@latest") as attachment:
        await attachment.send(SECOND)
        result = await wait_for_mark(attachment, "end")

    # The audio is a second long.
    assert result.event == "playout"
    assert 0.9 < result.seconds < 3


async def test_kill_audio_from_another_terminal_clears_the_mark(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, attach_to_call(stage.socket, stage.id) as attachment:
        await attachment.send(SECOND * 30)
        waiting = asyncio.create_task(wait_for_mark(attachment, "end"))
        await until(lambda: bool(stage.call.snapshot().marks))
        killed = await stage.command("kill-audio", stage.id[:10])
        result = await waiting

    assert result.event == "cleared"
    assert (killed.returncode, killed.stdout) == (0, f"{stage.id}: killAudio sent\n")


async def test_marks_of_the_same_name_by_many_at_once_reach_each_their_own(tmp_path: Path) -> None:
    async def ask() -> str:
        async with attach_to_call(stage.socket, "@latest") as attachment:
            return (await wait_for_mark(attachment, "same")).event

    async with staged(tmp_path) as stage:
        results = await asyncio.gather(*(ask() for _ in range(20)))

    assert results == ["playout"] * 20


async def test_commands_arrive_as_they_were_given(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        done = [
            await stage.command("mark", "@latest", "intro", "--wait"),
            await stage.command("clear-marks", "@latest"),
            await stage.command("send-json", "@latest", '{"type":"killAudio"}'),
            await stage.command("disconnect", "@latest"),
        ]
        await stage.over
        gone = await stage.command("kill-audio", stage.id)

    assert [one.returncode for one in done] == [0, 0, 0, 0]
    # The mark has two verdicts, one of them when it was reached.
    commands = dict.fromkeys(verdict["command"] for verdict in stage.heard.of("verdict"))
    assert list(commands) == ["mark", "clearMarks", "killAudio", "disconnect"]
    assert (gone.returncode, gone.stderr) == (4, "listenctl: there is no live call\n")


async def test_a_call_of_clips_answers_no_mark(tmp_path: Path) -> None:
    async with staged(tmp_path, ListenVerb()) as stage:
        done = await stage.command("mark", "@latest", "intro", "--wait", "--timeout", "0.5")

    assert done.returncode == 124
    assert "jambonz answers only where it plays a stream" in done.stderr


async def test_what_a_prefix_could_mean_is_told(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        done = await stage.command("kill-audio", "nobody")

    assert (done.returncode, done.stderr) == (4, "listenctl: there is no live call nobody\n")


async def test_whoever_follows_sees_what_the_server_reports(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, follow_events(stage.socket) as reports:
        # Following begins when the server says so, at the handshake.
        await stage.command("mark", "@latest", "intro", "--wait")
        mark = await anext(reports)

    assert mark == json.loads(json.dumps(stage.run.events.of("mark")[0]))
    assert (mark["call"], mark["result"]) == (stage.id, "playout")
