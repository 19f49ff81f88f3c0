"""One model that segments scans one by one: its configuration is evaluated once, then runs as it is for each."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from monai.data import MetaTensor
from monai.engines import IterationEvents
from monai.transforms import Compose, SaveImaged

from pipeline.core.configuration import METADATA
from pipeline.core.device import synchronise
from pipeline.core.errors import InputError, innermost, last_line
from pipeline.core.quiet import quiet, silent
from pipeline.core.scan_traits import Traits
from pipeline.scans.geometry import Geometry
from pipeline.scans.in_memory import as_scan, as_tensor
from pipeline.scans.scan import SCRATCH, read_scan
from pipeline.scans.simpleitk import sitk

# What a configuration lists as its scans until the first one comes
NO_CASE = {"case": "", "image": ""}
PREPARE, NETWORK, WAY_BACK = "prepare", "network", "write"
# Keys of a case, and the steps of a configuration that this looks for; those of a bundle have a package of its own
PREDICTION, UNCERTAINTY, PROBABILITIES, CALIBRATED = "pred", "uncertainty", "probabilities", "calibrated"
# What keeps them while the network runs
TRAITS = "scan_traits"
# Of the files of an earlier version's steps
CASE = "case"
LOADS, SOFTMAX, LABELS = "LoadScanImaged", "SoftmaxInPlaced", "ToScannerLabeld"


class Answer(NamedTuple):
    """What a model makes of a scan.

    Args:
        label: class numbers, uint8, on the scan's own grid.
        uncertainty: of an ensemble, the share of its members that chose another class, float32 on the scan's own grid.
        probabilities: of the classes on the prepared grid, float16 (C, H, W, D); None where nobody asked for them, or
            the configuration, of an earlier version, has no place where they can be had.
        calibrated: of an ensemble with temperatures, beside these, the mean of its members' tempered probabilities of
            infection on the prepared grid, float16 (H, W, D).
        traits: of the scan by each network, see `pipeline.inferers.traits`; empty where they cannot be had.
        seconds: of each stage.
    """

    label: sitk.Image
    uncertainty: sitk.Image | None
    probabilities: torch.Tensor | None
    calibrated: torch.Tensor | None
    traits: list[Traits]
    seconds: dict[str, float]


class Segmenter:
    """A configuration of inference, ready to segment; it writes nothing.

    What `python -m monai.bundle run` does with a scan is done with it: the same expressions of `initialize`, then its
    own evaluator, which is given one scan at a time. It tells of its progress itself no more, and the steps that write
    files are left out. A configuration of an earlier version, whose steps read and write files alone, is given a
    temporary folder for these.

    Args:
        configuration: file of the inference, its weights named in it or in `own`.
        own: keys that take the place of the configuration's.

    Raises InputError where the configuration names a class that is not here, else what it raises, wrapped by MONAI,
    where it cannot be evaluated.
    """

    def __init__(self, configuration: Path, **own: Any) -> None:
        # Of a bundle, metadata is beside it
        meta = configuration.with_name(METADATA.name)
        # MONAI would warn that it does not set up logging, which is for the program that this runs in, and that a
        # configuration is code
        with quiet(ConfigWorkflow.__module__), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "parsing config_file", UserWarning)
            self.workflow = ConfigWorkflow(
                str(configuration),
                str(meta if meta.is_file() else METADATA),
                logging_file=False,
                workflow_type="infer",
                **{**own, "cases": [NO_CASE]},
            )
        self._files = None if self._is_in_memory() else TemporaryDirectory(prefix=SCRATCH)
        if self._files:
            self.workflow.parser["output_dir"] = self._files.name
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
        # Of an earlier version's configuration there is none
        self._traits = self.evaluated(TRAITS) if self.setting(TRAITS) else None
        self._keep = _KeepProbabilities()
        if not self._files:
            self._write_nothing(self.evaluated("postprocessing"))
        self.seconds: dict[str, float] = {}
        self._last = 0.0
        self._failure: BaseException | None = None
        self._output: Mapping[Hashable, Any] = {}
        # An engine that an exception has left cannot run again; one that handles it can
        self.evaluator.add_event_handler(Events.EXCEPTION_RAISED, self._failed)
        self.evaluator.add_event_handler(Events.GET_BATCH_COMPLETED, lambda: self._note(PREPARE))
        self.evaluator.add_event_handler(IterationEvents.FORWARD_COMPLETED, lambda: self._note(NETWORK))
        self.evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._note_output)

    def _is_in_memory(self) -> bool:
        """Whether the configuration takes voxels and gives a label, and does not only read and write files."""
        steps = self.setting("preprocessing", {}).get("transforms", ())
        loads = any(isinstance(step, Mapping) and _is_class(step, LOADS) for step in steps)
        return loads and _is_class(self.setting("to_scanner", {}), LABELS)

    @property
    def gives_probabilities(self) -> bool:
        """Whether they can be asked for; not of a configuration of an earlier version."""
        return self._files is None

    def _write_nothing(self, steps: Compose) -> None:
        """Take what writes off the steps behind the network, and keep the probabilities where they are whole."""
        kept: list[Any] = []
        for step in steps.transforms:
            if not isinstance(step, SaveImaged):
                kept.append(step)
            if type(step).__name__ == SOFTMAX:
                kept.append(self._keep)
        steps.transforms = tuple(kept)

    def segment(self, name: str, scan: sitk.Image, file: Path | None = None, probabilities: bool = False) -> Answer:
        """The label of a scan, which is called `name` in messages, and what else is asked for.

        `file` is the one that the scan was read from, whose header then tells its grid. Raises what went wrong, wrapped
        by MONAI; the next scan can be segmented all the same.
        """
        self._keep.wanted = probabilities
        self.seconds, self._failure, self._output = {}, None, {}
        self._last = time.monotonic()
        with self._case(name, scan, file) as case:
            self.dataset.data = [case]
            try:
                # It would tell of an error that is raised here
                with silent(self.evaluator.logger):
                    self.evaluator.run()
            finally:
                # Or the tensors of this scan would stay beside those of the next
                self.dataset.data = [NO_CASE]
                self.evaluator.state.batch = self.evaluator.state.output = None
                failure, self._failure = self._failure, None
                output, self._output = self._output, {}
            if failure is not None:
                raise failure
            label, uncertainty = self._read(name) if self._files else self._images(output, Geometry.of(scan))
        self._note(WAY_BACK)
        kept = output.get(PROBABILITIES)
        tempered = output.get(CALIBRATED) if kept is not None else None
        calibrated = None if tempered is None else _halved(tempered)
        traits = list(self._traits.traits) if self._traits else []
        return Answer(label, uncertainty, kept, calibrated, traits, dict(self.seconds))

    @contextmanager
    def _case(self, name: str, scan: sitk.Image, file: Path | None) -> Iterator[dict[str, Any]]:
        """What the configuration is given of a scan."""
        if not self._files:
            # With its file, so that the grid is what its header says, to the last digit
            told = {} if file is None else {"image_file": str(file)}
            yield {"case": name, "image": as_tensor(scan), **told}
        elif file is not None:
            yield {"case": CASE, "image": str(file)}
        else:
            with TemporaryDirectory(prefix=SCRATCH) as folder:
                written = Path(folder) / "scan.nii"
                sitk.WriteImage(scan, str(written))
                yield {"case": CASE, "image": str(written)}

    def _images(self, output: Mapping[Hashable, Any], grid: Geometry) -> tuple[sitk.Image, sitk.Image | None]:
        """The label and the members' disagreement of what the steps left in memory."""
        label = as_scan(_plain(output[PREDICTION])[0], grid)
        share = output.get(UNCERTAINTY)
        return label, None if share is None else self.evaluated("front").to_scanner(share.cpu().numpy(), grid)

    def _read(self, name: str) -> tuple[sitk.Image, sitk.Image | None]:
        """The same of what an earlier version's steps wrote, which is removed."""
        if self._files is None:
            raise ValueError(f"{name}: nothing was written, since the configuration gives labels in memory")
        found: list[sitk.Image | None] = []
        for file in (Path(self._files.name) / below / f"{CASE}.nii.gz" for below in ("", UNCERTAINTY)):
            found.append(read_scan(file) if file.is_file() else None)
            file.unlink(missing_ok=True)
        label, uncertainty = found
        if label is None:
            raise InputError(
                f"{name}: MODEL's configuration wrote no label where this version looks for it; use the version of "
                "this project that the model is of."
            )
        return label, uncertainty

    def close(self) -> None:
        """Remove the temporary folder of an earlier version's configuration."""
        if self._files:
            self._files.cleanup()

    def setting(self, name: str, default: Any = None) -> Any:
        """What the configuration has under a name, not evaluated."""
        return self.workflow.parser.get(name, default)

    def evaluated(self, name: str) -> Any:
        return self.workflow.parser.get_parsed_content(name)

    def _failed(self, error: BaseException) -> None:
        self._failure = error

    def _note_output(self) -> None:
        (self._output,) = self.evaluator.state.output

    def _note(self, stage: str) -> None:
        synchronise(self.device)
        now = time.monotonic()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


class _KeepProbabilities:
    """A step that keeps the probabilities as they are before a threshold or a label is made of them, in two bytes."""

    wanted = False

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        if not self.wanted:
            return dict(data)
        return {**data, PROBABILITIES: _halved(data[PREDICTION])}


def _halved(voxels: torch.Tensor) -> torch.Tensor:
    """A copy in two bytes a number, beside the processor."""
    return _plain(voxels).to(torch.float16, copy=True).cpu()


def _plain(voxels: torch.Tensor) -> torch.Tensor:
    """The same without what a MetaTensor knows."""
    return voxels.as_tensor() if isinstance(voxels, MetaTensor) else voxels


def _is_class(step: Mapping[str, Any], name: str) -> bool:
    """Whether a component of a configuration is of a class of this name, in whatever package."""
    return str(step.get("_target_", "")).rpartition(".")[2] == name


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
