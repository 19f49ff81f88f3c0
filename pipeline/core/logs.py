"""What a process says and where: lines on stdout, or events in JSON, and the same in a log file.

A command calls `set_up`. The processes that it starts find in the environment's PNEUMOBUNDLE_LOGS what it was asked
for, and say as much, see `as_the_parent_asks`. Where neither is so, as in a notebook or in an exported bundle that is
run alone, handlers and levels stay as they are.
"""

from __future__ import annotations

import codecs
import errno
import io
import json
import logging
import math
import multiprocessing
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

# For the processes that this one starts: Settings as JSON
ENVIRONMENT = "PNEUMOBUNDLE_LOGS"
CONSOLE, LOG_FILE = "pneumobundle console", "pneumobundle log file"
# Of this project; in a wheel and in a bundle its modules are below a package's name
_OWN = re.compile(r"(__main__|pneumobundle|(\w+\.)?(pipeline|transforms|evaluation|benchmarks))(\.|$)")
_TOLD_OF = re.compile(r"(monai|ignite)(\.|$)")
# An engine's exception is raised anyway, and told once
_ENGINE = re.compile(r"ignite(\.|$)")
# Loggers to which MONAI gives a handler of its own when it is imported, unless they are known by then
_OF_MONAI = (
    "monai.apps", "monai.apps.nnunet.nnunetv2_runner", "monai.apps.nnunet.utils", "monai.auto3dseg.analyzer",
    "monai.apps.auto3dseg.auto_runner", "monai.apps.auto3dseg.bundle_gen", "monai.apps.auto3dseg.data_analyzer",
    "monai.apps.auto3dseg.ensemble_builder", "monai.apps.auto3dseg.hpo_gen", "monai.bundle.scripts",
    "monai.bundle.workflows", "monai.data.image_writer", "monai.fl.client.monai_algo", "monai.handlers.mlflow_handler",
    "monai.inferers.inferer", "monai.networks.trt_compiler", "monai.networks.utils", "monai.transforms.compose",
    "monai.utils.run_cmd",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What was asked for.

    Args:
        quiet: warnings, errors and results alone.
        verbose: what is of use in looking for a defect too, each line with its module.
        log_file: an absolute path, empty for none.
        as_json: each line of stdout is an event in JSON.
        bars: whether bars may be drawn; of several processes on one terminal they would overwrite each other.
    """

    quiet: bool = False
    verbose: bool = False
    log_file: str = ""
    as_json: bool = False
    bars: bool = True


def set_up(quiet: bool = False, verbose: bool = False, log_file: Path | None = None, as_json: bool = False) -> None:
    """Let this process, and those that it starts, say what a command's options ask for.

    Without any option it is what the process that started this one was asked for. Raises OSError where the log file
    cannot be written to, or is no text.
    """
    if log_file:
        _check_text(Path(log_file))
    if quiet or verbose or log_file or as_json or ENVIRONMENT not in os.environ:
        place = os.path.abspath(log_file) if log_file else ""
        os.environ[ENVIRONMENT] = json.dumps(asdict(Settings(quiet, verbose, place, as_json)))
    as_the_parent_asks()


def as_the_parent_asks() -> None:
    """Say what the process that started this one was asked for; without such a process nothing is changed."""
    if ENVIRONMENT not in os.environ:
        return
    asked = settings()
    handlers: list[logging.Handler] = [Console(asked)]
    if asked.log_file:
        handlers.append(_file_handler(asked))
    root = logging.getLogger()
    for handler in list(root.handlers):
        if type(handler) is logging.StreamHandler or handler.name in (CONSOLE, LOG_FILE):
            root.removeHandler(handler)
            handler.close()
    root.handlers += handlers
    root.setLevel(logging.DEBUG if asked.verbose else logging.INFO)
    for name in {*_OF_MONAI, *(known for known in logging.root.manager.loggerDict if known.startswith("monai."))}:
        logger = logging.getLogger(name)
        # MONAI's own have a handler and a format of their own, and so do not propagate
        logger.handlers, logger.propagate = list(handlers), False
        logger.setLevel(logging.INFO)
    if asked.as_json and not isinstance(getattr(sys.stdout, "real", None), io.TextIOBase):
        sys.stdout = PrintedAsEvents(sys.stdout)


def settings() -> Settings:
    """What this process was asked for; the usual where it was asked for nothing."""
    return _read(os.environ.get(ENVIRONMENT, "{}"))


@lru_cache
def _read(text: str) -> Settings:
    return Settings(**json.loads(text))


@contextmanager
def without_bars() -> Iterator[None]:
    """In the block neither this process nor those that it starts draw bars; they write lines instead."""
    before = os.environ.get(ENVIRONMENT)
    os.environ[ENVIRONMENT] = json.dumps(asdict(replace(settings(), bars=False)))
    try:
        yield
    finally:
        if before is None:
            del os.environ[ENVIRONMENT]
        else:
            os.environ[ENVIRONMENT] = before


def result(text: str = "", **facts: Any) -> None:
    """Print what a command was asked for, such as a table; in JSON an event with the facts, or with the text alone."""
    if settings().as_json:
        event("result", **(facts or {"text": text}))
        return
    with _above_bars():
        print(text, flush=True)


def error(message: str) -> None:
    """Tell what ends this process: a line on stderr, an event in JSON, and a line of the log file."""
    if settings().as_json:
        event("error", message=message)
    else:
        print(f"error: {message}", file=sys.stderr, flush=True)
    error_to_file(message)


def error_to_file(message: str, cause: BaseException | None = None) -> None:
    """A line of the log file, where there is one, with the traceback of its cause."""
    with_traceback = cause and (type(cause), cause, cause.__traceback__)
    record = logging.LogRecord(__name__, logging.ERROR, __file__, 0, message, None, with_traceback or None)
    for handler in logging.getLogger().handlers:
        if handler.name == LOG_FILE:
            handler.handle(record)


def event(kind: str, /, **facts: Any) -> None:
    """A line of JSON on stdout; what JSON has no word for, as nan, is null."""
    _write(json.dumps({"at": _now(), "event": kind, **_plain(facts)}))


class Console(logging.Handler):
    """What people read while a command runs, or the program that started it."""

    def __init__(self, asked: Settings) -> None:
        super().__init__()
        self.set_name(CONSOLE)
        self.as_json = asked.as_json
        long = "%(asctime)s %(levelname)s %(name)s: %(message)s"
        self.setFormatter(logging.Formatter(long if asked.verbose else "%(asctime)s %(message)s", "%H:%M:%S"))
        self.addFilter(_heard_on_console(asked))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            with _above_bars():
                _write(self._as_event(record) if self.as_json else self.format(record))
        except Exception:  # whatever it is, it must not end what logs: logging tells of it on stderr
            self.handleError(record)

    def _as_event(self, record: logging.LogRecord) -> str:
        told = {"level": record.levelname, "message": record.getMessage(), "logger": record.name}
        if record.exc_info:
            told["traceback"] = logging.Formatter().formatException(record.exc_info)
        return json.dumps({"at": _now(record.created), "event": "log", **told})


class PrintedAsEvents(io.TextIOBase):
    """Stands for stdout in JSON: what a library prints becomes events too, so that every line is one."""

    def __init__(self, real: TextIO) -> None:
        self.real = real
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in filter(str.strip, lines):
            event("printed", text=line)
        return len(text)

    def flush(self) -> None:
        self.real.flush()

    def fileno(self) -> int:
        return self.real.fileno()

    def isatty(self) -> bool:
        return False

    def close(self) -> None:
        # The interpreter's end closes it: the stream below is not its own
        if self._begun.strip():
            self.write("\n")


def _heard_on_console(asked: Settings) -> _Heard:
    if asked.quiet:
        return _Heard(logging.WARNING, logging.WARNING, logging.CRITICAL)
    if asked.verbose:
        return _Heard(logging.DEBUG, logging.INFO, logging.INFO)
    return _Heard(logging.INFO, logging.WARNING, logging.CRITICAL)


def _file_handler(asked: Settings) -> logging.Handler:
    # Appended to, line by line: several processes write into one file
    Path(asked.log_file).parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(asked.log_file, encoding="utf-8", errors="backslashreplace")
    handler.set_name(LOG_FILE)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(_Heard(logging.DEBUG if asked.verbose else logging.INFO, logging.INFO, logging.INFO))
    return handler


def _check_text(file: Path) -> None:
    """Raise OSError for a file that lines must not be appended to, such as a scan."""
    # A terminal or a pipe has nothing that could be spoilt, and would be waited for
    if not file.is_file():
        return
    with file.open("rb") as stream:
        begin = stream.read(4096)
    try:
        is_text = "\0" not in codecs.getincrementaldecoder("utf-8")().decode(begin)
    except UnicodeDecodeError:
        is_text = False
    if not is_text:
        raise OSError(errno.EINVAL, "it is no text file", str(file))


class _Heard(logging.Filter):
    """From which level on something is heard: of this project, of MONAI, of ignite; of all others from warnings on."""

    def __init__(self, own: int, monai: int, ignite: int) -> None:
        super().__init__()
        self.own, self.monai, self.ignite = own, monai, ignite

    def filter(self, record: logging.LogRecord) -> bool:
        if _OWN.match(record.name):
            return record.levelno >= self.own
        if _ENGINE.match(record.name):
            return record.levelno >= self.ignite
        return record.levelno >= (self.monai if _TOLD_OF.match(record.name) else logging.WARNING)


def _write(line: str) -> None:
    """A line on stdout, at once and in one piece: other processes may write there too."""
    stream = getattr(sys.stdout, "real", sys.stdout)
    try:
        stream.write(line + "\n")
    except UnicodeEncodeError:
        # A terminal that is not of UTF-8, or a file's name that is no text
        stream.write(line.encode(stream.encoding, "backslashreplace").decode(stream.encoding) + "\n")
    stream.flush()


def _above_bars() -> AbstractContextManager[Any]:
    """In the block the bars that are drawn are out of the way."""
    tqdm = sys.modules.get("tqdm")
    if tqdm is None or settings().as_json:
        return nullcontext()
    aside: AbstractContextManager[Any] = tqdm.tqdm.external_write_mode(file=sys.stdout)
    return aside


def _now(seconds: float | None = None) -> str:
    moment = datetime.now() if seconds is None else datetime.fromtimestamp(seconds)
    return moment.astimezone().isoformat(timespec="milliseconds")


def _plain(value: Any) -> Any:
    """A value as JSON has it: numbers of numpy as numbers, paths and all else as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(each) for each in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)


if multiprocessing.parent_process() is not None:
    # A worker that was not forked has none of its parent's handlers
    as_the_parent_asks()
