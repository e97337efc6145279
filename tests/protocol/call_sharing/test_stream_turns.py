from hypothesis import given
from hypothesis import strategies as st

from listenctl.protocol.call_sharing.shared_stream import StreamTurns, TurnEnd


def test_the_first_to_send_holds_the_stream() -> None:
    turns = StreamTurns()

    assert turns.take_audio(1, b"abcd") == b"abcd"
    assert turns.take_audio(2, b"efgh") is None
    assert turns.holder == 1


def test_those_who_ask_are_served_in_order() -> None:
    turns = StreamTurns()

    assert [turns.request_turn(tool) for tool in (1, 2, 3, 2, 1)] == [True, False, False, False, True]
    assert turns.end_turn(1) == TurnEnd(b"", 2)
    assert turns.end_turn(2) == TurnEnd(b"", 3)
    assert turns.end_turn(3) == TurnEnd(b"", None)
    assert turns.holder is None


def test_who_stops_waiting_is_passed_over() -> None:
    turns = StreamTurns()
    for tool in (1, 2, 3):
        turns.request_turn(tool)

    assert turns.end_turn(2) == TurnEnd()
    assert turns.end_turn(1) == TurnEnd(b"", 3)


def test_half_a_sample_is_completed_when_its_tool_leaves() -> None:
    turns = StreamTurns()
    turns.take_audio(1, b"abc")

    assert turns.end_turn(1) == TurnEnd(b"\0", None)
    assert turns.take_audio(2, b"ef") == b"ef"


def test_a_dropped_stream_that_gets_the_turn_goes_on_with_a_whole_sample() -> None:
    turns = StreamTurns()
    turns.request_turn(1)
    turns.take_audio(2, b"abc")

    turns.end_turn(1)

    assert turns.take_audio(2, b"def") == b"ef"
    assert turns.end_turn(2) == TurnEnd()


def test_who_leaves_without_having_had_the_turn_begins_anew() -> None:
    turns = StreamTurns()
    turns.request_turn(1)
    turns.take_audio(2, b"abc")

    turns.end_turn(2)
    turns.end_turn(1)

    assert turns.take_audio(2, b"ef") == b"ef"


def test_asking_again_gives_no_second_turn() -> None:
    turns = StreamTurns()
    for tool in (1, 2, 2, 2):
        turns.request_turn(tool)

    assert turns.end_turn(1) == TurnEnd(b"", 2)
    assert turns.end_turn(2) == TurnEnd(b"", None)


def test_who_waited_begins_anew_whatever_was_dropped() -> None:
    turns = StreamTurns()
    turns.request_turn(1)
    turns.request_turn(2)
    turns.take_audio(2, b"abc")

    turns.end_turn(1)

    assert turns.take_audio(2, b"ef") == b"ef"


STEPS = st.tuples(st.sampled_from(["audio", "ask", "leave"]), st.integers(1, 4), st.integers(1, 5))


@given(st.lists(STEPS, max_size=60))
def test_every_turn_is_whole_samples_of_one_tool(steps: list[tuple[str, int, int]]) -> None:
    turns = StreamTurns()
    positions = dict.fromkeys(range(1, 5), 0)
    streamed = b""

    for step, tool, size in steps:
        before = turns.holder
        match step:
            case "audio":
                # High and low bytes of each tool's samples differ, so a shift shows.
                sent = bytes(16 * tool + (positions[tool] + at) % 2 for at in range(size))
                positions[tool] += size
                streamed += turns.take_audio(tool, sent) or b""
                assert turns.holder == before or before is None
            case "ask":
                positions[tool] *= turns.request_turn(tool) == (before == tool)
            case "leave":
                end = turns.end_turn(tool)
                streamed += end.padding
                positions[tool] = 0
                if end.next is not None:
                    positions[end.next] = 0

    for low, high in zip(streamed[::2], streamed[1::2], strict=False):
        assert low % 16 == 0
        assert high in (low + 1, 0)
