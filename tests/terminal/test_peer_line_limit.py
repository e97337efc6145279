"""A peer that causes many lines gets a few of them, and one that counts the others."""

import asyncio

import pytest

from listenctl.terminal.peer_line_limit import LINES, MAX_PEERS, OTHER_PEERS, PERIOD, LoggedPeer, PeerLineLimit

pytestmark = pytest.mark.simulated_time

LOUD, QUIET = LoggedPeer("10.0.0.7"), LoggedPeer("10.0.0.8")


def new_limit() -> tuple[PeerLineLimit, list[tuple[LoggedPeer, int]]]:
    reports: list[tuple[LoggedPeer, int]] = []
    limit = PeerLineLimit(lambda peer, lines: reports.append((peer, lines)), asyncio.get_running_loop())
    return limit, reports


async def test_lines_beyond_the_limit_are_counted_and_reported_when_the_period_is_over() -> None:
    limit, reports = new_limit()

    admitted = [limit.admit_line(LOUD) for _ in range(LINES + 900)]
    assert limit.admit_line(QUIET)
    assert reports == []
    await asyncio.sleep(PERIOD)

    assert admitted == [True] * LINES + [False] * 900
    assert reports == [(LOUD, 900)]


async def test_a_new_period_begins_with_the_next_line() -> None:
    limit, reports = new_limit()
    for _ in range(LINES + 1):
        limit.admit_line(LOUD)
    await asyncio.sleep(PERIOD * 3)

    assert [limit.admit_line(LOUD) for _ in range(LINES)] == [True] * LINES
    await asyncio.sleep(PERIOD)

    assert reports == [(LOUD, 1)]


async def test_many_peers_share_one_allowance() -> None:
    limit, reports = new_limit()
    admitted = sum(limit.admit_line(LoggedPeer(f"10.{n >> 8}.{n & 255}.1")) for n in range(MAX_PEERS * 3))

    limit.end_period()

    assert admitted == MAX_PEERS + LINES
    assert reports == [(OTHER_PEERS, MAX_PEERS * 2 - LINES)]
