import pytest

from listenctl.protocol.gaps.message_sizes import MessageSizes


def sizes_of(*messages: int) -> MessageSizes:
    sizes, position = MessageSizes(), 0
    for size in messages:
        sizes.add_messages(size, 1, position)
        position += size
    return sizes


@pytest.mark.parametrize(
    ("messages", "usual"),
    [
        ((19_520, 320), 0),
        ((19_520, 320, 320), 320),
        # Frames that came two at once are corrected.
        ((640, 640, 320, 320), 320),
        ((320, 320, 640, 640), 320),
        ((440, 442, 440, 442), 0),
    ],
)
def test_a_size_is_usual_when_it_comes_twice_in_a_row(messages: tuple[int, ...], usual: int) -> None:
    assert sizes_of(*messages).usual == usual


def test_a_run_is_usual_at_once() -> None:
    sizes = MessageSizes()

    sizes.add_messages(320, 20, 0)

    assert sizes.usual == 320


def test_a_message_that_lacks_16_bytes_is_a_slip_and_one_of_many_frames_a_backlog() -> None:
    # V5: 640 bytes are one frame of stereo, 624 what comes after a loss.
    assert [list(sizes_of(640, 640, size).slips) for size in (624, 6384, 1280)] == [[1280], [1280], []]
    assert [list(sizes_of(320, 320, size).backlogs) for size in (1280, 32_000)] == [[], [640]]
    # A first message without its head is noticed when the usual size is known.
    first = [(8304, 320), (8304, 320, 320), (8320, 320, 320)]
    assert [sizes_of(*messages).first_lacks_head for messages in first] == [False, True, False]
