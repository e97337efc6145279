"""Live calls that `monitor` listens to, and the command itself."""

import asyncio
import json
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.helpers.cli import COMMAND, environment
from tests.helpers.control import Controlled
from tests.helpers.frames import text
from tests.helpers.server import Peer, until
from tests.helpers.sound_devices import Command


async def place(server: Controlled, call: str, *, rate: int = 8000, mix: str = "mono") -> Peer:
    """Place a call and wait until it is live."""
    number = len(server.run.events.of("call-started"))
    peer = await server.run.call(text(json.dumps({"callSid": call, "sampleRate": rate, "mixType": mix})))
    await server.run.events.wait_for("call-started", number + 1)
    return peer


async def attached(server: Controlled, number: int = 1) -> None:
    """Wait until there are so many calls and each is listened to."""
    await until(lambda: [len(call.tools or ()) for call in server.run.server.live] == [1] * number)


@asynccontextmanager
async def monitor(*options: str, home: Path, stdout: int = DEVNULL) -> AsyncIterator[Command]:
    """Run the command, on no terminal."""
    env = environment(home, {"LANG": "C.UTF-8"})
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "monitor", *options, cwd=home, env=env, stdin=DEVNULL, stdout=stdout, stderr=PIPE
    )
    try:
        yield Command(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
