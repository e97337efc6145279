"""Every exception that listenctl raises, each with the exit status that it means."""


class ListenctlError(Exception):
    """Base of all; its text says where, what, and what to do, and is printed as one line."""

    exit_status = 1


class UsageError(ListenctlError):
    """The command line, a setting or a name template can't be used."""

    exit_status = 2


class CheckFailed(ListenctlError):
    """A check, threshold or conformance rule was not met, or audio was lost."""

    exit_status = 3


class NotFoundError(ListenctlError):
    """There is no such server, no such call, or the call has ended meanwhile."""

    exit_status = 4


class RefusedError(ListenctlError):
    """A connection, handshake or credential was refused."""

    exit_status = 5


class TimedOut(ListenctlError):
    """``--timeout`` passed before there was anything to do."""

    exit_status = 124
