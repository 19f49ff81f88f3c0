"""The name of the case that a data-loader worker was at when it was killed, which torch does not tell."""

from __future__ import annotations

import re

from ignite.engine import Engine, Events

from pipeline.core.errors import InputError
from pipeline.data.patches import PatchDataset

# torch's own words, of one worker that was killed or of several that are gone
_GONE = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\)")


class NameDeadWorker:
    """Handler for a trainer: where a worker of its data loader was killed, InputError with the case's name.

    Args:
        dataset: of the loader.
    """

    def __init__(self, dataset: PatchDataset) -> None:
        self.dataset = dataset

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.raised)

    def raised(self, engine: Engine, error: Exception) -> None:
        found = _GONE.search(str(error))
        if not isinstance(error, RuntimeError) or found is None:
            raise error
        cases = self.dataset.cases_at([int(number) for number in found[1].split(",")])
        what = f"case {' or '.join(cases)}" if cases else "no case yet"
        raise InputError(
            f"a worker of the data loader was killed while it was at {what}, most likely because memory ran out; give "
            "the job more (MEM=), or take fewer workers: OVERRIDES=\"{'num_workers': 1}\"."
        ) from error
