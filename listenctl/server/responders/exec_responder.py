"""
``--exec``: a program for each call, which hears the caller on stdin and is heard through stdout.

Neither the call nor its recording waits for it: what it doesn't read in time is dropped, and what it writes too fast
stays in its pipe.
"""

import asyncio
import os
import shlex
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.events import ExecEndedEvent, ExecFailedEvent, ExecSaidEvent, ExecStartedEvent
from listenctl.media.channel_layout import ChannelLayout, ChannelMap
from listenctl.play_to_call.stream_sender import STREAM_LEAD, STREAM_PAD, StreamSender
from listenctl.protocol.application_commands import Disconnect
from listenctl.protocol.audio import SAMPLE_BYTES, AudioFormat, SampleAssembler
from listenctl.protocol.call_sharing.tool_messages import RefusalReason, ServerNotice
from listenctl.server.responders.call_responders import RespondedCall
from listenctl.server.responders.child_process import READ_BYTES, ChildProcess
from listenctl.server.responders.exec_environment import child_environment
from listenctl.server.responders.responder_stream import ResponderStream, find_stream
from listenctl.server.responders.stderr_lines import SaidLines

MAX_UNREAD = 2.0
"""Seconds of audio that may wait for the program to read it."""
SILENCE = 0.1
"""Seconds without audio after which an utterance is over, and its end padded (protocol.md 6.2)."""
DRAIN_PAUSE = 0.01
"""Seconds between two reads of what nobody hears."""
PATIENCE = 5.0
"""Seconds for the program to end by itself after its call has."""

STARTS = 10
"""Programs that are started in one round of the event loop, each of which holds it up for a millisecond."""


class ExecEnd(StrEnum):
    """What becomes of a call whose program has ended."""

    STAY = "stay"
    DISCONNECT = "disconnect"


@dataclass(frozen=True, slots=True)
class ExecProgram:
    """
    What to run, and how.

    Attributes:
        command: the program and its arguments; no shell looks at them.
        channel: what of a stereo call the program is given.
        lead: seconds that its audio is sent ahead of the clock.
    """

    command: Sequence[str]
    channel: ChannelLayout = ChannelLayout.AS_IS
    end: ExecEnd = ExecEnd.STAY
    lead: float = STREAM_LEAD


class ExecResponder:
    """Run a program for each call."""

    name = "exec"
    wants_audio = True

    def __init__(self, program: ExecProgram) -> None:
        self._program = program
        self._started = 0
        self._next_round = asyncio.Event()

    async def handle_call(self, call: RespondedCall) -> None:
        """Run the program until it or the call has ended."""
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
            await self._take_turn()
            child = await ChildProcess.start(self._program.command, environment)
        except OSError as exc:
            call.report(ExecFailedEvent(command=command, reason=exc.strerror or str(exc)))
            return
        call.report(ExecStartedEvent(command=command, pid=child.pid))
        await _Run(self._program, call, child, stream=stream or ResponderStream(0), channels=channels).run()

    async def _find_stream(self, call: RespondedCall) -> ResponderStream | None:
        """Return what is known of the stream, None for a call that is over by then."""
        try:
            stream = await find_stream(call)
        except NotFoundError:
            # The program still hears what was said.
            return None
        if call.tool.dropped_samples:
            # A long greeting is no fault of the program; what it hears begins now, and has no hole.
            call.tool.discard_audio()
        return stream

    async def _take_turn(self) -> None:
        while self._started >= STARTS:
            await self._next_round.wait()
        if not self._started:
            asyncio.get_running_loop().call_soon(self._begin_round)
        self._started += 1

    def _begin_round(self) -> None:
        self._started = 0
        self._next_round.set()
        self._next_round = asyncio.Event()


class _Run:
    """One program and its call."""

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
        self._heard_format = call.log.audio_format
        self._sender: StreamSender | None = None
        self._doubted = False
        self._spoken = 0.0
        self._dropped_samples = 0
        self._told_loss = False
        self._said = SaidLines(child.stderr, lambda line: call.report(ExecSaidEvent(pid=child.pid, line=line)))

    async def run(self) -> None:
        """See both through to the end."""
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.TaskGroup() as parts:
                speaking = parts.create_task(self._speak())
                parts.create_task(self._said.relay())
                listening = parts.create_task(self._listen())
                ended = parts.create_task(self._wait_for_child(speaking))
                await asyncio.wait([listening, ended], return_when=asyncio.FIRST_COMPLETED)
                call_goes_on = not listening.done()
                listening.cancel()
                ended.cancel()
                await self._child.end(0.0 if call_goes_on else PATIENCE)
        finally:
            await self._child.end(0.0)
            self._report_end(asyncio.get_running_loop().time() - started)
        if call_goes_on and self._program.end is ExecEnd.DISCONNECT:
            await self._disconnect()

    # What the caller says.

    async def _listen(self) -> None:
        """Hand on the call's audio until the call ends."""
        try:
            while True:
                message = await self._tool.receive()
                if isinstance(message, bytes):
                    self._hear(message)
                else:
                    await self._notice(ServerNotice.parse(message))
        except ListenctlError:
            self._child.end_writing()

    def _hear(self, pcm: bytes) -> None:
        heard_format = self._call.log.audio_format
        if heard_format != self._heard_format:
            self._change_format(heard_format)
        if self._child.unread > MAX_UNREAD * self._channels.output_format.byte_rate:
            self._dropped_samples += heard_format.samples(len(pcm))
        else:
            [heard] = self._channels.apply(pcm)
            self._child.write(heard)
        self._tell_loss()

    def _tell_loss(self) -> None:
        if self._lost_samples and not self._told_loss:
            self._told_loss = True
            detail = f"the program doesn't read the call's audio; beyond {MAX_UNREAD:g} s it is dropped"
            self._call.warn("exec-too-slow", detail)

    @property
    def _lost_samples(self) -> int:
        return self._dropped_samples + self._tool.dropped_samples

    def _change_format(self, audio_format: AudioFormat) -> None:
        self._heard_format = audio_format
        self._channels = ChannelMap(self._program.channel, audio_format)
        told = self._channels.output_format
        detail = f"the program isn't told that its audio now has {told.sample_rate} Hz and {told.channels} channels"
        self._call.warn("exec-format", detail)

    async def _notice(self, word: ServerNotice | None) -> None:
        if word is not None and word.data.get("reason") == RefusalReason.KILLED and self._sender is not None:
            self._sender.note_kill()
            # It speaks on, but whoever has killed it goes first.
            await self._tool.request_stream()

    # What the program says.

    async def _speak(self) -> None:
        """Stream what the program writes, one utterance after the other, until it writes no more."""
        samples = SampleAssembler(SAMPLE_BYTES)
        try:
            while (data := await self._child.stdout.read(READ_BYTES)) and self._is_heard():
                await self._tool.acquire_stream()
                await self._utter(data, samples)
                await self._tool.release_stream()
        except ListenctlError:
            pass
        await self._drain()

    def _is_heard(self) -> bool:
        if self._stream.doubt and not self._doubted:
            self._doubted = True
            self._call.warn("exec-unheard", self._stream.doubt)
        return self._stream.rate > 0

    async def _drain(self) -> None:
        """Read what nobody hears, since who can't write can't end; who writes without end shan't keep us busy."""
        data = await self._child.stdout.read(READ_BYTES)
        while data:
            await asyncio.sleep(DRAIN_PAUSE)
            data = await self._child.stdout.read(READ_BYTES)

    async def _utter(self, data: bytes, samples: SampleAssembler) -> None:
        sender = self._sender = StreamSender(self._tool.send, self._stream.rate, lead=self._program.lead)
        try:
            while data:
                await sender.send_audio(samples.feed(data))
                data = await self._next_of_utterance()
            await sender.send_padding()
        finally:
            self._sender = None
            self._spoken += sender.sent_seconds

    async def _next_of_utterance(self) -> bytes:
        try:
            async with asyncio.timeout(SILENCE):
                return await self._child.stdout.read(READ_BYTES)
        except TimeoutError:
            return b""

    # The end.

    async def _wait_for_child(self, speaking: asyncio.Task[None]) -> None:
        await self._child.exited()
        await self._child.end_group()
        # What it wrote before is still to be heard.
        await asyncio.wait([speaking])

    async def _disconnect(self) -> None:
        """End the call's listen when all has been heard: jambonz throws away what it hasn't played (protocol.md 7)."""
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
                spoken_seconds=round(self._spoken, 3),
                dropped_samples=self._lost_samples,
                dropped_lines=self._said.dropped,
            )
        )


def _signal_name(number: int) -> str:
    # Real-time signals have no names of their own.
    return next((known.name for known in signal.Signals if known == number), f"SIG{number}")
