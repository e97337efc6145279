"""``monitor`` on a terminal: the view and the keys."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.helpers.control import Controlled, controlled
from tests.helpers.frames import binary, text
from tests.helpers.simulated_calls import interleave
from tests.helpers.sound_devices import tone
from tests.helpers.terminals import OnTerminal, on_terminal

TONE = tone(440, 0.5, 8000)
DTMF = '{"event": "dtmf", "dtmf": "5", "duration": "1600"}'


@asynccontextmanager
async def on_screen(server: Controlled, *options: str, home: Path) -> AsyncIterator[OnTerminal]:
    async with on_terminal("monitor", "--mute", *options, home=home, owned=True) as terminal:
        await server.wait_for_tools(len(server.run.server.live))
        yield terminal


async def test_levels_are_drawn_and_q_quits(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        peer = await server.place_call("one", mix="stereo")
        async with on_screen(server, home=tmp_path) as terminal:
            await peer.send(binary(interleave(TONE, TONE)), text(DTMF))
            drawn = await terminal.until("█")
            await terminal.until("▶1")
            terminal.type("q")
            drawn = await terminal.to_end()

    assert terminal.process.returncode == 0
    assert "1 live, 1 played" in drawn
    assert "8k stereo" in drawn
    assert "q quit" in drawn
    assert drawn.endswith("\x1b[?25h")
    assert "Traceback" not in drawn


async def test_keys_select_calls_and_channels_and_mute(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server:
        for call in ("one", "two", "three"):
            await server.place_call(call)
        async with on_screen(server, home=tmp_path) as terminal:
            await terminal.until("3 live, 1 played")
            terminal.type("a")
            await terminal.until("3 live, 2 played")
            terminal.type("a")
            await terminal.until("3 live, 3 played")
            terminal.type("\x1b[B")
            terminal.seen = ""
            await terminal.until("3 live, 1 played")
            terminal.type("l")
            await terminal.until("channel left")
            terminal.type("C")
            await terminal.until("channel right")
            terminal.seen = ""
            terminal.type(" ")
            await terminal.until("no sound")
            terminal.type("q")
            await terminal.to_end()

    assert terminal.process.returncode == 0


async def test_calls_appear_and_disappear(tmp_path: Path) -> None:
    async with controlled(tmp_path) as server, on_screen(server, home=tmp_path) as terminal:
        await terminal.until("waiting for a call")
        peer = await server.place_call("one")
        await terminal.until("1 live, 1 played")
        await peer.close()
        await terminal.until("0 live, 0 played")
        terminal.process.send_signal(signal.SIGINT)
        await terminal.to_end()

    assert terminal.process.returncode == 0
