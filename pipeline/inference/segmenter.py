"""One model that segments scans one by one: its configuration is evaluated once, then runs as it is for each."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from monai.engines import IterationEvents

from pipeline.core.configuration import METADATA
from pipeline.core.device import synchronise
from pipeline.core.errors import InputError, innermost, last_line
from pipeline.core.quiet import quiet

# What a configuration lists as its scans until the first one comes
NO_CASE = {"case": "", "image": ""}
PREPARE, NETWORK, WRITE = "prepare", "network", "write"


class Segmenter:
    """A configuration of inference, ready to segment.

    What `python -m monai.bundle run` does with a scan is done with it: the same expressions of `initialize`, then its
    own evaluator, which is given one scan at a time. It tells of its progress itself no more.

    Args:
        configuration: file of the inference, its weights named in it or in `own`.
        output_dir: gets `<folder>/<case>.nii.gz` of each.
        own: keys that take the place of the configuration's.

    Raises InputError where the configuration names a class that is not here, else what it raises, wrapped by MONAI,
    where it cannot be evaluated.
    """

    def __init__(self, configuration: Path, output_dir: str | Path, **own: Any) -> None:
        # Of a bundle, metadata is beside it
        meta = configuration.with_name(METADATA.name)
        # MONAI would warn that it does not set up logging, which is for the program that this runs in
        with quiet(ConfigWorkflow.__module__):
            self.workflow = ConfigWorkflow(
                str(configuration),
                str(meta if meta.is_file() else METADATA),
                logging_file=False,
                workflow_type="infer",
                **{**own, "cases": [NO_CASE], "output_dir": str(output_dir)},
            )
        parser = self.workflow.parser
        parser["handlers"] = [
            handler for handler in parser["handlers"] if not handler["_target_"].endswith("InferenceProgress")
        ]
        with everything_here():
            hook = sys.excepthook
            try:
                self.workflow.initialize()
            finally:
                # Whoever calls this decides how errors are told
                sys.excepthook = hook
            self.evaluator = self.workflow.evaluator
            self.dataset = self.workflow.dataset
            self.device: torch.device = self.workflow.device
        self.seconds: dict[str, float] = {}
        self._last = 0.0
        self._failure: BaseException | None = None
        # An engine that an exception has left cannot run again; one that handles it can
        self.evaluator.add_event_handler(Events.EXCEPTION_RAISED, self._failed)
        self.evaluator.add_event_handler(Events.GET_BATCH_COMPLETED, lambda: self._note(PREPARE))
        self.evaluator.add_event_handler(IterationEvents.FORWARD_COMPLETED, lambda: self._note(NETWORK))

    def segment(self, case: Mapping[str, Any]) -> dict[str, float]:
        """Write the label file of {"case", "image"} and perhaps a "folder" below `output_dir`; seconds of each stage.

        Raises what went wrong, wrapped by MONAI; the next case can be segmented all the same.
        """
        self.dataset.data = [dict(case)]
        self.seconds, self._failure = {}, None
        self._last = time.monotonic()
        self.evaluator.run()
        # Or the tensors of this scan would stay beside those of the next
        self.evaluator.state.batch = self.evaluator.state.output = None
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        self._note(WRITE)
        return dict(self.seconds)

    def setting(self, name: str, default: Any = None) -> Any:
        """What the configuration has under a name, not evaluated."""
        return self.workflow.parser.get(name, default)

    def evaluated(self, name: str) -> Any:
        return self.workflow.parser.get_parsed_content(name)

    def _failed(self, error: BaseException) -> None:
        self._failure = error

    def _note(self, stage: str) -> None:
        synchronise(self.device)
        now = time.monotonic()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


@contextmanager
def everything_here() -> Iterator[None]:
    """InputError for a configuration that names a class or package that is not here."""
    try:
        yield
    except Exception as error:
        cause = innermost(error)
        if not isinstance(cause, ModuleNotFoundError):
            raise
        raise InputError(
            f"MODEL's configuration names what is not here ({last_line(cause)}): it is of another version of this "
            "project, or needs a package that is not installed; use that version, or train the model again."
        ) from error
