"""How a command ends."""

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


class UsageError(Exception):
    """A command line that cannot be meant: exit status 2."""


class RunError(Exception):
    """Training that came to no good end: exit status 1."""
