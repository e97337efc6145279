"""The exit statuses, and every exception that listenctl raises, each with the status it ends a command with."""


class ExitStatus:
    """What the exit status of a command means; plain numbers, because importing enum would delay ``--version``."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CHECK_FAILED = 3
    """A check, threshold or conformance rule was not met, or audio was lost."""
    NOT_FOUND = 4
    """No such call, or no running server."""
    REFUSED = 5
    """The connection, TLS, authentication or handshake was refused."""
    TIMED_OUT = 124
    """``--timeout`` passed."""
    INTERRUPTED = 130
    """SIGINT ended the command before it was done."""


def signal_status(number: int) -> int:
    """Return the exit status of a command that a signal ended before it was done: 130 for SIGINT, 143 for SIGTERM."""
    return 128 + number


class ListenctlError(Exception):
    """Base of all; its text says where, what, and what to do, and is printed as one line."""

    exit_status = ExitStatus.FAILED


class UsageError(ListenctlError):
    """The command line, a setting or a name template is invalid."""

    exit_status = ExitStatus.USAGE


class CheckFailedError(ListenctlError):
    """A check, threshold or conformance rule was not met, or audio was lost."""

    exit_status = ExitStatus.CHECK_FAILED


class NotFoundError(ListenctlError):
    """There is no such server or call, or the call has ended."""

    exit_status = ExitStatus.NOT_FOUND


class CallEndedError(NotFoundError):
    """The call was there and has ended."""


class RefusedError(ListenctlError):
    """A connection, handshake or credential was refused."""

    exit_status = ExitStatus.REFUSED


class TimedOutError(ListenctlError):
    """``--timeout`` passed."""

    exit_status = ExitStatus.TIMED_OUT
