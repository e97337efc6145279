from listenctl.protocol.gaps.message_sizes import MessageSizes


def sizes_of(*messages: int) -> MessageSizes:
    sizes, position = MessageSizes(), 0
    for size in messages:
        sizes.add_messages(size, 1, position)
        position += size
    return sizes


def test_a_size_is_usual_when_it_comes_twice_in_a_row() -> None:
    assert sizes_of(19_520, 320).usual == 0
    assert sizes_of(19_520, 320, 320).usual == 320


def test_a_run_is_usual_at_once() -> None:
    sizes = MessageSizes()

    sizes.add_messages(320, 20, 0)

    assert sizes.usual == 320


def test_frames_that_came_two_at_once_are_corrected() -> None:
    assert sizes_of(640, 640, 320, 320).usual == 320
    assert sizes_of(320, 320, 640, 640).usual == 320


def test_sizes_that_alternate_have_none_that_is_usual() -> None:
    assert sizes_of(440, 442, 440, 442).usual == 0


def test_a_message_that_lacks_16_bytes_is_a_slip() -> None:
    # V5: 640 bytes are one frame of stereo, 624 what comes after a loss.
    assert sizes_of(640, 640, 624).slip == 1280
    assert sizes_of(640, 640, 6384).slip == 1280
    assert sizes_of(640, 640, 640, 1280).slip == -1


def test_a_message_of_many_frames_is_a_backlog() -> None:
    assert sizes_of(320, 320, 1280).backlog == -1
    assert sizes_of(320, 320, 32_000).backlog == 640


def test_a_first_message_without_its_head_is_noticed_when_the_usual_size_is_known() -> None:
    assert not sizes_of(8304, 320).first_lacks_head
    assert sizes_of(8304, 320, 320).first_lacks_head
    assert not sizes_of(8320, 320, 320).first_lacks_head
