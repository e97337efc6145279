import hashlib
import json

import pytest

from listenctl.protocol.jambonz_messages import UnknownMessage, parse_texts
from listenctl.protocol.listen_session import MessageReceived
from listenctl.server.calls.live_call_log import MAX_LOGGED, MAX_LOGGED_BYTES
from tests.helpers.server import call_log


@pytest.mark.parametrize("size", [1, 10_000, MAX_LOGGED_BYTES])
def test_texts_are_logged_up_to_a_size_and_then_counted_with_their_digest(size: int) -> None:
    log = call_log()
    count = min(MAX_LOGGED, 3 * 2**20 // size) + 10
    texts = [f"{number:04}"[-size:] + "x" * (size - 4) for number in range(count)]
    for text in texts:
        log.add_entry(MessageReceived(0, UnknownMessage(None, text)))

    logged = min(MAX_LOGGED, MAX_LOGGED_BYTES // size)
    assert len(log.entries) == logged
    assert log.unlogged == len(texts) - logged
    assert log.unlogged_digest is not None
    assert log.unlogged_digest.digest() == hashlib.sha256("".join(texts[logged:]).encode()).digest()


def test_the_json_of_a_logged_text_is_not_kept() -> None:
    log = call_log()
    text = json.dumps({"a": [[]] * 1000})

    log.add_entry(MessageReceived(0, parse_texts(text.encode())[0]))

    (entry,) = log.entries
    assert isinstance(entry, MessageReceived)
    assert entry.message == UnknownMessage(None, text, None)
