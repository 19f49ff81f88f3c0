"""The queue of a node, on the disk: each series is a folder, and the folder that it lies in is its state.

    spool/gathering/<case>/   images arrive          spool/sending/<case>/   the results go out
    spool/queued/<case>/      it is complete         spool/done/, failed/    it is settled

A folder changes its state by being renamed, so that a process that is killed at any moment leaves each series in one
state, and what somebody was told is stored is there. One process at a time has a spool; its threads share it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pipeline.node import durable
from pipeline.node.arrival import NOT_UNDERSTOOD, OUT_OF_RESOURCES, Arrival, RefusedError
from pipeline.node.settings import Settings

logger = logging.getLogger(__name__)
GATHERING, QUEUED, SENDING, DONE, FAILED = "gathering", "queued", "sending", "done", "failed"
STATES = (GATHERING, QUEUED, SENDING, DONE, FAILED)
SETTLED = (DONE, FAILED)
# Below the folder of a node
SPOOL_FOLDER = "spool"
# In the folder of a series: its images; who is sending some, who broke off, and which were refused, an empty file each
IMAGES, OPEN, BROKEN, REFUSED, SENT = "images", "open", "broken", "refused", "sent"
# What is told of a series, and the names of its images once they are removed
FACTS, NAMES = "series.json", "images.txt"
# After which what arrives and did not finish is of an association that is long gone
LEFT_OVER_S = 3600.0
MIB = 1 << 20
# Of what is removed when the disk is full, this much more than is needed
SPARE = 1.25


@dataclass(frozen=True)
class Series:
    """What is told of a series, none of which is a patient's name or number but the UIDs of study and series.

    Args:
        case: its name, in its results too.
        key: of patient, study and series; `number` counts how often it came, each time with more images.
        study_uid, series_uid: as its images say.
        sender: AE title; empty for STOW-RS.
        began, settled: seconds since 1970.
        told: images that it has, as far as they say; 0 where they do not.
        files: of its results, to be sent.
        targets: names of the peers that get them.
        message: what went wrong, in a sentence.
    """

    case: str
    key: str
    number: int
    study_uid: str
    series_uid: str
    sender: str
    began: float
    settled: float = 0.0
    told: int = 0
    files: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    message: str = ""


@dataclass
class Counts:
    """Of this process since it began."""

    images: int = 0
    duplicates: int = 0
    refused: int = 0
    done: int = 0
    failed: int = 0


@dataclass
class _Gathering:
    """What is known in memory of a series that arrives."""

    last: float
    size: int
    images: int
    senders: set[str] = field(default_factory=set)


class Spool:
    """The series of a node.

    Args:
        folder: of all of it, made where missing.
        settings: its limits and times.
        ask: images that a series has, as whoever sent it says; 0 where nobody does.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        ask: Callable[[Series], int] = lambda series: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.settings, self.ask, self.clock = folder, settings, ask, clock
        self.incoming = folder / "incoming"
        self.lock = threading.RLock()
        self.changed = threading.Event()
        self.counts = Counts()
        self.series: dict[str, tuple[str, Series]] = {}
        self.gathering: dict[str, _Gathering] = {}
        self.latest: dict[str, str] = {}
        self._start()

    # What was left by the process before

    def _start(self) -> None:
        shutil.rmtree(self.incoming, ignore_errors=True)
        for name in ("incoming", *STATES):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for state in STATES:
            for place in sorted((self.folder / state).iterdir()):
                if not (place / FACTS).is_file():
                    # Killed before anything of it was stored
                    shutil.rmtree(place)
                    continue
                content = json.loads((place / FACTS).read_text(encoding="utf-8"))
                tuples = {name: tuple(content[name]) for name in ("files", "targets")}
                self._put(state, Series(**{**content, **tuples}))
        for case in self._in(GATHERING):
            place = self.place(case)
            for name in _names(place / OPEN):
                # Whoever was sending has lost the connection
                os.replace(place / OPEN / name, place / BROKEN / name)
            sizes = [file.stat().st_size for file in (place / IMAGES).iterdir()]
            self.gathering[case] = _Gathering(self.clock(), sum(sizes), len(sizes))

    def _put(self, state: str, series: Series) -> None:
        self.series[series.case] = (state, series)
        known = self.latest.get(series.key)
        if known is None or self.series[known][1].number <= series.number:
            self.latest[series.key] = series.case

    def _in(self, *states: str) -> list[str]:
        return [case for case, (state, _) in self.series.items() if state in states]

    def place(self, case: str) -> Path:
        """The folder of a series."""
        return self.folder / self.series[case][0] / case

    # Images arrive

    def add(self, arrival: Arrival, file: Path, sender: str = "", association: str = "") -> bool:
        """Take an object, whose file is moved; False for one that is there already, or was, whose file is removed.

        It is on the disk for good when this returns. Without an association nobody has to say that it was the last one.
        Raises RefusedError where a limit is reached.
        """
        durable.keep(file)
        with self.lock:
            try:
                case = self._case_of(arrival, sender)
                if case is None or self._is_there(case, arrival):
                    file.unlink()
                    self.counts.duplicates += 1
                    if case is not None:
                        self._arrived(case, sender, association)
                    return False
                self._check_limits(case, arrival)
            except RefusedError:
                self.refused(arrival.series, arrival.instance)
                raise
            place, gathering = self.place(case), self.gathering[case]
            self._arrived(case, sender, association)
            durable.move(file, place / IMAGES / f"{arrival.instance}.dcm")
            (place / REFUSED / arrival.instance).unlink(missing_ok=True)
            gathering.images += 1
            gathering.size += arrival.size
            if arrival.told > self.series[case][1].told:
                self._write(case, told=arrival.told)
            self.counts.images += 1
            return True

    def _case_of(self, arrival: Arrival, sender: str) -> str | None:
        """The series that gathers an image; None for an image of a series that is complete and has it."""
        latest = self.latest.get(arrival.series)
        if latest is None:
            return self._begin(arrival, sender, 1)
        state, series = self.series[latest]
        if state == GATHERING:
            return latest
        if state != FAILED and self._has(latest, arrival):
            return None
        if state != FAILED and not (self.place(latest) / IMAGES).is_dir():
            raise RefusedError(NOT_UNDERSTOOD, "its series was segmented and its images removed since")
        return self._begin(arrival, sender, series.number + 1)

    def _begin(self, arrival: Arrival, sender: str, number: int) -> str:
        if len(self._in(GATHERING, QUEUED, SENDING)) >= self.settings.limits.queue:
            raise RefusedError(OUT_OF_RESOURCES, "the queue is full")
        self._check_disk()
        case = f"series_{arrival.series}" + (f"_{number}" if number > 1 else "")
        series = Series(case, arrival.series, number, arrival.study_uid, arrival.series_uid, sender, time.time())
        place = self.folder / GATHERING / case
        for name in (IMAGES, OPEN, BROKEN, REFUSED):
            (place / name).mkdir(parents=True, exist_ok=True)
        durable.write(place / FACTS, json.dumps(asdict(series)))
        durable.keep(place.parent)
        self._put(GATHERING, series)
        self.gathering[case] = _Gathering(self.clock(), 0, 0)
        return case

    def _check_limits(self, case: str, arrival: Arrival) -> None:
        limits, gathering = self.settings.limits, self.gathering[case]
        if gathering.images >= limits.series_images:
            raise RefusedError(OUT_OF_RESOURCES, f"its series has more than {limits.series_images} images")
        if gathering.size + arrival.size > limits.series_mb * MIB:
            raise RefusedError(OUT_OF_RESOURCES, f"its series has more than {limits.series_mb} MB")
        self._check_disk()

    def _check_disk(self) -> None:
        if self.free_mb() < self.settings.limits.free_disk_mb:
            self.prune(self.settings.limits.free_disk_mb * SPARE)
            if self.free_mb() < self.settings.limits.free_disk_mb:
                raise RefusedError(OUT_OF_RESOURCES, "the disk is full")

    def free_mb(self) -> float:
        return shutil.disk_usage(self.folder).free / MIB

    def refused(self, key: str, instance: str) -> None:
        """Remember that a series lacks an image that was not taken, so that it is not segmented without."""
        with self.lock:
            self.counts.refused += 1
            case = self.latest.get(key, "")
            if instance and case in self.gathering:
                (self.place(case) / REFUSED / instance).touch()
                self.gathering[case].last = self.clock()

    def _arrived(self, case: str, sender: str, association: str) -> None:
        gathering = self.gathering[case]
        gathering.last = self.clock()
        if association and association not in gathering.senders:
            gathering.senders.add(association)
            (self.place(case) / OPEN / association).write_text(sender, encoding="utf-8")

    def _is_there(self, case: str, arrival: Arrival) -> bool:
        return (self.place(case) / IMAGES / f"{arrival.instance}.dcm").exists()

    def _has(self, case: str, arrival: Arrival) -> bool:
        names = self.place(case) / NAMES
        return self._is_there(case, arrival) or f"{arrival.instance}.dcm" in _lines(names)

    def association_ended(self, association: str, sender: str, in_order: bool) -> None:
        """A sender has said that it is done, or broke off; what it broke off before it has made up for in the end."""
        with self.lock:
            for case, gathering in self.gathering.items():
                if association not in gathering.senders:
                    continue
                gathering.senders.discard(association)
                gathering.last = self.clock()
                place = self.place(case)
                mark = place / OPEN / association
                if not in_order:
                    os.replace(mark, place / BROKEN / association)
                    continue
                mark.unlink()
                for name in _names(place / BROKEN):
                    if (place / BROKEN / name).read_text(encoding="utf-8") == sender:
                        (place / BROKEN / name).unlink()
        self.changed.set()

    # Series become complete

    def close(self) -> None:
        """Queue what is complete, and let fail what will not become so."""
        with self.lock:
            asked = [self.series[case][1] for case in [*self.gathering] if self._close(case)]
        for series in asked:
            # Not while all others wait
            told = self.ask(series)
            with self.lock:
                if series.case in self.gathering and self._close(series.case):
                    self._close_asked(series, told)

    def _close(self, case: str) -> bool:
        """Whether its sender is to be asked how many images a series has; all else becomes of it here."""
        place, gathering, series = self.place(case), self.gathering[case], self.series[case][1]
        quiet_s = self.clock() - gathering.last
        before = self._before(series)
        if before and self.series[before][0] not in SETTLED:
            return False
        there = self._there(series)
        refused = _names(place / REFUSED)
        lost = {*_lines(self.place(before) / NAMES)} - there if before else set()
        is_short = bool(_names(place / BROKEN)) or len(there) < series.told
        if series.told and len(there) >= series.told and not refused and not lost:
            self._queue(case, before)
        elif gathering.senders or quiet_s < (self.settings.broken_off_s if is_short else self.settings.quiet_s):
            return False
        elif refused:
            self.fail(case, f"{len(refused)} of its images were refused, see the log; send it again.")
        elif lost:
            self.fail(case, f"{len(lost)} of its images came long ago and did not come again; send all of it again.")
        else:
            return True
        return False

    def _close_asked(self, series: Series, told: int) -> None:
        """What becomes of a series that nobody sends any more, and of which somebody says, perhaps, what it has."""
        images, told = len(self._there(series)), max(told, series.told)
        # All of it may have been sent when the sender, or this process, ended
        is_broken = bool(_names(self.place(series.case) / BROKEN)) and not told
        if told > series.told and images < told and self._waits(series):
            self._write(series.case, told=told)
        elif is_broken or images < told:
            what = f"{images} of {told}" if told else f"{images}"
            self.fail(series.case, f"it ended after {what} images and was not gone on with; send it again.")
        else:
            self._queue(series.case, self._before(series))

    def _waits(self, series: Series) -> bool:
        """Whether what is missing may still come."""
        return self.clock() - self.gathering[series.case].last < self.settings.broken_off_s

    def _there(self, series: Series) -> set[str]:
        """Names of the images of a series, those among them that it had when it came before."""
        before = self._before(series)
        return self._instances(series.case) | (self._instances(before) if before else set())

    def _before(self, series: Series) -> str:
        """The case of the same series that came before; "" for none."""
        numbers = {other.number: other.case for _, other in self.series.values() if other.key == series.key}
        return numbers.get(series.number - 1, "")

    def _instances(self, case: str) -> set[str]:
        folder = self.place(case) / IMAGES
        return {*_names(folder)} if folder.is_dir() else set()

    def _queue(self, case: str, before: str) -> None:
        """Queue a series, with the images that it had when it came before."""
        for name in self._instances(before) - self._instances(case) if before else ():
            os.link(self.place(before) / IMAGES / name, self.place(case) / IMAGES / name)
        durable.keep(self.place(case) / IMAGES)
        images = len(self._instances(case))
        self._move(case, QUEUED)
        del self.gathering[case]
        logger.info("%s: complete with %d images", case, images)
        self.changed.set()

    def _write(self, case: str, **changes: object) -> Series:
        state, series = self.series[case]
        series = replace(series, **changes)  # type: ignore[arg-type]
        durable.write(self.place(case) / FACTS, json.dumps(asdict(series)))
        self.series[case] = (state, series)
        return series

    def _move(self, case: str, state: str) -> None:
        place = self.place(case)
        durable.move(place, self.folder / state / case)
        self.series[case] = (state, self.series[case][1])

    # They are segmented and sent

    def next(self) -> Series | None:
        """The oldest series that is to be segmented."""
        with self.lock:
            queued = [self.series[case][1] for case in self._in(QUEUED)]
            return min(queued, key=lambda series: (series.began, series.case), default=None)

    def send(self, case: str, files: Sequence[Path]) -> None:
        """The results of a series are there and go out; without any it is done."""
        for file in files:
            durable.keep(file)
            durable.keep(file.parent)
        with self.lock:
            targets = self.settings.send_to(self.series[case][1].sender)
            self._write(case, files=tuple(file.name for file in files), targets=targets, settled=time.time())
            if not files or not targets:
                self._settle(case, DONE)
                return
            (self.place(case) / SENT).mkdir(exist_ok=True)
            self._move(case, SENDING)
        self.changed.set()

    def to_send(self) -> list[Series]:
        """Series whose results go out, those first that were first segmented."""
        with self.lock:
            return sorted((self.series[case][1] for case in self._in(SENDING)), key=lambda series: series.settled)

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
            self._write(case, message=message, settled=time.time())
            self._settle(case, FAILED)
            self.gathering.pop(case, None)
        logger.warning("%s failed: %s", case, message)

    def _settle(self, case: str, state: str) -> None:
        self._move(case, state)
        self.counts.done += state == DONE
        self.counts.failed += state == FAILED

    # What is old goes

    def prune(self, wanted_mb: float = 0.0) -> list[Series]:
        """Remove images of what has been settled for long, the oldest too where the disk is full.

        More series than are remembered are forgotten, and come back.
        """
        with self.lock:
            now = time.time()
            settled = sorted((self.series[case][1] for case in self._in(*SETTLED)), key=lambda series: series.settled)
            for series in settled:
                old = now - series.settled > self.settings.kept_h * 3600
                images = self.place(series.case) / IMAGES
                if images.is_dir() and (old or self.free_mb() < wanted_mb) and not self._is_gone_on_with(series):
                    durable.write(images.parent / NAMES, "\n".join(sorted(_names(images))))
                    self._remove(images)
            too_many = settled[: max(len(settled) - self.settings.kept_series, 0)]
            forgotten = [series for series in too_many if not self._is_gone_on_with(series)]
            for series in forgotten:
                self._forget(series)
            for file in self.incoming.iterdir():
                if now - file.stat().st_mtime > LEFT_OVER_S:
                    self._remove(file)
        return forgotten

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
        del self.series[series.case]
        if self.latest[series.key] == series.case:
            del self.latest[series.key]

    # What is told

    def state(self) -> dict[str, int]:
        """How many series are in each state."""
        with self.lock:
            return {state: len(self._in(state)) for state in STATES}

    def last(self, count: int) -> list[tuple[str, Series]]:
        """State and facts of the series that were settled or segmented last, the newest first."""
        with self.lock:
            every = [self.series[case] for case in self._in(SENDING, *SETTLED)]
        return sorted(every, key=lambda each: each[1].settled, reverse=True)[:count]


def _names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def _lines(file: Path) -> list[str]:
    """Of a file; none where it is not there."""
    return file.read_text(encoding="ascii").split() if file.is_file() else []
