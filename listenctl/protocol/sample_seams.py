"""
Streamed audio of several senders on one connection, each sender's samples whole.

jambonz joins an odd byte to whatever comes next (protocol.md 6.1). Where another sender begins to speak within a
sample, that sample is completed, and its second half is left out when it comes.
"""

from typing import Literal

from listenctl.protocol.audio import SAMPLE_BYTES

Speaker = Literal["application", "tool"]


class SampleSeams:
    """Join what an application and the tools beside it stream; what only one of them streams stays as it is."""

    def __init__(self) -> None:
        self._speaker: Speaker = "application"
        self._within_sample = False
        # Those whose sample was completed without them.
        self._owing: set[Speaker] = set()

    def feed(self, speaker: Speaker, data: bytes) -> bytes:
        """Return what is to be sent when ``speaker`` sends ``data``; it may be empty."""
        padding = b""
        if speaker != self._speaker:
            if self._within_sample:
                self._owing.add(self._speaker)
                padding = b"\0"
            self._speaker, self._within_sample = speaker, False
        if speaker in self._owing and data:
            self._owing.discard(speaker)
            data = data[1:]
        if len(data) % SAMPLE_BYTES:
            self._within_sample = not self._within_sample
        return padding + data if padding else data
