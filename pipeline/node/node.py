"""A node: a receiver and a web page in threads, a sender in another one, and the segmenting in the main one."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError
from pipeline.node.delivery import deliver
from pipeline.node.gatherer import Gatherer
from pipeline.node.inquiry import images_of
from pipeline.node.receiver import Receiver
from pipeline.node.sender import Sender
from pipeline.node.settings import Settings
from pipeline.node.spool import SPOOL_FOLDER, Spool
from pipeline.node.status import Status, memory, results_of
from pipeline.node.web import application, server_of
from pipeline.node.worker import Segment, Worker
from pipeline.scans.dicom.file_start import quiet_pydicom

logger = logging.getLogger(__name__)
RESULTS = "results"
STEP_S, PRUNE_S = 1.0, 60.0
# After what the system refused, such as a full disk
WAIT_S = 30.0


class Node:
    """All of it, with a function that segments.

    Args:
        settings: of the node.
        folder: of spool and results.
        segment: what does one series.
        model, program: as the page calls them.
    """

    def __init__(self, settings: Settings, folder: Path, segment: Segment, model: str = "", program: str = "") -> None:
        self.settings, self.results = settings, folder / RESULTS
        self.model, self.program = model, program
        self.began, self.pruned = time.monotonic(), -PRUNE_S
        self.ended = threading.Event()
        self.failure = ""
        self.results.mkdir(parents=True, exist_ok=True)
        self.spool = Spool(folder / SPOOL_FOLDER, settings)
        self.gatherer = Gatherer(settings, self.spool, partial(images_of, settings))
        self.worker = Worker(self.spool, self.results, segment)
        self.sender = Sender(settings, self.spool, self.results, deliver)
        self.threads: list[threading.Thread] = []
        self.web: Any = None

    @contextmanager
    def open(self) -> Iterator[Node]:
        """Listening and sending for as long as the block runs."""
        before = tempfile.tempdir
        # On the disk of the spool, so that what arrives is moved and not copied; what is left there goes at the start
        tempfile.tempdir = str(self.spool.incoming)
        with ExitStack() as stack:
            stack.callback(setattr, tempfile, "tempdir", before)
            # Threads switch this on and off, and one for another; none of them wants to hear what pydicom says
            stack.enter_context(quiet_pydicom())
            self.receiver = listening(self.settings.port, lambda: Receiver(self.settings, self.gatherer))
            stack.callback(self._stop)
            self._start(self.sender.run, self.ended)
            if self.settings.web:
                app = application(self.settings, self.settings.web, self.gatherer, self.status)
                tls = self.settings.tls
                files = {"ssl_certfile": tls.certificate, "ssl_keyfile": tls.key} if tls else {}
                self.web = server_of(self.settings.web, app, **files)
                self._start(self.web.run)
            yield self

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        self.threads.append(thread)

    def _stop(self) -> None:
        self.ended.set()
        self.receiver.stop()
        if self.web:
            self.web.should_exit = True
        for thread in self.threads:
            # One that sends has its own limits; what it has not noted is sent again
            thread.join(timeout=5.0)

    def run(self) -> None:
        """Segment what comes, until this process is told to end."""
        while not self.ended.is_set():
            if not self.step():
                self.spool.changed.wait(STEP_S)
                self.spool.changed.clear()

    def step(self) -> bool:
        """Look at what came, and segment one series; whether there was one.

        What keeps all of them from being segmented, such as a full disk, is told and waited for.
        """
        try:
            self.gatherer.close()
            if time.monotonic() - self.pruned > PRUNE_S:
                self.spool.prune()
                self.forget()
                self.pruned = time.monotonic()
            found = self.worker.step()
            self.failure = ""
            return found
        except OSError as error:
            self.failure = f"The queue or results cannot be written ({error.strerror or error})."
            logger.error("%s Again in %.0f s.", self.failure, WAIT_S)
            self.ended.wait(WAIT_S)
            return False

    def forget(self) -> None:
        """Remove the results of series that the spool has forgotten."""
        while self.spool.forgotten:
            case = self.spool.forgotten.pop()
            if case in self.spool.series:
                # It has come again since
                continue
            for file in self.results.glob(f"{case}.*"):
                file.unlink(missing_ok=True)

    def status(self) -> Status:
        states, free_mb = self.spool.state(), self.spool.free_mb()
        open_series = sum(states[name] for name in ("gathering", "queued", "sending"))
        problems = [self.failure] if self.failure else []
        if free_mb < self.settings.limits.free_disk_mb:
            problems.append(f"The disk is full: {free_mb:.0f} MB are free; new images are refused.")
        if open_series >= self.settings.limits.queue:
            problems.append(f"The queue is full: {open_series} series; new ones are refused.")
        if not self.receiver.listens:
            problems.append("It does not listen for DICOM any more.")
        if self.threads and not all(thread.is_alive() for thread in self.threads):
            problems.append("A part of it has ended; start it again.")
        away = [name for name, pause in [*self.sender.pauses.items()] if pause.seconds]
        return Status(
            problems=problems,
            states=states,
            counts=self.gatherer.counts | self.spool.counts,
            waiting_for=away,
            at=self.worker.at,
            model=self.model,
            program=self.program,
            aet=self.settings.aet,
            up_s=round(time.monotonic() - self.began, 1),
            free_disk_mb=round(free_mb),
            memory_mb=memory(),
            results=results_of(self.spool, self.results),
        )


def listening(port: int, make: Callable[[], Receiver]) -> Receiver:
    """A receiver; InputError where its port is taken."""
    try:
        return make()
    except OSError as error:
        raise InputError(
            f"port is {port}, where nobody can listen ({error.strerror or error}); end what does, or choose another."
        ) from error
