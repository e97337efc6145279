"""What is known of the end of a connection."""

from listenctl.server.calls.live_call_log import LiveCallEnd
from listenctl.server.jambonz_connection import Closing
from listenctl.server.server_handshake import new_protocol


def test_a_peer_that_reads_at_all_is_told_from_one_that_doesnt() -> None:
    closing = Closing(new_protocol(1024))

    assert [closing.is_read(unsent) for unsent in (100, 60, 60, 10, 0, 0)] == [True, True, False, True, False, False]


def test_a_connection_that_we_broke_off_says_why() -> None:
    closing = Closing(new_protocol(1024))
    closing.break_off("the application is gone")

    assert closing.has_begun
    assert closing.describe() == LiveCallEnd("nobody", 1006, "the application is gone")


def test_a_connection_that_broke_by_itself_was_ended_by_nobody() -> None:
    closing = Closing(new_protocol(1024))

    assert not closing.has_begun
    assert closing.describe() == LiveCallEnd("nobody", 1006, "the connection broke")
