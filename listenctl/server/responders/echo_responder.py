"""``--echo``: callers hear themselves."""

from listenctl.media.channel_layout import ChannelLayout, ChannelMap
from listenctl.media.resampling import prompt_resampler
from listenctl.play_to_call.stream_sender import replace_marker_samples
from listenctl.protocol.audio import AudioFormat, Resampler
from listenctl.server.responders.call_responders import RespondedCall
from listenctl.server.responders.responder_stream import find_stream

STILL = 0.02
"""Seconds that may still be to play when the echo comes back."""


class EchoResponder:
    """
    Send each caller's audio back as it comes: the left channel of stereo, which is the caller's (protocol.md 3.1).

    It takes the stream anew for each piece, so that whoever else wants to stream gets in between, and pauses meanwhile.
    """

    name = "echo"
    wants_audio = True

    async def handle_call(self, call: RespondedCall) -> None:
        """Echo until the call has ended."""
        tool = call.tool
        stream = await find_stream(call)
        rate = stream.rate
        await tool.request_stream()
        paused = not tool.has_stream
        if paused or stream.tried:
            # It would be late, and so would all that follows.
            tool.discard_audio()
        if stream.doubt:
            call.warn("echo-unheard", stream.doubt)
        if not rate:
            return
        converter = _Converter(rate, call.log.audio_format)
        while True:
            message = await tool.receive()
            if isinstance(message, str):
                # A turn that came late: as long as there is no audio, others may have it.
                if tool.has_stream:
                    await tool.release_stream()
                continue
            if call.log.audio_format != converter.audio_format:
                # Metadata that came late said something else.
                converter = _Converter(rate, call.log.audio_format)
            await tool.request_stream()
            # In a pause too: the resampler's memory is that of the caller's voice.
            echo = converter(message)
            if not tool.has_stream:
                paused = True
                continue
            # What another has left to be played would delay the echo for the rest of the call.
            paused = paused and ((await tool.stream_state()).playout or 0.0) > STILL
            if not paused:
                await tool.send(echo)
            await tool.release_stream()


class _Converter:
    """Make what the caller says what the caller hears."""

    def __init__(self, rate: int, audio_format: AudioFormat) -> None:
        self.audio_format = audio_format
        self._left = ChannelMap(ChannelLayout.LEFT, audio_format)
        same = rate == audio_format.sample_rate
        self._resample: Resampler | None = None if same else prompt_resampler(audio_format.sample_rate, rate)

    def __call__(self, pcm: bytes) -> bytes:
        [left] = self._left.apply(pcm)
        return replace_marker_samples(left if self._resample is None else self._resample(left))
