"""``call`` and ``send-dtmf`` to a recorder in another process."""

import asyncio
import json
import signal
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from listenctl.media.files.wav_header import HEADER_BYTES
from tests.helpers.cli import Service, listenctl, service
from tests.helpers.server import Event, running, until
from tests.helpers.simulated_calls import Pcm
from tests.helpers.sound_devices import consists_of, sound_system, tone

URL = "ws://127.0.0.1:1/"


@dataclass(frozen=True, slots=True)
class Recorder:
    server: Service
    started: Event
    folder: Path

    @property
    def url(self) -> str:
        return str(self.started["url"])

    async def recorded(self) -> tuple[Event, Path]:
        """Wait until a call is recorded; return its sidecar and its file."""
        saved = await self.server.next("recording-saved")
        return json.loads((self.folder / saved["sidecar"]).read_text()), self.folder / saved["path"]


@asynccontextmanager
async def recorder(folder: Path, env: dict[str, str] | None = None) -> AsyncIterator[Recorder]:
    """Run a recorder on a free port."""
    async with service("record", "out/", "--port", "0", "--json", home=folder, env=env) as server:
        yield Recorder(server, await server.started(), folder)


def events(text: str) -> list[Event]:
    return [json.loads(line) for line in text.splitlines()]


async def test_audio_metadata_and_digits_are_recorded(tmp_path: Path) -> None:
    async with recorder(tmp_path) as server:
        options = ["--duration", "1", "--audio", "tone:440", "--mix-type", "stereo", "--sample-rate", "16000"]
        metadata = ["-m", "a=1", "--metadata", 'b:={"c":[2]}', "--from", "+491", "--to", "+492"]
        run = listenctl(
            "call", server.url, *options, *metadata, "--pass-dtmf", "--dtmf", "0.5:1#", "--json", home=tmp_path
        )
        sidecar, path = await server.recorded()

    reported = {event["event"]: event for event in events(run.stdout)}
    assert (run.returncode, run.stderr) == (0, "")
    assert reported["call-ended"]["closed_by"] == "jambonz"
    assert reported["call-started"]["metadata"] == sidecar["metadata"]
    assert {key: sidecar["metadata"][key] for key in ("a", "b", "from", "to")} == {
        "a": "1",
        "b": {"c": [2]},
        "from": "+491",
        "to": "+492",
    }
    assert [event["digit"] for event in sidecar["events"]] == ["1", "#"]
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.frames) == (16000, 2, 16000)
    assert sidecar["complete"]


async def test_credentials_of_verb_and_file(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("listen:s3cret")
    async with recorder(tmp_path, env={"LISTENCTL_AUTH": "listen:s3cret"}) as server:
        url = server.url
        verb = {"verb": "listen", "url": url, "wsAuth": {"username": "listen", "password": "s3cret"}, "maxLength": 0.5}
        by_verb = listenctl("call", "--verb", "-", home=tmp_path, given=json.dumps(verb))
        by_file = listenctl("call", url, "--duration", "0.2", "--auth-file", "users", home=tmp_path)
        without = listenctl("call", url, "--duration", "0.2", home=tmp_path)

    assert server.started["auth"] is True
    assert (by_verb.returncode, by_file.returncode, without.returncode) == (0, 0, 5)
    assert "401" in without.stderr
    assert without.stderr.count("\n") == 1


async def test_wrong_command_is_reported_with_status_3(tmp_path: Path) -> None:
    async def answer(connection: ServerConnection) -> None:
        await connection.send('{"type": "playAudio", "data": {"audioContent": "AAAA"}}')
        await connection.wait_closed()

    async with serve(answer, "127.0.0.1", 0, subprotocols=[Subprotocol("audio.jambonz.org")]) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with service("call", url, "--duration", "0.5", "--json", home=tmp_path) as call:
            verdict = await call.next("verdict")
            status, _ = await call.status()

    assert (verdict["command"], verdict["number"], verdict["outcome"]) == ("playAudio", 1, "would-crash")
    assert verdict["wrong"]
    assert status == 3


async def test_signal_hangs_up_in_order(tmp_path: Path) -> None:
    async with recorder(tmp_path) as server:
        async with service("call", server.url, "--audio", "silence", "--json", home=tmp_path) as call:
            await call.next("call-started")
            status, printed = await call.end(signal.SIGINT)
        sidecar, _ = await server.recorded()

    assert (status, printed) == (0, "")
    assert sidecar["close"]["by"] == "jambonz"


async def test_send_dtmf_delivers_digits_with_their_duration(tmp_path: Path) -> None:
    async with recorder(tmp_path) as server:
        run = listenctl("send-dtmf", server.url, "1d#", "--digit-ms", "80", "--gap-ms", "40", home=tmp_path)
        sidecar, _ = await server.recorded()

    assert run.returncode == 0
    assert run.stdout == f"1D#: accepted by {server.url}\n"
    assert [(event["digit"], event["duration_ms"]) for event in sidecar["events"]] == [
        ("1", 80.0),
        ("D", 80.0),
        ("#", 80.0),
    ]


@pytest.mark.parametrize("command", [["call", URL], ["send-dtmf", URL, "1"]])
def test_unreachable_server_is_status_5(command: list[str], tmp_path: Path) -> None:
    run = listenctl(*command, home=tmp_path)

    assert (run.returncode, run.stdout) == (5, "")
    assert run.stderr.startswith(f"listenctl: {URL}: can't connect")
    assert run.stderr.count("\n") == 1


def test_source_without_audio_is_reported(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, "int16"), 8000)

    by_stdin = listenctl("call", URL, "--audio", "-", home=tmp_path)
    by_file = listenctl("call", URL, "--audio", "empty.wav", home=tmp_path)

    assert (by_stdin.returncode, by_file.returncode) == (1, 1)
    assert by_stdin.stderr == "listenctl: stdin: ended without any audio; pipe raw 16-bit samples or a sound file in\n"
    assert by_file.stderr == "listenctl: empty.wav: holds no audio; for a silent caller use silence\n"


# With a sound system.


async def test_caller_hears_the_server_also_after_the_loudspeaker_was_away(tmp_path: Path) -> None:
    options = ("--speaker", "--streaming", "8000", "-m", "streamRate:=8000", "--json", "--audio", "tone:440@-12")
    level = 10 ** (-12 / 20)
    async with (
        sound_system(tmp_path) as system,
        service("serve", "--json", "--port", "0", "--once", "--echo", home=tmp_path) as server,
        system.command("call", (await server.started())["url"], *options) as call,
    ):
        async with system.listening() as listener:
            await listener.tones({440: level}, {440: level})
        await system.kill()
        gone = await call.next("warning")
        await system.start()
        back = await call.next("warning")
        async with system.listening() as again:
            await again.loud()
        assert await call.end() == (0, "")

    assert (gone["rule"], back["rule"]) == ("no-sound", "sound-back")
    assert gone["call"] == gone["call_sid"] is not None


async def test_caller_speaks_into_the_microphone(tmp_path: Path) -> None:
    async with sound_system(tmp_path) as system, running(record=tmp_path) as run:
        (tmp_path / "spoken.raw").write_bytes(tone(700, 60, 48000).tobytes())
        pacat = ["pacat", "-d", "null", "--format=s16le", "--rate=48000", "--channels=1", "spoken.raw"]
        speaking = await asyncio.create_subprocess_exec(*pacat, env=system.env, cwd=tmp_path, stderr=DEVNULL)
        try:
            async with system.command("call", f"ws://127.0.0.1:{run.port}/", "--audio", "mic") as call:
                await until(lambda: consists_of(latest_half_second(tmp_path), {700: 0.25}, 8000))
                assert (await call.end(signal.SIGINT))[0] == 0
        finally:
            speaking.kill()
            await speaking.wait()


def latest_half_second(folder: Path) -> Pcm:
    """Return the end of the only recording, silence while it is shorter."""
    data = b"".join(path.read_bytes()[HEADER_BYTES:] for path in folder.glob("*.wav"))
    samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2")
    return samples[-4000:] if len(samples) >= 4000 else np.zeros(4000, np.int16)
