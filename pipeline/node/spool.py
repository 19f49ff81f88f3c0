"""The queue of a node, on the disk: each series is a folder, and the folder that it lies in is its state.

    spool/gathering/<case>/   images arrive          spool/sending/<case>/   the results go out
    spool/queued/<case>/      it is complete         spool/done/, failed/    it is settled

A folder changes its state by being renamed, so that a process that is killed at any moment leaves each series in one
state, and what somebody was told is stored is there. One process at a time has a spool; its threads share it.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.node import durable
from pipeline.node.series import Series
from pipeline.node.settings import MIB, Settings

logger = logging.getLogger(__name__)
GATHERING, QUEUED, SENDING, DONE, FAILED = "gathering", "queued", "sending", "done", "failed"
STATES = (GATHERING, QUEUED, SENDING, DONE, FAILED)
SETTLED = (DONE, FAILED)
# Below the folder of a node
SPOOL_FOLDER = "spool"
# In the folder of a series: its images, and an empty file for each result that a peer has
IMAGES, SENT = "images", "sent"
# What is told of a series, and the names of its images once they are removed
FACTS, NAMES = "series.json", "images.txt"
# After which what arrives and did not finish is of an association that is long gone
LEFT_OVER_S = 3600.0


class Spool:
    """The series of a node.

    `incoming` is a folder on the same disk, for files that come in; `changed` is set when there may be something to do,
    and `counts` are of what this process has settled. Whoever looks at series and then changes them holds `lock`.

    Args:
        folder: of all of it, made where missing.
        settings: its limits and times.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        self.incoming = folder / "incoming"
        self.lock = threading.RLock()
        self.changed = threading.Event()
        self.counts = dict.fromkeys(SETTLED, 0)
        # State and facts by case, and the case that came last by key
        self.series: dict[str, tuple[str, Series]] = {}
        self.latest: dict[str, str] = {}
        self.forgotten: list[str] = []
        self._start()

    def _start(self) -> None:
        """Go on with what was left by the process before."""
        shutil.rmtree(self.incoming, ignore_errors=True)
        for name in ("incoming", *STATES):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for state in STATES:
            for place in sorted((self.folder / state).iterdir()):
                if not (place / FACTS).is_file():
                    # Killed before anything of it was stored
                    shutil.rmtree(place)
                    continue
                self._put(state, Series.from_json((place / FACTS).read_text(encoding="utf-8")))

    def _put(self, state: str, series: Series) -> None:
        self.series[series.case] = (state, series)
        known = self.latest.get(series.key)
        if known is None or self.series[known][1].number <= series.number:
            self.latest[series.key] = series.case

    # What is there, for whoever holds the lock

    def cases(self, *states: str) -> list[str]:
        """The series in some states."""
        return [case for case, (state, _) in self.series.items() if state in states]

    def place(self, case: str) -> Path:
        """The folder of a series."""
        return self.folder / self.series[case][0] / case

    def images(self, case: str) -> set[str]:
        """Names of the images of a series; none once they are removed."""
        folder = self.place(case) / IMAGES
        return {file.name for file in folder.iterdir()} if folder.is_dir() else set()

    def removed_images(self, case: str) -> set[str]:
        """Names of the images of a series that are removed; none before."""
        file = self.place(case) / NAMES
        return {*file.read_text(encoding="ascii").split()} if file.is_file() else set()

    def free_mb(self) -> float:
        """Of its disk."""
        return shutil.disk_usage(self.folder).free / MIB

    # They begin and become complete, for whoever holds the lock

    def begin(self, series: Series, folders: Sequence[str]) -> None:
        """A series of which images arrive, with folders in its own."""
        place = self.folder / GATHERING / series.case
        for name in folders:
            (place / name).mkdir(parents=True, exist_ok=True)
        durable.write(place / FACTS, series.as_json())
        durable.keep(place.parent)
        self._put(GATHERING, series)

    def write(self, case: str, **changes: object) -> None:
        """Change what is told of a series, for good."""
        state, series = self.series[case]
        series = replace(series, **changes)  # type: ignore[arg-type]
        durable.write(self.place(case) / FACTS, series.as_json())
        self.series[case] = (state, series)

    def queue(self, case: str) -> None:
        """A series is complete, and is to be segmented."""
        durable.keep(self.place(case) / IMAGES)
        images = len(self.images(case))
        self._move(case, QUEUED)
        logger.info("%s: complete with %d images", case, images)
        self.changed.set()

    def _move(self, case: str, state: str) -> None:
        durable.move(self.place(case), self.folder / state / case)
        self.series[case] = (state, self.series[case][1])

    # They are segmented and sent

    def next(self) -> Series | None:
        """The oldest series that is to be segmented."""
        with self.lock:
            queued = [self.series[case][1] for case in self.cases(QUEUED)]
            return min(queued, key=lambda series: (series.began, series.case), default=None)

    def send(self, case: str, files: Sequence[Path]) -> None:
        """The results of a series are there and go out; without any it is done."""
        for file in files:
            durable.keep(file)
            durable.keep(file.parent)
        with self.lock:
            targets = self.settings.send_to(self.series[case][1].sender)
            self.write(case, files=tuple(file.name for file in files), targets=targets, settled=time.time())
            if not files or not targets:
                self._settle(case, DONE)
                return
            (self.place(case) / SENT).mkdir(exist_ok=True)
            self._move(case, SENDING)
        self.changed.set()

    def to_send(self) -> list[Series]:
        """Series whose results go out, those first that were first segmented."""
        with self.lock:
            return sorted((self.series[case][1] for case in self.cases(SENDING)), key=lambda series: series.settled)

    def unsent(self, series: Series) -> Iterator[tuple[str, str]]:
        """Peer and file of what is still to be sent of a series."""
        for target in series.targets:
            for file in series.files:
                if not self._sent(series, target, file).exists():
                    yield target, file

    def sent(self, series: Series, target: str, file: str) -> None:
        """Remember for good that a peer has a file."""
        durable.write(self._sent(series, target, file), "")

    def _sent(self, series: Series, target: str, file: str) -> Path:
        # Of a title only what names of files may have
        safe = "".join(sign if sign.isalnum() else f"%{ord(sign):02x}" for sign in target)
        return self.place(series.case) / SENT / f"{safe} {file}"

    def done(self, case: str) -> None:
        with self.lock:
            self._settle(case, DONE)

    def fail(self, case: str, message: str) -> None:
        """Settle a series with a sentence on what is wrong with it, in which it has its name alone."""
        with self.lock:
            self.write(case, message=message, settled=time.time())
            self._settle(case, FAILED)
        logger.warning("%s failed: %s", case, message)

    def _settle(self, case: str, state: str) -> None:
        self._move(case, state)
        self.counts[state] += 1

    # What is old goes

    def prune(self, wanted_mb: float = 0.0) -> None:
        """Remove images of what has been settled for long, the oldest too where the disk is full.

        More series than are remembered are forgotten: `forgotten` has the names of those.
        """
        with self.lock:
            now = time.time()
            settled = sorted((self.series[case][1] for case in self.cases(*SETTLED)), key=lambda series: series.settled)
            for series in settled:
                old = now - series.settled > self.settings.kept_h * 3600
                images = self.place(series.case) / IMAGES
                if images.is_dir() and (old or self.free_mb() < wanted_mb) and not self._is_gone_on_with(series):
                    durable.write(images.parent / NAMES, "\n".join(sorted(self.images(series.case))))
                    self._remove(images)
            too_many = settled[: max(len(settled) - self.settings.kept_series, 0)]
            for series in too_many:
                if not self._is_gone_on_with(series):
                    self._forget(series)
            for file in self.incoming.iterdir():
                if now - file.stat().st_mtime > LEFT_OVER_S:
                    self._remove(file)

    def _is_gone_on_with(self, series: Series) -> bool:
        return self.series[self.latest[series.key]][0] in (GATHERING, QUEUED)

    def _remove(self, path: Path) -> None:
        """Remove a file or folder, of which a process that is killed leaves nothing half where it was."""
        aside = self.incoming / uuid.uuid4().hex
        os.replace(path, aside)
        if aside.is_dir():
            shutil.rmtree(aside)
        else:
            aside.unlink()

    def _forget(self, series: Series) -> None:
        self._remove(self.place(series.case))
        self.forgotten.append(series.case)
        del self.series[series.case]
        if self.latest[series.key] == series.case:
            del self.latest[series.key]

    # What is told

    def state(self) -> dict[str, int]:
        """How many series are in each state."""
        with self.lock:
            return {state: len(self.cases(state)) for state in STATES}

    def last(self, count: int) -> list[tuple[str, Series]]:
        """State and facts of the series that were settled or segmented last, the newest first."""
        with self.lock:
            every = [self.series[case] for case in self.cases(SENDING, *SETTLED)]
        return sorted(every, key=lambda each: each[1].settled, reverse=True)[:count]
