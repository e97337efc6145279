import asyncio

import pytest

from listenctl.events import ConnectionRefusedEvent, Reporter
from listenctl.server.access.refusal_reports import MAX_REPORTS, MAX_REPORTS_OF_CLIENT, WINDOW, RefusalReports
from tests.helpers.server import Events

pytestmark = pytest.mark.simulated_time


class Refusals:
    def __init__(self) -> None:
        self.events = Events()
        self.counted = 0
        reporter = Reporter(self.events)
        reporter.add_counter(lambda *_: self._count(), (ConnectionRefusedEvent.event,))
        self.reports = RefusalReports(reporter, asyncio.get_running_loop())

    def _count(self) -> None:
        self.counted += 1

    def refuse(self, host: str, status: int, number: int = 1, *, limit: str | None = None) -> None:
        for port in range(number):
            event = ConnectionRefusedEvent(
                remote=f"{host}:{port}", target="/", status=status, reason="wrong", limit=limit
            )
            self.reports.report_refusal(event)

    @property
    def reported(self) -> int:
        return len(self.events.of("connection-refused"))


async def test_of_each_client_some_are_reported_and_the_others_summed_up() -> None:
    refusals = Refusals()

    refusals.refuse("192.0.2.1", 401, MAX_REPORTS_OF_CLIENT + 2)
    refusals.refuse("192.0.2.1", 429, 3)
    refusals.refuse("192.0.2.1", 503, 2, limit="passwords")
    refusals.refuse("192.0.2.2", 403)
    await asyncio.sleep(WINDOW)

    assert refusals.reported == MAX_REPORTS_OF_CLIENT + 1
    assert refusals.counted == MAX_REPORTS_OF_CLIENT + 8
    (warning,) = refusals.events.of("warning")
    assert warning["rule"] == "refusals-unreported"
    detail = "7 more connections were refused than are reported: 2 with 401, 3 with 429, 2 with 503"
    assert warning["detail"].endswith(detail)


async def test_of_all_clients_together_some_are_reported() -> None:
    refusals = Refusals()

    for host in range(MAX_REPORTS + 7):
        refusals.refuse(f"10.0.0.{host}", 401)
    refusals.reports.end_window()

    assert refusals.reported == MAX_REPORTS
    assert ": 7 with 401" in refusals.events.of("warning")[0]["detail"]


async def test_after_a_while_a_client_is_reported_again() -> None:
    refusals = Refusals()

    for _ in range(2):
        refusals.refuse("192.0.2.1", 401, MAX_REPORTS_OF_CLIENT)
        await asyncio.sleep(WINDOW)

    assert refusals.reported == 2 * MAX_REPORTS_OF_CLIENT
    assert refusals.events.of("warning") == []


async def test_what_has_another_cause_is_always_reported() -> None:
    refusals = Refusals()

    refusals.refuse("192.0.2.1", 503, 3 * MAX_REPORTS, limit="max-calls")

    assert refusals.reported == 3 * MAX_REPORTS
