import pytest

from listenctl.errors import UsageError
from listenctl.play_to_call.delivery_mode import (
    KnownBy,
    ModeChoice,
    ModeHints,
    PlayMode,
    check_mode_options,
    choose_mode,
    explain_probe,
)

AUTO, CLIP, STREAM = ModeChoice.AUTO, ModeChoice.CLIP, ModeChoice.STREAM
ALL = ModeHints(metadata=16000, server=8000)


@pytest.mark.parametrize(
    ("choice", "rate", "hints", "mode"),
    [
        (AUTO, 24000, ALL, PlayMode(24000, KnownBy.OPTION)),
        (AUTO, 0, ALL, PlayMode(0, KnownBy.OPTION)),
        (CLIP, None, ALL, PlayMode(0, KnownBy.OPTION)),
        (AUTO, None, ALL, PlayMode(16000, KnownBy.METADATA)),
        (AUTO, None, ModeHints(metadata=0, server=8000), PlayMode(0, KnownBy.METADATA)),
        (AUTO, None, ModeHints(server=8000, server_from=KnownBy.TOOL), PlayMode(8000, KnownBy.TOOL)),
        (STREAM, None, ModeHints(metadata=0, server=8000), PlayMode(8000, KnownBy.SERVER)),
        (STREAM, 8000, ModeHints(metadata=0), PlayMode(8000, KnownBy.OPTION)),
        # It has to be probed.
        (AUTO, None, ModeHints(), None),
        (STREAM, None, ModeHints(), None),
        (STREAM, None, ModeHints(metadata=0, server=0), None),
    ],
)
def test_the_source_closest_to_the_call_decides(
    choice: ModeChoice, rate: int | None, hints: ModeHints, mode: PlayMode | None
) -> None:
    assert choose_mode(choice, rate, hints) == mode


@pytest.mark.parametrize(
    ("choice", "hints", "sentence"),
    [
        (AUTO, ModeHints(), "nothing says how this call takes sound, so it is probed"),
        (STREAM, ModeHints(), "nothing says how this call takes sound, so it is probed"),
        (STREAM, ModeHints(metadata=0), "the call's metadata says that this call takes clips, not a stream; "),
        (
            STREAM,
            ModeHints(server=0, server_from=KnownBy.TOOL),
            "a probe by another tool says that this call takes clips",
        ),
        (STREAM, ModeHints(server=0), "the server's --stream-rate says that this call takes clips, not a stream; "),
    ],
)
def test_why_something_is_tried_is_said(choice: ModeChoice, hints: ModeHints, sentence: str) -> None:
    assert explain_probe(choice, hints).startswith(sentence)


@pytest.mark.parametrize(("choice", "rate"), [(CLIP, 8000), (STREAM, 0)])
def test_options_that_contradict_each_other_are_refused(choice: ModeChoice, rate: int) -> None:
    with pytest.raises(UsageError):
        check_mode_options(choice, rate)


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        (
            PlayMode(8000, KnownBy.METADATA),
            "streams at 8000 Hz, according to streamRate in the call's metadata",
        ),
        (PlayMode(0, KnownBy.SERVER), "takes clips, according to the server's --stream-rate"),
        (PlayMode(0, KnownBy.PROBE), "takes clips, because it doesn't answer a mark"),
        (PlayMode(16000, KnownBy.PROBE), "streams at 16000 Hz, according to a probe"),
    ],
)
def test_a_mode_says_how_it_is_known(mode: PlayMode, sentence: str) -> None:
    assert mode.sentence == sentence
