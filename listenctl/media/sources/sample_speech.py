"""
Sound that ships with the package.

``speech.flac`` is a call of 10 s, 16 kHz, with the caller left and who answers right. The words are our own:

    Hello? Can you hear me? - Loud and clear. I am on the right. - I am on the left. Is this recorded? -
    Every sample. Now press one. - Thank you. Goodbye!

espeak-ng 1.51 spoke them (``-v en-gb -s 170 -p 38`` and ``-v en-us+f3 -s 180 -p 55``), sox brought them to 16 kHz and
-6 dB. It is under the licence of the project (MIT).
"""

from importlib import resources

from listenctl.protocol.audio import AudioFormat

SPEECH_DIGIT_AT = 8.0
"""Seconds into the speech at which the caller, asked for it, presses 1."""


def sample_speech(audio_format: AudioFormat) -> bytes:
    """Return the speech in ``audio_format``; one channel is the caller alone, as in jambonz's ``mono``."""
    import soundfile
    import soxr

    with resources.files(__package__).joinpath("speech.flac").open("rb") as file:
        samples, sample_rate = soundfile.read(file, dtype="int16")
    samples = samples[:, : audio_format.channels]
    if audio_format.sample_rate != sample_rate:
        samples = soxr.resample(samples, sample_rate, audio_format.sample_rate)
    data: bytes = samples.astype("<i2").tobytes()
    return data
