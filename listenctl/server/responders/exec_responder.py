"""
``--exec``: a program for each call, which gets the caller's audio on stdin and streams what it writes to stdout.
Nothing waits for the program: what it doesn't read in time is dropped, and what it writes too fast stays in its pipe.
"""

import asyncio
import os
import shlex
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.events import ExecEndedEvent, ExecFailedEvent, ExecSaidEvent, ExecStartedEvent
from listenctl.media.channel_layout import ChannelLayout, ChannelMap
from listenctl.play_to_call.stream_lead import STREAM_LEAD
from listenctl.play_to_call.stream_sender import STREAM_PAD, StreamSender
from listenctl.protocol.application_commands import Disconnect
from listenctl.protocol.audio import SAMPLE_BYTES, AudioFormat, SampleAssembler
from listenctl.protocol.call_sharing.tool_messages import RefusalReason, ServerNotice
from listenctl.protocol.sound_containers import AudioOpening
from listenctl.server.responders.call_responders import RespondedCall
from listenctl.server.responders.child_process import READ_BYTES, ChildProcess
from listenctl.server.responders.exec_environment import child_environment
from listenctl.server.responders.responder_stream import ResponderStream, find_stream

MAX_UNREAD = 5.0
"""Seconds of audio that may wait for the program, which may take a while to start."""
UTTERANCE_GAP = 0.1
"""Seconds without audio that end an utterance, which is then padded (listenctl-protocol(7) 6.2)."""
DRAIN_PAUSE = 0.01
"""Seconds between two reads of output that nobody hears."""
EXIT_TIMEOUT = 5.0
"""Seconds for the program to exit by itself after its call has ended."""

STARTS_PER_ITERATION = 10
"""Programs started in one iteration of the event loop; each start blocks it for a millisecond."""

MAX_LINE = 1000
"""Bytes of a line of stderr; the rest of the line is left out."""
LINE_BURST = 100
"""Lines of stderr that are passed on at once, and ``LINES_PER_SECOND`` in the long run; more are left out."""
LINES_PER_SECOND = 20.0


class ExecEnd(StrEnum):
    """What happens to a call whose program has exited."""

    STAY = "stay"
    DISCONNECT = "disconnect"


@dataclass(frozen=True, slots=True)
class ExecProgram:
    command: Sequence[str]  # the program and its arguments; no shell is involved
    channel: ChannelLayout = ChannelLayout.AS_IS  # what the program gets of a stereo call
    end: ExecEnd = ExecEnd.STAY
    lead: float = STREAM_LEAD  # seconds that its audio is sent ahead of playback


class ExecResponder:
    name = "exec"
    wants_audio = True

    def __init__(self, program: ExecProgram) -> None:
        self._program = program
        self._started = 0
        self._next_iteration = asyncio.Event()

    async def handle_call(self, call: RespondedCall) -> None:
        stream = await self._find_stream(call)
        channels = ChannelMap(self._program.channel, call.log.audio_format)
        environment = child_environment(
            os.environ,
            call.log,
            audio=channels.output_format,
            stream_rate=None if stream is None else stream.rate,
            control=call.control,
        )
        command = shlex.join(self._program.command)
        try:
            await self._wait_for_iteration()
            child = await ChildProcess.start(self._program.command, environment)
        except OSError as exc:
            call.report(ExecFailedEvent(command=command, reason=exc.strerror or str(exc)))
            return
        call.report(ExecStartedEvent(command=command, pid=child.pid))
        await _ProgramRun(self._program, call, child, stream=stream or ResponderStream(0), channels=channels).run()

    async def _find_stream(self, call: RespondedCall) -> ResponderStream | None:
        """Return what is known of the stream, None if the call ends meanwhile."""
        try:
            stream = await find_stream(call)
        except NotFoundError:
            # The program still gets the audio so far.
            return None
        if call.tool.dropped_samples:
            # A long greeting is no fault of the program: its audio begins now, without a hole.
            call.tool.discard_audio()
        return stream

    async def _wait_for_iteration(self) -> None:
        while self._started >= STARTS_PER_ITERATION:
            await self._next_iteration.wait()
        if not self._started:
            asyncio.get_running_loop().call_soon(self._start_iteration)
        self._started += 1

    def _start_iteration(self) -> None:
        self._started = 0
        self._next_iteration.set()
        self._next_iteration = asyncio.Event()


class _ProgramRun:
    def __init__(
        self,
        program: ExecProgram,
        call: RespondedCall,
        child: ChildProcess,
        *,
        stream: ResponderStream,
        channels: ChannelMap,
    ) -> None:
        self._program = program
        self._call = call
        self._tool = call.tool
        self._child = child
        self._stream = stream
        self._channels = channels
        self._call_format = call.log.audio_format
        self._sender: StreamSender | None = None
        self._warned_of_doubt = False
        self._warned_of_format = False
        self._streamed_seconds = 0.0
        self._dropped_samples = 0
        self._warned_of_loss = False
        self._stderr = StderrLines(child.stderr, lambda line: call.report(ExecSaidEvent(pid=child.pid, line=line)))

    async def run(self) -> None:
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.TaskGroup() as parts:
                streaming = parts.create_task(self._stream_output())
                parts.create_task(self._stderr.pass_lines())
                receiving = parts.create_task(self._receive())
                ended = parts.create_task(self._wait_for_child(streaming))
                await asyncio.wait([receiving, ended], return_when=asyncio.FIRST_COMPLETED)
                call_goes_on = not receiving.done()
                receiving.cancel()
                ended.cancel()
                await self._child.end(0.0 if call_goes_on else EXIT_TIMEOUT)
        finally:
            await self._child.end(0.0)
            self._report_end(asyncio.get_running_loop().time() - started)
        if call_goes_on and self._program.end is ExecEnd.DISCONNECT:
            await self._disconnect()

    async def _receive(self) -> None:
        """Pass the audio of the call to the program until the call ends."""
        try:
            while True:
                message = await self._tool.receive()
                if isinstance(message, bytes):
                    self._pass_audio(message)
                else:
                    await self._take_notice(ServerNotice.parse(message))
        except ListenctlError:
            pass

    def _pass_audio(self, pcm: bytes) -> None:
        call_format = self._call.log.audio_format
        if call_format != self._call_format:
            self._change_format(call_format)
        if self._child.stdin.unread > MAX_UNREAD * self._channels.output_format.byte_rate:
            self._dropped_samples += call_format.samples_in(len(pcm))
        else:
            [audio] = self._channels.rearrange(pcm)
            self._child.stdin.write(audio)
        self._warn_of_loss()

    def _warn_of_loss(self) -> None:
        if self._skipped_samples and not self._warned_of_loss:
            self._warned_of_loss = True
            limit = f"beyond {MAX_UNREAD:g} s it is dropped"
            detail = f"the program doesn't read the audio of the call fast enough; {limit}, and counts as lost"
            if not self._child.stdin.has_been_read:
                detail = (
                    f"the program has not read any audio of the call; {limit}, and counts as lost if the program reads "
                    "later; a program that doesn't need it can close its stdin"
                )
            self._call.warn("exec-too-slow", detail)

    @property
    def _skipped_samples(self) -> int:
        return self._dropped_samples + self._tool.dropped_samples

    @property
    def _lost_samples(self) -> int:
        """What the program lacks; a program that never reads, because it only speaks, lacks nothing."""
        if not self._child.stdin.has_been_read:
            return 0
        return self._skipped_samples + self._channels.output_format.samples_in(self._child.left_unread)

    def _change_format(self, audio_format: AudioFormat) -> None:
        self._call_format = audio_format
        self._channels = ChannelMap(self._program.channel, audio_format)
        output = self._channels.output_format
        detail = f"the program gets {output.sample_rate} Hz and {output.channels} channels now, and can't know that"
        self._call.warn("exec-format", detail)

    async def _take_notice(self, notice: ServerNotice | None) -> None:
        if notice is not None and notice.data.get("reason") == RefusalReason.KILLED and self._sender is not None:
            self._sender.note_kill()
            # The program may continue, but the tool that stopped it goes first.
            await self._tool.request_stream()

    async def _stream_output(self) -> None:
        """Stream what the program writes, one utterance after the other, until its output ends."""
        samples = SampleAssembler(SAMPLE_BYTES)
        try:
            while (data := await self._child.stdout.read(READ_BYTES)) and self._can_be_heard():
                await self._tool.acquire_stream()
                await self._stream_utterance(data, samples)
                await self._tool.release_stream()
        except ListenctlError:
            pass
        await self._drain()

    def _can_be_heard(self) -> bool:
        if self._stream.doubt and not self._warned_of_doubt:
            self._warned_of_doubt = True
            self._call.warn("exec-unheard", self._stream.doubt)
        return self._stream.rate > 0

    async def _drain(self) -> None:
        """Read output that nobody hears, slowly, so that the program is not blocked and can exit."""
        data = await self._child.stdout.read(READ_BYTES)
        while data:
            await asyncio.sleep(DRAIN_PAUSE)
            data = await self._child.stdout.read(READ_BYTES)

    async def _stream_utterance(self, data: bytes, samples: SampleAssembler) -> None:
        sender = self._sender = StreamSender(self._tool.send, self._stream.rate, lead=self._program.lead)
        opening = AudioOpening()
        try:
            while data:
                self._check_opening(opening, data)
                await sender.send_audio(samples.feed(data))
                data = await self._read_utterance()
            self._check_opening(opening, b"", ended=True)
            await sender.send_padding()
        finally:
            self._sender = None
            self._streamed_seconds += sender.sent_seconds

    def _check_opening(self, opening: AudioOpening, data: bytes, *, ended: bool = False) -> None:
        """Warn of an utterance that isn't raw audio, once."""
        found = opening.add_audio(data, ended=ended)
        if found and not self._warned_of_format:
            self._warned_of_format = True
            how = f"write raw 16-bit little-endian samples at {self._stream.rate} Hz, without a header"
            self._call.warn("exec-not-raw", f"the program writes {found}, which is heard as noise: {how}")

    async def _read_utterance(self) -> bytes:
        try:
            async with asyncio.timeout(UTTERANCE_GAP):
                return await self._child.stdout.read(READ_BYTES)
        except TimeoutError:
            return b""

    async def _wait_for_child(self, streaming: asyncio.Task[None]) -> None:
        await self._child.wait_exited()
        await self._child.end_group()
        # What it wrote before its exit is still streamed.
        await asyncio.wait([streaming])

    async def _disconnect(self) -> None:
        """End the listen when all audio has been played: jambonz drops the rest (listenctl-protocol(7) 7)."""
        playout = (await self._tool.stream_state()).playout
        await asyncio.sleep(self._program.lead + STREAM_PAD if playout is None else playout)
        await self._tool.send(Disconnect().serialize())

    def _report_end(self, seconds: float) -> None:
        code = self._child.returncode
        killed_by = -code if code is not None and code < 0 else 0
        self._call.report(
            ExecEndedEvent(
                pid=self._child.pid,
                status=None if killed_by else code,
                signal=_signal_name(killed_by) if killed_by else None,
                seconds=round(seconds, 3),
                spoken_seconds=round(self._streamed_seconds, 3),
                dropped_samples=self._lost_samples,
                dropped_seconds=round(self._lost_samples / self._call_format.sample_rate, 3),
                dropped_lines=self._stderr.dropped,
            )
        )


class StderrLines:
    """Pass on the lines of a stream, none of them endless, and no more than somebody can follow."""

    def __init__(self, reader: asyncio.StreamReader, show: Callable[[str], None]) -> None:
        self.dropped = 0  # number of lines that were left out
        self._reader = reader
        self._show = show
        self._allowed = float(LINE_BURST)
        self._at = asyncio.get_running_loop().time()

    async def pass_lines(self) -> None:
        rest = b""
        while data := await self._reader.read(READ_BYTES):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._pass_line(line)
            rest = rest[:MAX_LINE]
        self._pass_line(rest)

    def _pass_line(self, line: bytes) -> None:
        text = line[:MAX_LINE].decode(errors="replace").rstrip()
        if not text:
            return
        now = asyncio.get_running_loop().time()
        self._allowed = min(LINE_BURST, self._allowed + (now - self._at) * LINES_PER_SECOND)
        self._at = now
        if self._allowed < 1:
            self.dropped += 1
            return
        self._allowed -= 1
        self._show(text)


def _signal_name(number: int) -> str:
    # Real-time signals have no names of their own.
    return next((known.name for known in signal.Signals if known == number), f"SIG{number}")
