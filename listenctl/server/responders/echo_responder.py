"""``--echo``: callers hear themselves."""

from listenctl.media.channel_layout import ChannelLayout, ChannelMap
from listenctl.media.resampling import PromptResampler
from listenctl.play_to_call.stream_sender import replace_marker_samples
from listenctl.protocol.audio import AudioFormat, Resampler
from listenctl.server.responders.call_responders import RespondedCall
from listenctl.server.responders.responder_stream import find_stream

MAX_LEFT_TO_PLAY = 0.02
"""Seconds of other audio that may be left to play when the echo resumes."""


class EchoResponder:
    """Send each caller's audio (the left channel) back as it arrives, in short turns that let other tools in."""

    name = "echo"
    wants_audio = True

    async def handle_call(self, call: RespondedCall) -> None:
        tool = call.tool
        stream = await find_stream(call)
        rate = stream.rate
        await tool.request_stream()
        paused = not tool.has_stream
        if paused or stream.tried:
            # The audio so far would be late, and everything after it.
            tool.discard_audio()
        if stream.doubt:
            call.warn("echo-unheard", stream.doubt)
        if not rate:
            return
        converter = _Converter(rate, call.log.audio_format)
        while True:
            message = await tool.receive()
            if isinstance(message, str):
                # A turn that came late: leave it to others while there is no audio.
                if tool.has_stream:
                    await tool.release_stream()
                continue
            if call.log.audio_format != converter.audio_format:
                # Late metadata has changed the format.
                converter = _Converter(rate, call.log.audio_format)
            await tool.request_stream()
            # In a pause too, to keep the state of the resampler.
            echo = converter(message)
            if not tool.has_stream:
                paused = True
                continue
            # Audio of others that is left to play would delay the echo for the rest of the call.
            paused = paused and ((await tool.stream_state()).playout or 0.0) > MAX_LEFT_TO_PLAY
            if not paused:
                await tool.send(echo)
            await tool.release_stream()


class _Converter:
    """Convert the audio of the caller to the format of the stream."""

    def __init__(self, rate: int, audio_format: AudioFormat) -> None:
        self.audio_format = audio_format
        self._left = ChannelMap(ChannelLayout.LEFT, audio_format)
        same = rate == audio_format.sample_rate
        self._resample: Resampler | None = None if same else PromptResampler(audio_format.sample_rate, rate)

    def __call__(self, pcm: bytes) -> bytes:
        [left] = self._left.rearrange(pcm)
        return replace_marker_samples(left if self._resample is None else self._resample(left))
