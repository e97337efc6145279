"""The socket of a simulated call: it is found and queried, and presses digits."""

import asyncio
import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from listenctl.errors import ListenctlError, NotFoundError
from listenctl.events import Reporter
from listenctl.net.unix_http import get_over_unix_socket
from listenctl.protocol.listen_verb.listen_verb import ListenVerb
from listenctl.simulator import simulated_call_socket
from listenctl.simulator.call_snapshot import CallSnapshot, CallState
from listenctl.simulator.dtmf_requests import DtmfRequest
from listenctl.simulator.find_simulated_calls import find_simulated_calls, request_dtmf
from listenctl.simulator.plan import CallPlan
from listenctl.simulator.simulated_call import SimulatedCall
from listenctl.simulator.simulated_call_socket import SimulatedCallEntry, call_socket
from tests.helpers.scripted_server import target
from tests.helpers.server import LIMIT, mode_of, until


class Phone(SimulatedCall):
    """A call that only records pressed digits."""

    def __init__(self, state: CallState = "live", *, ends_at: str = "", passes_dtmf: bool = True) -> None:
        plan = CallPlan(target=target(1), verb=ListenVerb(pass_dtmf=passes_dtmf))
        super().__init__(plan, Reporter())
        self.state = state
        self.presses: list[tuple[str, float]] = []
        self._ends_at = ends_at

    def press_digit(self, digit: str, duration: float = 0.2) -> None:
        self.presses.append((digit, duration))
        if digit == self._ends_at:
            self.state = "closing"

    def snapshot(self) -> CallSnapshot:
        return replace(super().snapshot(), state=self.state)


def silent(problem: str) -> None:
    raise AssertionError(problem)


def nothing() -> None:
    """Ignore a pressed digit."""


def folder(tmp_path: Path) -> Path:
    return tmp_path / "listenctl" / "calls"


async def found(tmp_path: Path) -> SimulatedCallEntry:
    (entry,) = await asyncio.to_thread(find_simulated_calls, folder(tmp_path))
    return entry


async def test_a_live_call_is_found_and_leaves_no_socket(tmp_path: Path) -> None:
    phone = Phone()
    async with asyncio.timeout(LIMIT), call_socket(folder(tmp_path), phone, silent):
        path = folder(tmp_path) / f"{os.getpid()}.sock"
        assert (mode_of(path.parent), mode_of(path)) == (0o700, 0o600)

        entry = await found(tmp_path)
        status, body = await asyncio.to_thread(lambda: get_over_unix_socket(path, "/call", patience=2.0))
        elsewhere, _ = await asyncio.to_thread(lambda: get_over_unix_socket(path, "/calls", patience=2.0))

    assert entry == SimulatedCallEntry(
        socket=path,
        pid=os.getpid(),
        call_sid=str(phone.metadata.call_sid),
        url="ws://127.0.0.1:1/calls?x=1",
        state="live",
        started=entry.started,
        digits="",
    )
    assert (status, elsewhere) == (200, 404)
    assert json.loads(body) == entry.serialize()
    assert list(folder(tmp_path).iterdir()) == []


@pytest.mark.parametrize("passes_dtmf", [True, False])
async def test_digits_are_pressed_one_after_another(passes_dtmf: bool, tmp_path: Path) -> None:
    phone = Phone(passes_dtmf=passes_dtmf)
    async with asyncio.timeout(LIMIT), call_socket(folder(tmp_path), phone, silent):
        counts: list[int] = []
        passed = await request_dtmf(
            await found(tmp_path), DtmfRequest("1#", 50, 0), lambda: counts.append(len(phone.presses))
        )

    # The answer says whether digits are sent to the server.
    assert passed == passes_dtmf
    assert phone.presses == [("1", 0.05), ("#", 0.05)]
    assert counts == [1, 2]


async def test_no_digit_is_pressed_after_one_that_ends_the_call(tmp_path: Path) -> None:
    phone = Phone(ends_at="#")
    async with asyncio.timeout(LIMIT), call_socket(folder(tmp_path), phone, silent):
        entry = await found(tmp_path)
        await request_dtmf(entry, DtmfRequest("1#", 50, 0), nothing)

        with pytest.raises(NotFoundError, match="the call has ended"):
            await request_dtmf(entry, DtmfRequest("2"), nothing)

    assert [digit for digit, _ in phone.presses] == ["1", "#"]


async def test_a_call_that_is_not_connected_refuses_digits(tmp_path: Path) -> None:
    async with asyncio.timeout(LIMIT), call_socket(folder(tmp_path), Phone("connecting"), silent):
        with pytest.raises(ListenctlError, match="isn't connected yet"):
            await request_dtmf(await found(tmp_path), DtmfRequest("1"), nothing)


async def test_a_client_that_leaves_presses_no_more_digits(tmp_path: Path) -> None:
    phone = Phone()
    async with asyncio.timeout(LIMIT), call_socket(folder(tmp_path), phone, silent):
        pressing = asyncio.create_task(request_dtmf(await found(tmp_path), DtmfRequest("123", 5000, 0), nothing))
        await until(lambda: bool(phone.presses))
        pressing.cancel()
        await asyncio.wait([pressing])

    assert [digit for digit, _ in phone.presses] == ["1"]


async def test_the_end_of_the_call_ends_a_request(tmp_path: Path) -> None:
    phone = Phone()
    async with asyncio.timeout(LIMIT):
        async with call_socket(folder(tmp_path), phone, silent):
            pressing = asyncio.create_task(request_dtmf(await found(tmp_path), DtmfRequest("12", 24_000, 0), nothing))
            await until(lambda: bool(phone.presses))
        with pytest.raises(NotFoundError, match="the call has ended"):
            await pressing

    assert [digit for digit, _ in phone.presses] == ["1"]


async def test_a_call_continues_without_a_socket_and_warns(tmp_path: Path) -> None:
    problems: list[str] = []
    (tmp_path / "listenctl").mkdir(mode=0o755)

    async with call_socket(folder(tmp_path), Phone(), problems.append):
        pass

    assert [problem.partition(":")[0] for problem in problems] == ["send-dtmf can't find this call"]


def test_only_the_socket_of_a_dead_process_is_removed(tmp_path: Path) -> None:
    assert find_simulated_calls(folder(tmp_path)) == []
    folder(tmp_path).mkdir(parents=True)
    # No process has a number as high as this.
    dead, foreign, alive = (folder(tmp_path) / name for name in ("999999999.sock", "x.sock", f"{os.getpid()}.sock"))
    for path in (dead, foreign, alive):
        with socket.socket(socket.AF_UNIX) as unused:
            unused.bind(str(path))
    (folder(tmp_path) / "file.sock").write_text("")

    assert find_simulated_calls(folder(tmp_path)) == []

    assert sorted(path.name for path in folder(tmp_path).iterdir()) == sorted((foreign.name, alive.name, "file.sock"))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"call_sid":5,"started":1}', b'{"call_sid":"a"}', b"[" * 10_000, b"\xff"]
)
def test_an_invalid_description_is_refused(body: bytes) -> None:
    assert SimulatedCallEntry.parse(Path("a.sock"), body) is None


async def test_a_call_continues_when_its_socket_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(simulated_call_socket, "_readable", fail)
    problems: list[str] = []
    async with asyncio.timeout(LIMIT), call_socket(folder(tmp_path), Phone(), problems.append):
        await until(lambda: bool(problems))

    assert problems == ["send-dtmf can't find this call: its socket failed unexpectedly"]
    assert "a bug of ours" in caplog.text
