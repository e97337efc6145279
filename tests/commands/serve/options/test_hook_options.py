"""The options of hooks."""

from pathlib import Path

import pytest

from listenctl.commands.serve.command import ServeOptions
from listenctl.commands.serve.options.hook_options import read_hooks
from listenctl.errors import UsageError
from listenctl.server.hooks.server_hooks import HOOK_EVENTS
from listenctl.server.hooks.webhook_target import WebhookTarget
from tests.helpers.webhook_receiver import SECRET

OTHER_SECRET = "whsec_plJ3nmyCDGBKInavdOK15jsl0000000000000000000="


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LISTENCTL_WEBHOOK_SECRET", SECRET)


def test_without_a_target_there_are_no_hooks_and_no_file() -> None:
    assert read_hooks(ServeOptions()) is None
    assert list(Path().iterdir()) == []


def test_targets_get_all_events_by_default() -> None:
    hooks = read_hooks(ServeOptions(webhook=["http://a/", "https://b/?token=x"], on_event="sh -c 'exit 0'"))

    assert hooks is not None
    assert [(target.kind, target.shown) for target in hooks.targets] == [
        ("webhook", "http://a/"),
        ("webhook", "https://b/?token=***"),
        ("command", "sh -c 'exit 0'"),
    ]
    assert hooks.events == set(HOOK_EVENTS)
    assert Path("dead-letters.jsonl").read_text() == ""


def test_events_can_be_chosen() -> None:
    hooks = read_hooks(ServeOptions(on_event="true", hook_events="recording-saved, recording-failed"))

    assert hooks is not None
    assert hooks.events == {"recording-saved", "recording-failed"}


def test_secrets_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LISTENCTL_WEBHOOK_SECRET")
    (tmp_path / "secrets").write_text(f"{SECRET}\n{SECRET}\n")

    assert read_hooks(ServeOptions(webhook=["http://a/"], webhook_secret_file=tmp_path / "secrets")) is not None


def test_secrets_are_read_again_and_stay_if_they_cannot_be(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text(OTHER_SECRET)
    hooks = read_hooks(ServeOptions(webhook=["http://a/"], webhook_secret_file=file))
    assert hooks is not None
    [target] = hooks.targets
    assert isinstance(target, WebhookTarget)

    file.write_text(f"{SECRET} {OTHER_SECRET}")
    hooks.reload()
    both = target.secrets.sign("msg_1", 0.0, b"")["webhook-signature"]
    file.write_text("wrong")
    with pytest.raises(UsageError, match="secrets: a secret to sign webhooks is"):
        hooks.reload()

    assert len(both.split()) == 2
    assert target.secrets.sign("msg_1", 0.0, b"")["webhook-signature"] == both


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (ServeOptions(hook_events="dtmf", given=frozenset({"hook_events"})), "--hook-events needs --webhook or"),
        (ServeOptions(on_event="true", hook_events="saved"), "'saved' is none of call-started, dtmf, "),
        (ServeOptions(on_event="no-such-program -x"), "--on-event 'no-such-program -x': there is no executable"),
        (ServeOptions(on_event="'"), '--on-event "\'": no closing quotation'),
        (ServeOptions(webhook=["http://a/"], webhook_secret_file=Path("none")), "none: can't read the secret of"),
        (ServeOptions(on_event="true", dead_letters=Path("no/dead")), "no/dead: dead letters of hooks can't be"),
    ],
)
def test_what_cannot_work_is_refused(options: ServeOptions, problem: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_hooks(options)

    assert problem in str(refused.value)


def test_a_webhook_needs_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LISTENCTL_WEBHOOK_SECRET")

    with pytest.raises(UsageError, match=r"set LISTENCTL_WEBHOOK_SECRET .*openssl rand"):
        read_hooks(ServeOptions(webhook=["http://a/"]))
    assert read_hooks(ServeOptions(on_event="true")) is not None
