"""The command line: `evenflow train` and its kin, a module each. Nothing else in evenflow prints unasked."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

from .exits import FAILED, INTERRUPTED, USAGE, RunError, UsageError
from .parser import parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. Mistakes of the user are one line on standard error."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = "evenflow"
    try:
        if arguments[:1] == ["bench"]:
            status = int(importlib.import_module("..bench.cli", __package__).main(arguments[1:]))
        else:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                options = parser().parse_args(arguments)
                command = f"evenflow {options.command}"
                status = options.run(options, arguments)
        sys.stdout.flush()
        return status
    except UsageError as error:
        return _complain(command, error, USAGE)
    except KeyboardInterrupt:
        return _complain(command, "interrupted", INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not try to flush it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (RunError, OSError, ValueError, MemoryError, ImportError) as error:
        return _complain(command, error, FAILED)


def _complain(command: str, error: object, status: int) -> int:
    if isinstance(error, OSError) and error.strerror:
        error = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    print(f"{command}: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
    return status


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"evenflow: warning: {message}", file=sys.stderr)
