"""The responders of a server: how they begin, fail and end with their calls."""

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from listenctl.errors import ListenctlError
from listenctl.server.responders import call_responders as attending
from listenctl.server.responders.call_responders import RespondedCall
from tests.helpers.frames import binary, close, text
from tests.helpers.server import until
from tests.helpers.simulated_calls import responding

pytestmark = pytest.mark.simulated_time

METADATA = '{"callSid":"7f1c","sampleRate":8000,"mixType":"mono"}'


@dataclass(slots=True)
class Listener:
    """Keeps what it hears, until the call ends or it fails."""

    failure: Exception | None = None
    name: str = "test"
    wants_audio: bool = True
    heard: list[str | bytes] = field(default_factory=list)
    ended: bool = False

    async def handle_call(self, call: RespondedCall) -> None:
        if self.failure:
            raise self.failure
        try:
            while True:
                self.heard.append(await call.tool.receive())
        finally:
            self.ended = True


@dataclass(slots=True)
class Stubborn:
    """Goes on when its call has ended."""

    name: str = "test"
    wants_audio: bool = False
    stopped: bool = False

    async def handle_call(self, call: RespondedCall) -> None:
        try:
            assert not call.control
            await asyncio.Event().wait()
        finally:
            self.stopped = True


async def test_an_attendant_hears_the_call_from_its_first_sample_in_order() -> None:
    listener = Listener()
    audio = b"".join(number.to_bytes(2, "little") for number in range(3000))

    async with responding(listener) as run:
        # All in one piece, so that the call begins while its first bytes are read.
        peer = await run.call(
            binary(audio[:320]) + text(METADATA) + binary(audio[320:3000]),
            binary(audio[3000:]),
            text("no JSON"),
            close(1000),
        )
        await run.events.wait_for("call-ended")
        await peer.close()
        await until(lambda: listener.ended)

    assert b"".join(heard for heard in listener.heard if isinstance(heard, bytes)) == audio
    assert listener.heard[-1] == "no JSON"


async def test_a_call_that_is_over_as_soon_as_it_begins_is_attended_too() -> None:
    listener = Listener()

    async with responding(listener) as run:
        await run.call(text(METADATA) + binary(bytes(320)) + close(1000))
        await run.events.wait_for("call-ended")
        await until(lambda: listener.ended)

    assert listener.heard == [bytes(320)]


async def test_an_attendant_that_fails_is_a_warning_and_the_call_goes_on() -> None:
    async with responding(Listener(ListenctlError("no such file")), Listener()) as run:
        peer = await run.call(text(METADATA))
        warning = await run.events.wait_for_warning("test-failed")
        await peer.send(close(1000))
        ended = await run.events.wait_for("call-ended")

    assert (warning["call"], warning["detail"]) == ("7f1c", "no such file")
    assert (ended["closed_by"], ended["warnings"]) == ("jambonz", 1)


async def test_an_unforeseen_failure_costs_nobody_else_anything(caplog: pytest.LogCaptureFixture) -> None:
    listener = Listener()

    async with responding(Listener(RuntimeError("oops")), listener) as run:
        with caplog.at_level(logging.CRITICAL, "listenctl"):
            await run.call(text(METADATA), binary(bytes(320)))
            warning = await run.events.wait_for_warning("test-failed")
        await until(lambda: bool(listener.heard))

    assert warning["detail"] == "it failed unexpectedly"


async def test_the_end_of_the_server_stops_who_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attending, "END_TIMEOUT", 0.1)
    stubborn = Stubborn()

    async with responding(stubborn) as run:
        await run.call(text(METADATA))
        await run.events.wait_for("call-started")
        run.server.shutdown.begin()
        await run.ended

    assert stubborn.stopped


async def test_a_server_without_attendants_attaches_nobody(tmp_path: Path) -> None:
    async with responding() as run:
        await run.call(text(METADATA))
        await run.events.wait_for("call-started")

        assert [call.tools for call in run.server.live] == [None]
