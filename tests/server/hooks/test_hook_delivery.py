"""Dead letters as lines."""

import json

import pytest

from listenctl.json_lines import json_line
from listenctl.server.hooks.hook_delivery import HookDelivery, HookKind

EVENT = {"v": 1, "event": "dtmf", "call": "CS-A", "digit": "5"}


def test_a_delivery_survives_as_a_line() -> None:
    delivery = HookDelivery.of(HookKind.COMMAND, "notify now", "CS-A", json_line(EVENT).encode())
    delivery.attempts, delivery.error = 3, "it exited with status 1"

    line = json_line(delivery.serialize())
    read = HookDelivery.parse(line)

    assert json.loads(line) == {
        "v": 1,
        "id": delivery.id,
        "command": "notify now",
        "attempts": 3,
        "error": "it exited with status 1",
        "event": EVENT,
    }
    assert read is not None
    assert (read.id, read.call, read.body) == (delivery.id, "CS-A", delivery.body)
    assert json_line(read.serialize()) == line


def test_no_two_deliveries_share_an_id_and_no_id_has_a_dot() -> None:
    ids = {HookDelivery.of(HookKind.WEBHOOK, "http://h/", None, b"{}").id for _ in range(100)}

    assert len(ids) == 100
    assert "." not in "".join(ids)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        '{"id":"m","event":{}}',
        '{"id":"m","webhook":"http://h","event":1,"attempts":1}',
        '{"id":"m","webhook":"http://h","event":{"call":[]},"attempts":1}',
        "[" * 100_000,
    ],
    ids=range(7),
)
def test_a_line_that_is_no_dead_letter_is_none(line: str) -> None:
    assert HookDelivery.parse(line) is None
