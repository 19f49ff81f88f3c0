"""Errors that a user can mend, told in one sentence and without a traceback."""

from __future__ import annotations

import os
import sys
import unicodedata
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from pipeline.core import logs

SHOW_TRACEBACK = "PNEUMOBUNDLE_TRACEBACK"
# A file for the cause of a process' end, which the one that started it reads
CAUSE_FILE = "PNEUMOBUNDLE_CAUSE_FILE"
# Unicode's categories of control characters, line and paragraph separators, and bytes of a name that are no UTF-8
BREAKING = frozenset({"Cc", "Zl", "Zp", "Cs"})


class InputError(Exception):
    """Something the user gave is wrong.

    The message is one sentence that names the case or argument, what came, what was expected and what to do; further
    arguments are lines of a list below it. Line breaks within either, as names of files may have, are shown escaped.
    """

    def __str__(self) -> str:
        return "\n".join(in_one_line(str(line)) for line in self.args)


def breaks_lines(text: str) -> bool:
    """Whether a text has characters that end a line, control a terminal, or cannot be written as UTF-8."""
    return any(unicodedata.category(character) in BREAKING for character in text)


def in_one_line(text: str) -> str:
    """A text with such characters escaped, as in `a\\nb`."""
    if not breaks_lines(text):
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii") if breaks_lines(character) else character
        for character in text
    )


def input_error_in(error: BaseException | None) -> InputError | None:
    """The first InputError in a chain of causes; MONAI wraps what a configuration raises two or three times."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, InputError):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def one_sentence(error: InputError) -> str:
    """The message without the traceback that torch prepends when a data-loader worker raised it."""
    raw, marker = "\n".join(map(str, error.args)), f"{InputError.__name__}: "
    return raw.rsplit(marker, 1)[-1].strip() if "Original Traceback" in raw else str(error).strip()


def innermost(error: BaseException) -> BaseException:
    """The first in a chain of causes."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def last_line(error: BaseException) -> str:
    """The kind of an error and the last line of what it says, which is where torch puts a worker's own error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ": ".join([type(error).__name__, *lines[-1:]])


def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an InputError as one line and exit with status 2; anything else but Ctrl-C keeps its traceback."""
    if issubclass(kind, KeyboardInterrupt):
        if not _told_to_the_parent("interrupted"):
            print("stopped; the same command goes on from here.", file=sys.stderr, flush=True)
        raise SystemExit(130)
    mistake = input_error_in(error)
    # Of a wrapped error the innermost says most
    _told_to_the_parent(one_sentence(mistake) if mistake else last_line(innermost(error)))
    if mistake is None or os.environ.get(SHOW_TRACEBACK):
        sys.__excepthook__(kind, error, trace)
        logs.error_to_file(last_line(innermost(error)), error)
        if logs.settings().as_json:
            logs.event("error", message=last_line(innermost(error)))
        return
    logs.error(one_sentence(mistake))
    # The interpreter takes the status of a SystemExit that leaves the hook; without it the status would be 1.
    raise SystemExit(2)


def _told_to_the_parent(cause: str) -> bool:
    """Why this process ends, for the command that started it, where one waits for that."""
    file = os.environ.get(CAUSE_FILE)
    if file:
        # Gone where that command was stopped too
        with suppress(FileNotFoundError):
            Path(file).write_text(cause, encoding="utf-8")
    return bool(file)


def report_plainly() -> None:
    """Make every InputError that ends this process one plain line; every configuration calls this first.

    A process that a command started also says what that one was asked for, see `pipeline.core.logs`.
    """
    sys.excepthook = report
    logs.as_the_parent_asks()
