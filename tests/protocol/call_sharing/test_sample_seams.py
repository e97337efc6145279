"""Streamed audio of an application and of tools on one connection."""

import random

from listenctl.protocol.call_sharing.shared_stream import SampleBoundaries, Speaker


def test_one_speaker_alone_is_left_as_it_is() -> None:
    seams = SampleBoundaries()
    pieces = [b"\x01", b"\x02\x03", b"", b"\x04\x05\x06"]

    assert [seams.align_audio("application", piece) for piece in pieces] == pieces


def test_a_sample_that_another_speaker_cuts_is_completed_and_its_rest_left_out() -> None:
    seams = SampleBoundaries()

    assert seams.align_audio("application", b"\x01\x02\x03") == b"\x01\x02\x03"
    assert seams.align_audio("tool", b"\x11\x12\x13") == b"\0\x11\x12\x13"
    assert seams.align_audio("application", b"\x04") == b"\0"
    assert seams.align_audio("application", b"\x05\x06") == b"\x05\x06"
    assert seams.align_audio("tool", b"\x14\x15\x16") == b"\x15\x16"


def test_nothing_said_owes_nothing() -> None:
    seams = SampleBoundaries()
    seams.align_audio("application", b"\x01")
    seams.align_audio("tool", b"\x11\x12")

    assert seams.align_audio("application", b"") == b""
    assert seams.align_audio("application", b"\x02\x03\x04") == b"\x03\x04"


def test_whole_samples_arrive_as_they_were_said_whatever_the_cuts() -> None:
    chance = random.Random(1)
    for _ in range(300):
        seams, sent = SampleBoundaries(), bytearray()
        # Low bytes are even and high bytes odd, and the speaker can be read off both.
        places: dict[Speaker, int] = {"application": 0, "tool": 0}
        for _ in range(chance.randrange(1, 30)):
            speaker: Speaker = chance.choice(["application", "tool"])
            size, at = chance.randrange(6), places[speaker]
            base = 0x40 if speaker == "application" else 0x80
            sent += seams.align_audio(speaker, bytes(base + (at + index) % 2 for index in range(size)))
            places[speaker] += size

        low, high = sent[0::2], sent[1::2]
        assert all(byte in (0x40, 0x80) for byte in low)
        assert all(after in (before + 1, 0) for before, after in zip(low, high, strict=False))
