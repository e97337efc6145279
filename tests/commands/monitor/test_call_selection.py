"""The calls that a monitor plays."""

from listenctl.commands.monitor.call_selection import CallSelection


def with_calls(*calls: str, every: bool = False) -> CallSelection:
    selection = CallSelection(every=every)
    for call in calls:
        selection.add_call(call)
    return selection


def played(calls: str, steps: str, *, every: bool = False) -> list[str]:
    """Return the calls that are played after each step: < and > select, + adds the next, a letter is a call's end."""
    selection = with_calls(*calls, every=every)
    shown = []
    for step in steps:
        match step:
            case "<" | ">":
                selection.select_relative(1 if step == ">" else -1)
            case "+":
                selection.add_next_call()
            case _:
                selection.remove_call(step)
        shown.append("".join(selection.played))
    return shown


def test_first_call_is_played() -> None:
    assert with_calls("a", "b").played == ["a"]
    assert with_calls().played == []


def test_selection_wraps_around() -> None:
    assert played("abc", ">>><<") == ["b", "c", "a", "c", "b"]


def test_next_calls_are_added_until_all_are_played() -> None:
    assert played("abc", ">+++") == ["b", "bc", "abc", "abc"]


def test_selecting_a_call_stops_the_others() -> None:
    assert with_calls("a", "b", "c", every=True).played == ["a", "b", "c"]
    assert played("abc", ">", every=True) == ["b"]


def test_next_call_is_selected_when_the_only_one_ends() -> None:
    assert played("abc", ">bca") == ["b", "c", "a", ""]


def test_others_are_still_played_when_one_ends() -> None:
    assert played("abc", "+ac") == ["ab", "b", "b"]


def test_repeated_and_unknown_calls_change_nothing() -> None:
    selection = with_calls("a")

    selection.add_call("a")
    selection.remove_call("x")
    selection.add_next_call()
    with_calls().select_relative(1)
    with_calls().add_next_call()

    assert selection.calls == ["a"]
    assert selection.played == ["a"]
