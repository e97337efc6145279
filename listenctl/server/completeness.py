"""How much of a call's audio there is, for events and sidecars."""

from listenctl.reports import Report
from listenctl.server.calls import CallLog


def describe_completeness(log: CallLog, unrecorded_samples: int = 0) -> Report:
    """Return how much of a call's audio there is, in samples per channel; whether it is all only when it has ended."""
    drift = log.ledger.clock_drift()
    sent = log.samples + log.lost_samples
    share = round((log.samples - unrecorded_samples) / sent, 6) if sent else 1.0
    ended = log.ended_at is not None
    return {
        "received_samples": log.samples,
        "lost_samples": log.lost_samples,
        "paused_samples": log.ledger.paused_samples,
        "unrecorded_samples": unrecorded_samples,
        "completeness": share if ended else None,
        "complete": not log.lost_samples and not unrecorded_samples if ended else None,
        "clock_drift_ppm": None if drift is None else round(drift * 1e6),
    }
