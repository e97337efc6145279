import pytest

from listenctl.protocol.json_repair import MAX_FAULTS, MAX_SKIPS, ObjectRepair


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('{"x":"say "hi""}', {"x": 'say "hi"'}),
        ('{"x":""hi" he said","y":1}', {"x": '"hi" he said', "y": 1}),
        ('{"x":{"q":"say "hi"","r":"s"},"y":1}', {"x": {"q": 'say "hi"', "r": "s"}, "y": 1}),
        ('{"x":["a","b "c" d",{"e":"f "g""},null]}', {"x": ["a", 'b "c" d', {"e": 'f "g"'}, None]}),
        ('{"x":"{"a":"b"}","y":1}', {"x": '{"a":"b"}', "y": 1}),
        ('{"x":"a, "b", c","y":1}', {"x": 'a, "b", c', "y": 1}),
        # The last of equal names wins.
        ('{"a":"x","a":"say "y""}', {"a": 'say "y"'}),
        ('{"x":"well \\"escaped\\" and "not"" , "y\\"z" : 1}', {"x": 'well "escaped" and "not"', 'y"z': 1}),
    ],
)
def test_quotes_that_lost_their_escapes_belong_to_the_string(text: str, fields: dict[str, object]) -> None:
    # What follows the object is left.
    for repaired in (ObjectRepair(text), ObjectRepair(text + '\'{"event":"dtmf"}')):
        assert repaired.fields == fields
        assert repaired.end == len(text)
        assert not repaired.cut


def test_a_fault_names_its_field() -> None:
    repaired = ObjectRepair('{"x":{"q":"say "hi"","r":"a\tb"}}')

    assert repaired.faults == ["quotes inside `x.q` were not escaped", "`x.r` contains raw control characters"]


def test_backslashes_that_lost_their_escapes_stay_as_they_are() -> None:
    repaired = ObjectRepair(r'{"x":"C:\Users\me","y":"a\u0062"}')

    assert repaired.fields == {"x": r"C:\Users\me", "y": "ab"}
    assert repaired.faults == ["backslashes inside `x` were not escaped"]


@pytest.mark.parametrize(
    ("text", "fields", "incomplete"),
    [
        ("{", {}, ""),
        ('{"a', {}, ""),
        ('{"a"', {}, ""),
        ('{"a":', {}, "a"),
        ('{"a":"x', {}, "a"),
        ('{"a":"x\\', {}, "a"),
        ('{"a":"x\\u00', {}, "a"),
        ('{"a":"x"', {"a": "x"}, ""),
        ('{"a":"x",', {"a": "x"}, ""),
        ('{"a":"x","b', {"a": "x"}, ""),
        ('{"a":"x","b\\', {"a": "x"}, ""),
        ('{"a":"x","b"', {"a": "x"}, ""),
        ('{"a":1,"b":12', {"a": 1}, "b"),
        ('{"a":1,"b":1.', {"a": 1}, "b"),
        ('{"a":1,"b":tru', {"a": 1}, "b"),
        ('{"a":1,"b":true', {"a": 1, "b": True}, ""),
        ('{"a":{"b":1,"c":"x', {"a": {"b": 1}}, "a.c"),
        ('{"a":{"b":1,"c', {"a": {"b": 1}}, "a"),
        ('{"a":[1,"x","y', {"a": [1, "x"]}, "a"),
        ('{"a":[1,{"b":"c"},2', {"a": [1, {"b": "c"}]}, "a"),
    ],
)
def test_what_was_complete_before_the_cut_is_kept(text: str, fields: dict[str, object], incomplete: str) -> None:
    repaired = ObjectRepair(text)

    assert repaired.fields == fields
    assert repaired.cut
    assert repaired.incomplete == incomplete


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('{"a":NaN,"b":1}', {"b": 1}),
        ('{"a":,"b":1}', {"b": 1}),
        ('{"a":{"q":junk},"b":1}', {"a": {}, "b": 1}),
        ('{"a":[1,junk],"b":1}', {"a": [1], "b": 1}),
        ('{"a":"never ends ,"b":1}', {"b": 1}),
        ('{a:1,"b":1}', {"b": 1}),
        ('{"a":007,"b":1}', {"b": 1}),
    ],
)
def test_what_cannot_be_read_costs_only_itself(text: str, fields: dict[str, object]) -> None:
    repaired = ObjectRepair(text)

    assert repaired.fields == fields
    assert len(repaired.faults) == 1


def test_nesting_is_bounded() -> None:
    repaired = ObjectRepair('{"a":1,"b":' + "[" * 100_000)

    assert repaired.fields["a"] == 1
    assert repaired.cut


def test_unreadable_spots_are_bounded() -> None:
    repaired = ObjectRepair("{" + ",".join(f'"a{i}":junk' for i in range(1000)) + ',"b":1}')

    assert len(repaired.faults) == MAX_SKIPS
    assert repaired.fields == {}
    assert repaired.incomplete == f"a{MAX_SKIPS}"


def test_faults_are_bounded() -> None:
    repaired = ObjectRepair("{" + ",".join(f'"a{i}":"x"y"' for i in range(1000)) + "}")

    assert len(repaired.fields) == 1000
    assert len(repaired.faults) == MAX_FAULTS


@pytest.mark.parametrize("text", ['{"say "hi" x":1}', '{"":"say "hi" x"}'])
def test_quotes_in_a_name_are_not_said_to_be_in_an_empty_field(text: str) -> None:
    assert ObjectRepair(text).faults == ["quotes inside a name were not escaped"]
