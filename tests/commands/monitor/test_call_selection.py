"""The calls that a monitor plays."""

from listenctl.commands.monitor.call_selection import CallSelection


def with_calls(*calls: str, every: bool = False) -> CallSelection:
    selection = CallSelection(every=every)
    for call in calls:
        selection.add_call(call)
    return selection


def test_first_call_is_played() -> None:
    assert with_calls("a", "b").played == ["a"]
    assert with_calls().played == []


def test_selection_wraps_around() -> None:
    selection = with_calls("a", "b", "c")

    played = []
    for steps in (1, 1, 1, -1, -1):
        selection.select_relative(steps)
        played.append(selection.played)

    assert played == [["b"], ["c"], ["a"], ["c"], ["b"]]


def test_next_calls_are_added_until_all_are_played() -> None:
    selection = with_calls("a", "b", "c")
    selection.select_relative(1)

    played = []
    for _ in range(3):
        selection.add_next_call()
        played.append(selection.played)

    assert played == [["b", "c"], ["a", "b", "c"], ["a", "b", "c"]]


def test_selecting_a_call_stops_the_others() -> None:
    selection = with_calls("a", "b", "c", every=True)
    all_played = selection.played

    selection.select_relative(1)

    assert all_played == ["a", "b", "c"]
    assert selection.played == ["b"]


def test_next_call_is_selected_when_the_only_one_ends() -> None:
    selection = with_calls("a", "b", "c")
    selection.select_relative(1)

    played = []
    for call in ("b", "c", "a"):
        selection.remove_call(call)
        played.append(selection.played)

    assert played == [["c"], ["a"], []]


def test_others_are_still_played_when_one_ends() -> None:
    selection = with_calls("a", "b", "c")
    selection.add_next_call()

    selection.remove_call("a")
    played = selection.played
    selection.remove_call("c")

    assert played == ["b"]
    assert selection.played == ["b"]


def test_repeated_and_unknown_calls_change_nothing() -> None:
    selection = with_calls("a")

    selection.add_call("a")
    selection.remove_call("x")
    selection.add_next_call()
    with_calls().select_relative(1)
    with_calls().add_next_call()

    assert selection.calls == ["a"]
    assert selection.played == ["a"]
