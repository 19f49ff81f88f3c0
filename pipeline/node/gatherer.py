"""Images become series: they are gathered in the spool until a series is complete, and no half one ever is.

Beside its images the folder of a series says who is sending some, who broke off, and which were refused, so that a
process goes on where the one before was killed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.node import durable
from pipeline.node.arrival import NOT_UNDERSTOOD, OUT_OF_RESOURCES, Arrival, RefusedError
from pipeline.node.series import Series
from pipeline.node.settings import MIB, Settings
from pipeline.node.spool import FAILED, GATHERING, IMAGES, QUEUED, SENDING, SETTLED, Spool

# In the folder of a series: who is sending some, who broke off, and which were refused, a file each
OPEN, BROKEN, REFUSED = "open", "broken", "refused"
# Of what is removed when the disk is full, this much more than is needed
SPARE = 1.25


@dataclass
class _Gathering:
    """What is known in memory of a series that arrives."""

    last: float
    size: int
    images: int
    senders: set[str] = field(default_factory=set)


class Gatherer:
    """Takes images into the spool. `counts` are of those that came to this process.

    Args:
        settings: limits and times.
        spool: of the node.
        ask: images that a series has, as whoever sent it says; 0 where nobody does.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        ask: Callable[[Series], int] = lambda series: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings, self.spool, self.ask, self.clock = settings, spool, ask, clock
        self.counts = {"images": 0, "duplicates": 0, "refused": 0}
        self.gathering = {case: self._left(spool.place(case)) for case in spool.cases(GATHERING)}

    def _left(self, place: Path) -> _Gathering:
        """What the process before left of a series."""
        for name in _names(place / OPEN):
            # Whoever was sending has lost the connection
            os.replace(place / OPEN / name, place / BROKEN / name)
        sizes = [file.stat().st_size for file in (place / IMAGES).iterdir()]
        return _Gathering(self.clock(), sum(sizes), len(sizes))

    # Images arrive

    def add(self, arrival: Arrival, file: Path, sender: str = "", association: str = "") -> bool:
        """Take an object, whose file is moved; False for one that is there already, or was, whose file is removed.

        It is on the disk for good when this returns. Without an association nobody has to say that it was the last one.
        Raises RefusedError where a limit is reached.
        """
        durable.keep(file)
        with self.spool.lock:
            try:
                case = self._case_of(arrival, sender)
                if case is None or self._is_there(case, arrival):
                    file.unlink()
                    self.counts["duplicates"] += 1
                    if case is not None:
                        self._arrived(case, sender, association)
                    return False
                self._check_limits(case, arrival)
            except RefusedError:
                self.refused(arrival.series, arrival.instance)
                raise
            place, gathering = self.spool.place(case), self.gathering[case]
            self._arrived(case, sender, association)
            durable.move(file, place / IMAGES / f"{arrival.instance}.dcm")
            (place / REFUSED / arrival.instance).unlink(missing_ok=True)
            gathering.images += 1
            gathering.size += arrival.size
            if arrival.told > self.spool.series[case][1].told:
                self.spool.write(case, told=arrival.told)
            self.counts["images"] += 1
            return True

    def _case_of(self, arrival: Arrival, sender: str) -> str | None:
        """The series that gathers an image; None for an image of a series that is complete and has it."""
        latest = self.spool.latest.get(arrival.series)
        if latest is None:
            return self._begin(arrival, sender, 1)
        state, series = self.spool.series[latest]
        if state == GATHERING:
            return latest
        if state != FAILED and self._has(latest, arrival):
            return None
        if state != FAILED and not (self.spool.place(latest) / IMAGES).is_dir():
            raise RefusedError(NOT_UNDERSTOOD, "its series was segmented and its images removed since")
        return self._begin(arrival, sender, series.number + 1)

    def _begin(self, arrival: Arrival, sender: str, number: int) -> str:
        if len(self.spool.cases(GATHERING, QUEUED, SENDING)) >= self.settings.limits.queue:
            raise RefusedError(OUT_OF_RESOURCES, "the queue is full")
        self._check_disk()
        case = f"series_{arrival.series}" + (f"_{number}" if number > 1 else "")
        series = Series(case, arrival.series, number, arrival.study_uid, arrival.series_uid, sender, time.time())
        self.spool.begin(series, (IMAGES, OPEN, BROKEN, REFUSED))
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
        if self.spool.free_mb() < self.settings.limits.free_disk_mb:
            self.spool.prune(self.settings.limits.free_disk_mb * SPARE)
            if self.spool.free_mb() < self.settings.limits.free_disk_mb:
                raise RefusedError(OUT_OF_RESOURCES, "the disk is full")

    def refused(self, key: str, instance: str) -> None:
        """Remember that a series lacks an image that was not taken, so that it is not segmented without."""
        with self.spool.lock:
            self.counts["refused"] += 1
            case = self.spool.latest.get(key, "")
            if instance and case in self.gathering:
                (self.spool.place(case) / REFUSED / instance).touch()
                self.gathering[case].last = self.clock()

    def _arrived(self, case: str, sender: str, association: str) -> None:
        gathering = self.gathering[case]
        gathering.last = self.clock()
        if association and association not in gathering.senders:
            gathering.senders.add(association)
            (self.spool.place(case) / OPEN / association).write_text(sender, encoding="utf-8")

    def _is_there(self, case: str, arrival: Arrival) -> bool:
        return (self.spool.place(case) / IMAGES / f"{arrival.instance}.dcm").exists()

    def _has(self, case: str, arrival: Arrival) -> bool:
        return self._is_there(case, arrival) or f"{arrival.instance}.dcm" in self.spool.removed_images(case)

    def association_ended(self, association: str, sender: str, in_order: bool) -> None:
        """A sender has said that it is done, or broke off; what it broke off before it has made up for in the end."""
        with self.spool.lock:
            for case, gathering in self.gathering.items():
                if association not in gathering.senders:
                    continue
                gathering.senders.discard(association)
                gathering.last = self.clock()
                place = self.spool.place(case)
                mark = place / OPEN / association
                if not in_order:
                    os.replace(mark, place / BROKEN / association)
                    continue
                mark.unlink()
                for name in _names(place / BROKEN):
                    if (place / BROKEN / name).read_text(encoding="utf-8") == sender:
                        (place / BROKEN / name).unlink()
        self.spool.changed.set()

    # Series become complete

    def close(self) -> None:
        """Queue what is complete, and let fail what will not become so."""
        with self.spool.lock:
            asked = [self.spool.series[case][1] for case in [*self.gathering] if self._close(case)]
        for series in asked:
            # Not while all others wait
            told = self.ask(series)
            with self.spool.lock:
                if series.case in self.gathering and self._close(series.case):
                    self._close_asked(series, told)

    def _close(self, case: str) -> bool:
        """Whether its sender is to be asked how many images a series has; all else becomes of it here."""
        place, gathering, series = self.spool.place(case), self.gathering[case], self.spool.series[case][1]
        quiet_s = self.clock() - gathering.last
        before = self._before(series)
        if before and self.spool.series[before][0] not in SETTLED:
            return False
        there = self._there(series)
        refused = _names(place / REFUSED)
        lost = self.spool.removed_images(before) - there if before else set()
        is_short = bool(_names(place / BROKEN)) or len(there) < series.told
        if series.told and len(there) >= series.told and not refused and not lost:
            self._queue(case, before)
        elif gathering.senders or quiet_s < (self.settings.broken_off_s if is_short else self.settings.quiet_s):
            return False
        elif refused:
            self._fail(case, f"{len(refused)} of its images were refused, see the log; send it again.")
        elif lost:
            self._fail(case, f"{len(lost)} of its images came long ago and did not come again; send all of it again.")
        else:
            return True
        return False

    def _close_asked(self, series: Series, told: int) -> None:
        """What becomes of a series that nobody sends any more, and of which somebody says, perhaps, what it has."""
        images, told = len(self._there(series)), max(told, series.told)
        # All of it may have been sent when the sender, or this process, ended
        is_broken = bool(_names(self.spool.place(series.case) / BROKEN)) and not told
        if told > series.told and images < told and self._waits(series):
            self.spool.write(series.case, told=told)
        elif is_broken or images < told:
            what = f"{images} of {told}" if told else f"{images}"
            self._fail(series.case, f"it ended after {what} images and was not gone on with; send it again.")
        else:
            self._queue(series.case, self._before(series))

    def _waits(self, series: Series) -> bool:
        """Whether what is missing may still come."""
        return self.clock() - self.gathering[series.case].last < self.settings.broken_off_s

    def _there(self, series: Series) -> set[str]:
        """Names of the images of a series, those among them that it had when it came before."""
        before = self._before(series)
        return self.spool.images(series.case) | (self.spool.images(before) if before else set())

    def _before(self, series: Series) -> str:
        """The case of the same series that came before; "" for none."""
        numbers = {other.number: other.case for _, other in self.spool.series.values() if other.key == series.key}
        return numbers.get(series.number - 1, "")

    def _queue(self, case: str, before: str) -> None:
        """Queue a series, with the images that it had when it came before."""
        for name in self.spool.images(before) - self.spool.images(case) if before else ():
            os.link(self.spool.place(before) / IMAGES / name, self.spool.place(case) / IMAGES / name)
        self.spool.queue(case)
        del self.gathering[case]

    def _fail(self, case: str, message: str) -> None:
        self.spool.fail(case, message)
        del self.gathering[case]


def _names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]
