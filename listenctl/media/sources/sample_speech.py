"""
Speech that ships with the package.

``speech.flac`` is a call of 10 s at 16 kHz, with the caller on the left and the callee on the right. The words are our
own:

    Hello? Can you hear me? - Loud and clear. I am on the right. - I am on the left. Is this recorded? -
    Every sample. Now press one. - Thank you. Goodbye!

They were synthesised with espeak-ng 1.51 (``-v en-gb -s 170 -p 38`` and ``-v en-us+f3 -s 180 -p 55``) and converted to
16 kHz and -6 dB with sox. The licence is that of the project (MIT).
"""

from importlib import resources

from listenctl.protocol.audio import AudioFormat

SPEECH_DIGIT_AT = 8.0
"""Seconds into the speech at which the caller is asked to press 1."""


def sample_speech(audio_format: AudioFormat) -> bytes:
    """Return the speech in a format; with one channel, only the caller, as in jambonz's ``mono``."""
    import soundfile
    import soxr

    with resources.files(__package__).joinpath("speech.flac").open("rb") as file:
        samples, sample_rate = soundfile.read(file, dtype="int16")
    samples = samples[:, : audio_format.channels]
    if audio_format.sample_rate != sample_rate:
        samples = soxr.resample(samples, sample_rate, audio_format.sample_rate)
    data: bytes = samples.astype("<i2").tobytes()
    return data
