import pytest

from tests.helpers.verbs import URL, error_of, listen

_CARRIERS = "give the verbs, an `ack`, a `command` of the type redirect, or a REST body with app_json"


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"type": "session:new", "data": {}}, f"a message of the type 'session:new' carries no verbs; {_CARRIERS}"),
        ({"type": "ack", "msgid": "a"}, f"data is no array of verbs; {_CARRIERS}"),
        ({"type": "ack", "data": listen()}, f"data is no array of verbs; {_CARRIERS}"),
        (
            {"type": "command", "command": "whisper", "data": [{"verb": "say", "text": "hi"}]},
            f"the command 'whisper' carries no application; {_CARRIERS}",
        ),
        (
            {"type": "command", "command": "redirect", "data": {"call_hook": "/next"}},
            "data names a call_hook instead of verbs; give what that URL answers",
        ),
        (
            {"from": "1", "to": {}, "application_sid": "a"},
            "names an application instead of verbs; give what the application answers",
        ),
        ({"call_hook": "/a"}, "names an application instead of verbs; give what the application answers"),
        ({"listen_status": "pause", "a": 1}, f"has no `verb`; {_CARRIERS}"),
        ({"app_json": "[{"}, "app_json: line 1, column 3: Expecting property name enclosed in double quotes; give one"),
        ({"url": URL, "scope": "all"}, 'the body.scope must be one of mix, members, not "all"'),
        ({"type": "ack", "data": [5]}, "data[0] must be an object, not 5; jambonz rejects the application"),
    ],
)
def test_a_document_that_carries_no_application_is_refused(document: object, problem: str) -> None:
    assert error_of(document).startswith(f"verb.json: {problem}")
