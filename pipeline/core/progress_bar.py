"""How far something is: a bar on a terminal or in a notebook, plain lines elsewhere, events in JSON; never in quiet."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from types import TracebackType
from typing import Any, TypeVar

from pipeline.core import logs

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
# What ends sooner is not worth a bar
SHOWN_AFTER_S = 2.0
LOG_EVERY_S = 30.0
EVENT_EVERY_S = 1.0
BYTES = "B"


class Form(Enum):
    """How progress is shown."""

    BAR = "bar"
    LINES = "lines"
    EVENTS = "events"
    NONE = "none"


def form() -> Form:
    """How this process shows progress."""
    asked = logs.settings()
    # Of the processes of one training the first one tells
    if asked.quiet or int(os.environ.get("RANK", "0")):
        return Form.NONE
    if asked.as_json:
        return Form.EVENTS
    return Form.BAR if asked.bars and (on_terminal() or in_notebook()) else Form.LINES


def on_terminal() -> bool:
    """Whether stderr is a terminal, of a size that a bar fits into: some say that they have none."""
    return sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).columns > 0


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config


def duration(seconds: float) -> str:
    """`42 s`, `7 min`, `3.2 h`, `5.4 days`."""
    for unit, length in (("days", 86400.0), ("h", 3600.0)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


class Progress:
    """How far one thing is, within a `with`; nothing is shown of what ends within two seconds.

    Args:
        what: is going on, such as `reading the scans`.
        total: how many steps there are; None where nobody knows.
        unit: `B` counts bytes, which are shown in megabytes.
        done: how many steps were done before.
        with_lines: False where somebody else writes lines.
    """

    def __init__(self, what: str, total: int | None, unit: str = "it", done: int = 0, with_lines: bool = True) -> None:
        self.what, self.total, self.unit, self.with_lines = what, total, unit, with_lines
        self.done = self.first = done
        self.form = form()
        self.began = self.told = time.monotonic()
        self.bar: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def advance(self, steps: int = 1, **facts: Any) -> None:
        """So many more steps are done; `facts` are shown beside, such as a loss."""
        self.done += steps
        self.show(**facts)

    def show(self, **facts: Any) -> None:
        """How far it is, where it is time to say so."""
        now = time.monotonic()
        if self.form is Form.BAR and now - self.began >= SHOWN_AFTER_S:
            self._draw(now, facts)
        elif self.form is Form.EVENTS and self._is_time(now, EVENT_EVERY_S):
            left = self.seconds_left(now)
            seconds_left = None if left is None else round(left, 1)
            counts = {"done": self.done, "total": self.total, "seconds_left": seconds_left}
            logs.event("progress", what=self.what, **counts, **facts)
        elif self.form is Form.LINES and self.with_lines and self._is_time(now, LOG_EVERY_S):
            logger.info("%s", self._sentence(now))

    def seconds_left(self, now: float) -> float | None:
        """At the pace until now; None before the first step, and where nobody knows how many there are."""
        if self.total is None or self.done == self.first:
            return None
        return (now - self.began) / (self.done - self.first) * max(self.total - self.done, 0)

    def _is_time(self, now: float, every_s: float) -> bool:
        if now - self.told <= every_s or now - self.began < SHOWN_AFTER_S:
            return False
        self.told = now
        return True

    def _draw(self, now: float, facts: dict[str, Any]) -> None:
        if self.bar is None:
            unscaled = {"bar_format": "{desc}: {elapsed}"} if self.total is None else {}
            self.bar = _tqdm()(
                total=self.total,
                desc=self.what,
                unit=self.unit,
                unit_scale=self.unit == BYTES,
                initial=self.first,
                leave=False,
                dynamic_ncols=True,
                **unscaled,
            )
            # It is drawn late, and knows how long this has gone on all the same
            self.bar.start_t = self.bar.last_print_t = self.bar.start_t - (now - self.began)
        if facts:
            shown = {name: f"{value:.3f}" if isinstance(value, float) else value for name, value in facts.items()}
            self.bar.set_postfix(shown, refresh=False)
        if self.done > self.bar.n:
            self.bar.update(self.done - self.bar.n)
        else:
            self.bar.refresh()

    def _sentence(self, now: float) -> str:
        left = self.seconds_left(now)
        so_far = f"{duration(now - self.began)} so far"
        if self.total is None:
            return f"{self.what}: {so_far}"
        count = f"{self.done} of {self.total}"
        if self.unit == BYTES:
            count = f"{self.done / 1e6:.0f} of {self.total / 1e6:.0f} MB"
        return f"{self.what}: {count}, {so_far if left is None else f'about {duration(left)} left'}"


def progress_bar(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Iterate and show how far it is."""
    with Progress(what, total) as progress:
        for item in items:
            yield item
            progress.advance()


@contextmanager
def ticking(progress: Progress) -> Iterator[Progress]:
    """In the block progress is shown in the midst of long steps too, by a thread, as the step has this one."""
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(EVENT_EVERY_S):
            progress.show()

    with progress:
        teller = threading.Thread(target=tick, daemon=True)
        teller.start()
        try:
            yield progress
        finally:
            ended.set()
            teller.join()


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show that something goes on of which nobody knows how far it is."""
    with ticking(Progress(what, None)):
        yield


def _tqdm() -> Any:
    with warnings.catch_warnings():
        # A notebook without widgets gets a bar of text, and needs no word about it
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    return tqdm
