"""What the exit codes mean, and the errors that choose one."""

from __future__ import annotations

__all__ = ["CommandError", "ExitCode", "MistypedError", "UsageError"]


class ExitCode:
    """What the program's exit codes mean."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    GUARD = 4
    QUOTA = 5
    INTERRUPTED = 130
    TERMINATED = 143


class UsageError(Exception):
    """The arguments are invalid; the message says what to do instead."""


class MistypedError(UsageError):
    """What was typed names no command, or not what it takes; `where` is the command or group."""

    def __init__(self, message: str, where: str) -> None:
        super().__init__(message)
        self.where = where


class CommandError(Exception):
    """A command could not do its work: one line for the user, and an exit code."""

    def __init__(self, message: str, code: int = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code
