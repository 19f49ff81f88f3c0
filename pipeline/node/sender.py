"""Results out: each to every peer that gets it, once, and again later where a peer is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.node.delivery import NotDeliveredError
from pipeline.node.series import Series
from pipeline.node.settings import Peer, Settings
from pipeline.node.spool import Spool

logger = logging.getLogger(__name__)
# Refusals of one object by one peer, after which it is not asked again
MOST_REFUSALS = 3
HOUR_S = 3600.0
STEP_S = 1.0
# After what the system refused, such as a full disk
WAIT_S = 30.0


@dataclass
class Pause:
    """Of a peer that was away: how long it is, and when it ends."""

    seconds: float
    until: float


class Sender:
    """Sends what lies in the spool.

    Args:
        settings: peers and pauses.
        spool: of the node.
        results: folder of the files.
        deliver: sends a file to a peer, or raises NotDeliveredError.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        results: Path,
        deliver: Callable[[Settings, Peer, Path], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings, self.spool, self.results = settings, spool, results
        self.deliver, self.clock = deliver, clock
        self.pauses: dict[str, Pause] = {}
        self.refusals: dict[tuple[str, str, str], int] = {}

    def run(self, ended: threading.Event) -> None:
        while not ended.is_set():
            try:
                self.step()
                ended.wait(STEP_S)
            except OSError as error:
                # What it could not note is sent again, as the same object
                logger.error("what was sent cannot be noted (%s); again in %.0f s", error.strerror or error, WAIT_S)
                ended.wait(WAIT_S)

    def step(self) -> None:
        """Send what can be sent now."""
        for series in self.spool.to_send():
            for target, file in [*self.spool.unsent(series)]:
                if target not in self.settings.peers:
                    self.spool.fail(series.case, f"{target}, which was to get its results, is no peer any more.")
                    break
                if not self._is_away(target) and not self._sent(series, self.settings.peers[target], file):
                    break
            else:
                if not [*self.spool.unsent(series)]:
                    self.spool.done(series.case)
                    logger.info("%s: sent to %s", series.case, ", ".join(series.targets))
                elif time.time() - series.settled > self.settings.give_up_h * HOUR_S:
                    self.spool.fail(series.case, f"its results could not be sent in {self.settings.give_up_h:g} h.")

    def _is_away(self, target: str) -> bool:
        return target in self.pauses and self.clock() < self.pauses[target].until

    def _sent(self, series: Series, peer: Peer, file: str) -> bool:
        """Send a file; False where the series is settled by that."""
        if not (self.results / file).is_file():
            self.spool.fail(series.case, "its results were removed before they were sent; send it again.")
            return False
        try:
            self.deliver(self.settings, peer, self.results / file)
        except NotDeliveredError as error:
            return not self._failed(series, peer, file, error)
        # Killed before this, the peer gets the same object again, which it knows by its UID
        self.spool.sent(series, peer.name, file)
        self.pauses.pop(peer.name, None)
        return True

    def _failed(self, series: Series, peer: Peer, file: str, error: NotDeliveredError) -> bool:
        """Wait longer than before; whether that was once too often."""
        key = series.case, peer.name, file
        self.refusals[key] = self.refusals.get(key, 0) + error.for_good
        if self.refusals[key] >= MOST_REFUSALS:
            self.spool.fail(series.case, f"{peer.name} does not take its results: {error}.")
            return True
        before = self.pauses.get(peer.name)
        seconds = min(before.seconds * 2, self.settings.longest_retry_s) if before else self.settings.retry_s
        self.pauses[peer.name] = Pause(seconds, self.clock() + seconds)
        logger.warning("%s: not sent to %s: %s; again in %.0f s", series.case, peer.name, error, seconds)
        return False
