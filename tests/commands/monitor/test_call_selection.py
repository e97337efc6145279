"""Which calls a monitor plays."""

from listenctl.commands.monitor.call_selection import CallSelection


def with_calls(*calls: str, every: bool = False) -> CallSelection:
    selection = CallSelection(every=every)
    for call in calls:
        selection.add_call(call)
    return selection


def test_the_first_call_is_heard() -> None:
    assert with_calls("a", "b").heard == ["a"]
    assert with_calls().heard == []


def test_moving_goes_round() -> None:
    selection = with_calls("a", "b", "c")

    heard = []
    for steps in (1, 1, 1, -1, -1):
        selection.select_relative(steps)
        heard.append(selection.heard)

    assert heard == [["b"], ["c"], ["a"], ["c"], ["b"]]


def test_calls_are_added_in_turn_until_all_are_heard_left_to_right() -> None:
    selection = with_calls("a", "b", "c")
    selection.select_relative(1)

    heard = []
    for _ in range(3):
        selection.add_next_call()
        heard.append(selection.heard)

    assert heard == [["b", "c"], ["a", "b", "c"], ["a", "b", "c"]]


def test_moving_leaves_one_call() -> None:
    selection = with_calls("a", "b", "c", every=True)
    all_heard = selection.heard

    selection.select_relative(1)

    assert all_heard == ["a", "b", "c"]
    assert selection.heard == ["b"]


def test_when_the_call_ends_the_next_one_is_heard() -> None:
    selection = with_calls("a", "b", "c")
    selection.select_relative(1)

    heard = []
    for call in ("b", "c", "a"):
        selection.remove_call(call)
        heard.append(selection.heard)

    assert heard == [["c"], ["a"], []]


def test_when_one_of_several_ends_the_others_stay() -> None:
    selection = with_calls("a", "b", "c")
    selection.add_next_call()

    selection.remove_call("a")
    heard = selection.heard
    selection.remove_call("c")

    assert heard == ["b"]
    assert selection.heard == ["b"]


def test_calls_that_are_unknown_or_known_change_nothing() -> None:
    selection = with_calls("a")

    selection.add_call("a")
    selection.remove_call("x")
    selection.add_next_call()
    with_calls().select_relative(1)
    with_calls().add_next_call()

    assert selection.calls == ["a"]
    assert selection.heard == ["a"]
