import pytest

from listenctl.protocol.jambonz_messages import Dtmf, Mark, PlayDone
from listenctl.protocol.jambonz_model.profiles import CURRENT, IDEAL, NEXT, OLD, PROFILES, Profile

DONE = PlayDone("v7", None, "1", "1240", "9920")
DONE_TEXT = (
    '{"type":"playDone","data":{"id":"v7","playbackSeconds":"1","playbackMilliseconds":"1240",'
    '"playbackLastOffsetPos":"9920"}}'
)


def test_profiles_are_found_by_name() -> None:
    assert dict(PROFILES) == {"ideal": IDEAL, "current": CURRENT, "old": OLD, "next": NEXT}


def test_each_message_is_a_text_of_its_own() -> None:
    assert CURRENT.serialize_messages([DONE, Mark("my-mark-1", "playout")]) == (
        DONE_TEXT,
        '{"type": "mark", "data": {"name":"my-mark-1", "event": "playout"}}',
    )


def test_old_glues_what_leaves_together() -> None:
    assert OLD.serialize_messages([Dtmf("1", "1600"), DONE]) == (
        '{"event":"dtmf","dtmf":"1","duration":"1600"}' + DONE_TEXT,
    )
    assert OLD.serialize_messages([]) == ()


@pytest.mark.parametrize(
    ("clip_id", "text"),
    [
        ("O'Brien", '{"type":"playDone","data":{"id":"OBrien"}}\''),
        ("'a'", '{"type":"playDone","data":{"id":"a"}}'),
        ('say "hi"', '{"type":"playDone","data":{"id":"say "hi""}}'),
        ("a\nb", '{"type":"playDone","data":{"id":"a\nb"}}'),
        ("Zoë", '{"type":"playDone","data":{"id":"Zoë"}}'),
    ],
)
def test_the_command_line_mangles_the_id_of_a_clip(clip_id: str, text: str) -> None:
    assert CURRENT.serialize_messages([PlayDone(clip_id)]) == (text,)


@pytest.mark.parametrize("profile", [NEXT, IDEAL])
def test_others_send_the_id_as_it_is(profile: Profile) -> None:
    assert profile.serialize_messages([PlayDone("O'Brien")]) == ('{"type":"playDone","data":{"id":"O\'Brien"}}',)
