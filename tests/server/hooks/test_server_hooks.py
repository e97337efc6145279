"""Hooks of a server: live calls on one side, a real receiver or command on the other."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from listenctl.errors import ListenctlError
from listenctl.server.hooks import hook_queue, server_hooks
from listenctl.server.hooks.command_target import CommandTarget
from listenctl.server.hooks.dead_letter_file import DeadLetterFile
from listenctl.server.hooks.hook_delivery import HookTarget
from listenctl.server.hooks.server_hooks import HOOK_EVENTS, HookSettings, ServerHooks, running_hooks
from listenctl.server.hooks.webhook_signature import SigningSecrets
from listenctl.server.hooks.webhook_target import WebhookTarget
from tests.helpers.frames import binary, close, text
from tests.helpers.server import Running, read_sidecar, recorded_audio, running, until
from tests.helpers.webhook_receiver import SECRET, ReceivedWebhook, WebhookReceiver, events_of, receiving_webhooks
from tests.server.operations.test_server_metrics import metrics

METADATA = text('{"sampleRate":8000,"mixType":"mono","callSid":"CS-A","from":"+1"}')
DTMF = text('{"event":"dtmf","dtmf":"5","duration":"1600"}')
AUDIO = bytes(range(160)) * 2


@dataclass(frozen=True, slots=True)
class Hooked:
    run: Running
    hooks: ServerHooks

    async def call(self) -> None:
        """Make a whole call, which is recorded."""
        number = len(self.run.events.of("call-ended")) + 1
        peer = await self.run.call(METADATA, binary(AUDIO), DTMF, close())
        await self.run.events.wait_for("recording-saved", number)
        await peer.close()


@asynccontextmanager
async def hooked(
    tmp_path: Path, *targets: HookTarget, events: Sequence[str] = HOOK_EVENTS, dead: str = "dead"
) -> AsyncIterator[Hooked]:
    file = DeadLetterFile(tmp_path / dead)
    if file.path.parent.exists():
        file.create()
    settings = HookSettings(targets, frozenset(events), file)
    async with (
        running(record=tmp_path / "calls") as run,
        running_hooks(run.server.reporter, settings, run.server.metrics.sources) as hooks,
    ):
        assert hooks is not None
        yield Hooked(run, hooks)


def webhook(receiver: WebhookReceiver) -> WebhookTarget:
    return WebhookTarget(receiver.url, SigningSecrets.parse(SECRET, ""))


async def taken(receiver: WebhookReceiver, number: int) -> list[ReceivedWebhook]:
    return await asyncio.to_thread(receiver.take, number)


def dead_letters(tmp_path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in DeadLetterFile(tmp_path / "dead").read()]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_queue, "RETRY_DELAYS", (0.01,) * 1000)


async def test_a_receiver_gets_the_events_of_a_call_in_order_and_as_they_are_reported(tmp_path: Path) -> None:
    with receiving_webhooks() as receiver:
        async with hooked(tmp_path, webhook(receiver)) as server:
            await server.call()
            webhooks = await taken(receiver, 4)

    assert events_of(webhooks) == ["call-started", "dtmf", "call-ended", "recording-saved"]
    assert [sent.event for sent in webhooks] == [
        event for event in server.run.events.all if event["event"] in HOOK_EVENTS
    ]
    saved = webhooks[-1].event
    assert (saved["complete"], saved["lost_samples"]) == (True, 0)
    assert recorded_audio(saved) == AUDIO
    assert read_sidecar(saved)["call"] == "CS-A"
    assert dead_letters(tmp_path) == []


async def test_only_the_chosen_events_are_sent(tmp_path: Path) -> None:
    with receiving_webhooks() as receiver:
        async with hooked(tmp_path, webhook(receiver), events=["recording-saved"]) as server:
            await server.call()
            await server.call()
            webhooks = await taken(receiver, 2)

    assert events_of(webhooks) == ["recording-saved"] * 2


@pytest.mark.usefixtures("impatient")
async def test_an_event_that_was_not_taken_comes_again_with_the_same_id(tmp_path: Path) -> None:
    with receiving_webhooks(500, 500) as receiver:
        async with hooked(tmp_path, webhook(receiver), events=["call-ended"]) as server:
            await server.call()
            webhooks = await taken(receiver, 3)
            await server.run.events.wait_for_warning("hook-recovered")
            counted = await metrics(server.run)

    assert len({sent.id for sent in webhooks}) == 1
    assert counted["listenctl_hooks_delivered_total{kind=webhook}"] == 1
    assert counted["listenctl_hooks_retried_total{kind=webhook}"] == 2
    assert counted["listenctl_hooks_failed_total{kind=webhook}"] == 0
    assert counted["listenctl_hooks_waiting"] == 0


@pytest.mark.usefixtures("impatient")
async def test_events_wait_for_a_receiver_that_is_restarted(tmp_path: Path) -> None:
    with receiving_webhooks() as receiver:
        target = webhook(receiver)
        port = int(receiver.url.rpartition(":")[2].partition("/")[0])
    async with hooked(tmp_path, target, events=["call-ended"]) as server:
        await server.call()
        warning = await server.run.events.wait_for_warning("hook-failed")
        with receiving_webhooks(port=port) as restarted:
            webhooks = await taken(restarted, 1)

    assert warning["detail"] == (
        f"{receiver.url}: can't connect: Connection refused; events for it wait and are tried again"
    )
    assert events_of(webhooks) == ["call-ended"]
    assert dead_letters(tmp_path) == []


async def test_calls_do_not_wait_for_a_slow_receiver(tmp_path: Path) -> None:
    with receiving_webhooks() as receiver:
        receiver.gate.clear()
        async with hooked(tmp_path, webhook(receiver)) as server:
            for _ in range(3):
                # Each ends, and is saved, while the receiver answers nothing.
                await server.call()
            saved = list(server.run.events.of("recording-saved"))
            delivered = server.hooks.queues[0].delivered
            receiver.gate.set()
            await taken(receiver, 12)

    assert delivered == 0
    assert [recorded_audio(event) for event in saved] == [AUDIO] * 3
    assert all(event["complete"] for event in saved)


async def test_what_is_not_taken_when_the_server_ends_is_a_dead_letter(tmp_path: Path) -> None:
    with receiving_webhooks() as receiver:
        target = webhook(receiver)
    async with hooked(tmp_path, target, events=["call-started", "recording-saved"]) as server:
        await server.call()
        await server.run.events.wait_for_warning("hook-failed")

    letters = dead_letters(tmp_path)
    assert [(letter["webhook"], letter["error"]) for letter in letters] == [
        (receiver.url, "can't connect: Connection refused")
    ] * 2
    assert {letter["event"]["event"] for letter in letters if isinstance(letter["event"], dict)} == {
        "call-started",
        "recording-saved",
    }
    (warning,) = (event for event in server.run.events.of("warning") if event["rule"] == "hook-undelivered")
    path = tmp_path / "dead"
    assert warning["detail"] == (
        f"2 events not taken, kept in {path}; send them again with `listenctl hooks retry {path}`"
    )
    assert not server.hooks.lost_events


async def test_the_end_cuts_off_a_receiver_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_hooks, "END_TIMEOUT", 0.05)
    with receiving_webhooks() as receiver:
        receiver.gate.clear()
        async with hooked(tmp_path, webhook(receiver), events=["call-ended"]) as server:
            await server.call()
            await taken(receiver, 1)
        letters = dead_letters(tmp_path)

    assert [(letter["attempts"], letter["error"]) for letter in letters] == [(1, "the server ended")]


async def test_dead_letters_that_cannot_be_kept_are_reported(tmp_path: Path) -> None:
    with receiving_webhooks() as receiver:
        target = webhook(receiver)
    async with hooked(tmp_path, target, events=["call-ended"], dead="missing/dead") as server:
        await server.call()

    path = tmp_path / "missing" / "dead"
    details = [event["detail"] for event in server.run.events.of("warning") if event["rule"] == "hook-undelivered"]
    assert details == [
        f"{path}: dead letters can't be written: no such file or directory; they wait in memory",
        f"1 event lost: {path} can't be written: no such file or directory",
    ]
    assert server.hooks.lost_events


async def test_a_target_that_wants_no_more_events_is_reported(tmp_path: Path) -> None:
    with receiving_webhooks(410) as receiver:
        async with hooked(tmp_path, webhook(receiver), events=["call-ended"]) as server:
            await server.call()
            failed = await server.run.events.wait_for_warning("hook-failed")
            undelivered = await server.run.events.wait_for_warning("hook-undelivered")
            await server.call()

    assert failed["detail"] == f"{receiver.url}: it answered 410 Gone; it gets no more events"
    assert undelivered["detail"].startswith("an event was not taken: it answered 410 Gone; such events are kept in ")
    assert len(dead_letters(tmp_path)) == 2
    assert receiver.received.qsize() == 1


async def test_a_command_can_move_a_finished_recording_at_once(tmp_path: Path) -> None:
    script = f'mv "$LISTENCTL_RECORDING" "$LISTENCTL_SIDECAR" {tmp_path}/done'
    (tmp_path / "done").mkdir()
    async with hooked(tmp_path, CommandTarget(["sh", "-c", script]), events=["recording-saved"]) as server:
        await server.call()
        await until(lambda: server.hooks.queues[0].delivered == 1)

    assert sorted(path.name for path in (tmp_path / "done").iterdir()) == ["CS-A.json", "CS-A.wav"]
    assert list((tmp_path / "calls").iterdir()) == []
    (saved,) = server.run.events.of("recording-saved")
    assert recorded_audio(saved | {"path": str(tmp_path / "done" / "CS-A.wav")}) == AUDIO


async def test_each_target_gets_each_event_and_one_that_fails_is_no_other_ones_problem(tmp_path: Path) -> None:
    with receiving_webhooks() as receiver, receiving_webhooks(500) as failing:
        async with hooked(tmp_path, webhook(receiver), webhook(failing), events=["call-ended"]) as server:
            await server.call()
            await taken(receiver, 1)
            await server.run.events.wait_for_warning("hook-failed")

    assert [letter["webhook"] for letter in dead_letters(tmp_path)] == [failing.url]


async def test_a_server_that_cannot_start_says_why_with_hooks_too(tmp_path: Path) -> None:
    with receiving_webhooks() as receiver, pytest.raises(ListenctlError, match="no port"):
        async with hooked(tmp_path, webhook(receiver)):
            raise ListenctlError("no port")
