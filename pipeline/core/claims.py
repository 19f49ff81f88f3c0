"""Which process works on which case, so that any number of them, on any number of machines, share one folder.

A claim is a file that only one process can create. Its holder touches it every half minute; where that stops, or the
holder is known to be gone, the next process claims the case anew under the next number. Nothing is ever taken away from
anybody: one who was only slow goes on, and both write the same results, each file whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pipeline.core.processes import process_began
from pipeline.core.shared_files import removed

FOLDER = ".claims"
REFRESH_S, STALE_S = 30.0, 300.0

Case = TypeVar("Case")
Result = TypeVar("Result")


class Claims:
    """The claims of this process in a folder that all processes see.

    Args:
        folder: made when missing, removed when nothing is left in it.
        refresh_s: how often the current claim is touched.
        stale_s: after how long without that a claim is nobody's, where its holder's machine cannot be asked.
    """

    def __init__(self, folder: str | Path, refresh_s: float = REFRESH_S, stale_s: float = STALE_S) -> None:
        self.folder = Path(folder)
        self.refresh_s, self.stale_s = refresh_s, stale_s

    @contextmanager
    def held(self, case: str) -> Iterator[int]:
        """The number of this process' claim for as long as the block runs; 0 where another one works on the case.

        Above 1, that many less one processes ended, or went silent, while they worked on it.
        """
        stem = _stem(self.folder, case)
        number = self._take(stem)
        if number is None:
            yield 0
            return
        ended = threading.Event()
        refresher = threading.Thread(target=self._refresh, args=(_numbered(stem, number), ended), daemon=True)
        refresher.start()
        try:
            yield number
        finally:
            ended.set()
            refresher.join()
            # The lowest last: while it is there, nobody begins to count anew
            for passed in range(number, 0, -1):
                removed(_numbered(stem, passed))

    def __enter__(self) -> Claims:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the folder unless a claim is in it."""
        with suppress(OSError):
            for left in self.folder.glob(".*"):
                if self._age_s(left, self._now()) > self.stale_s:
                    left.unlink(missing_ok=True)
            self.folder.rmdir()

    def _take(self, stem: Path) -> int | None:
        """The number under which the case was claimed, None where somebody else has it."""
        with self._written() as mine:
            now = mine.stat().st_mtime
            number = 1
            while not _created(_numbered(stem, number), mine):
                if self._is_held(_numbered(stem, number), now):
                    return None
                number += 1
        return number

    @contextmanager
    def _written(self) -> Iterator[Path]:
        """A file that says who this process is, for as long as the block runs."""
        file = self.folder / f".{uuid.uuid4().hex}"
        for attempt in (1, 2):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                file.write_text(json.dumps(_self()), encoding="utf-8")
                break
            except FileNotFoundError:
                # Another process removed the empty folder meanwhile
                if attempt == 2:
                    raise
        try:
            yield file
        finally:
            file.unlink(missing_ok=True)

    def _is_held(self, claim: Path, now: float) -> bool:
        """Whether somebody works under a claim; `now` is by the clock of the claims' file system."""
        try:
            holder = json.loads(claim.read_text(encoding="utf-8"))
            age_s = self._age_s(claim, now)
        except FileNotFoundError:
            # Given back this moment: whether the case is done is looked up by the caller, later
            return True
        except ValueError:
            return self._age_s(claim, now) <= self.stale_s
        mine = _self()
        if all(holder.get(key) == mine[key] for key in ("host", "boot", "namespace")):
            return process_began(holder["pid"]) == holder["started"]
        return age_s <= self.stale_s

    def _now(self) -> float:
        with self._written() as file:
            return file.stat().st_mtime

    @staticmethod
    def _age_s(file: Path, now: float) -> float:
        return now - file.stat().st_mtime

    def _refresh(self, claim: Path, ended: threading.Event) -> None:
        while not ended.wait(self.refresh_s):
            # A share that is away for a moment may come back; the claim goes stale if it does not
            with suppress(OSError):
                os.utime(claim)


def each_when_done(
    cases: Sequence[Case],
    attempt: Callable[[Case], Result | None],
    wait_s: float,
    mapped: Callable[..., Iterable[Result | None]] = map,
    waiting: Callable[[int], None] = lambda busy: None,
) -> Iterator[tuple[Case, Result]]:
    """Each case with its result, as soon as there is one; those that other processes are at are come back to.

    Args:
        attempt: the result of a case, whoever made it; None where another process is at it.
        wait_s: how long until these are attempted again.
        mapped: how several are attempted: one after the other, or as a pool's `map` does.
        waiting: is told how many are left, after each turn in which others were done.
    """
    while cases:
        busy = []
        for case, result in zip(cases, mapped(attempt, cases), strict=True):
            if result is None:
                busy.append(case)
            else:
                yield case, result
        if busy and len(busy) < len(cases):
            waiting(len(busy))
        if busy:
            time.sleep(wait_s)
        cases = busy


def is_claimed(folder: str | Path, case: str) -> bool:
    """Whether a process works on a case, or ended while it did."""
    stem = _stem(Path(folder), case)
    return any(stem.parent.glob(f"{stem.name}.*"))


def _stem(folder: Path, case: str) -> Path:
    return folder / hashlib.sha256(os.fsencode(case)).hexdigest()[:32]


def check_writable(output_dir: str | Path) -> None:
    """OSError where no claim could be made below a folder, before anything is computed for it."""
    with Claims(Path(output_dir) / FOLDER) as claims, claims.held(""):
        pass


def _numbered(stem: Path, number: int) -> Path:
    return stem.with_name(f"{stem.name}.{number}")


def _created(claim: Path, content: Path) -> bool:
    """Whether this process created the claim, whole at once."""
    try:
        os.link(content, claim)
    except FileExistsError:
        # Over a network an answer may be lost and the question asked again: the second name tells that it is ours
        return content.stat().st_nlink > 1
    except OSError:
        # A file system without links: for a moment the claim is empty, and then as good as one of another machine
        try:
            with claim.open("x", encoding="utf-8") as stream:
                stream.write(content.read_text(encoding="utf-8"))
        except FileExistsError:
            return False
    return True


@cache
def _self_of(pid: int) -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "boot": _line("/proc/sys/kernel/random/boot_id"),
        # Numbers of processes mean something within one namespace only
        "namespace": _link("/proc/self/ns/pid"),
        "pid": pid,
        "started": process_began(pid),
        "job": os.environ.get("SLURM_JOB_ID"),
    }


def _self() -> dict[str, Any]:
    return _self_of(os.getpid())


def _line(file: str) -> str:
    try:
        return Path(file).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _link(file: str) -> str:
    try:
        return os.readlink(file)
    except OSError:
        return ""
