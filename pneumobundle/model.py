"""A trained model in a program: loaded once, it segments scans one by one, in memory."""

from __future__ import annotations

import hashlib
import logging
import os
import random
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch

from pipeline.check_data.scan_gate import look_at_image, look_at_scan
from pipeline.core.device import chosen_device
from pipeline.core.errors import InputError, breaks_lines, one_sentence
from pipeline.folders.inputs import MEMORY, Input, find_inputs
from pipeline.inference.chosen_model import open_model
from pipeline.inference.ensemble import VOTE
from pipeline.inference.starter_model import starter_model, told
from pipeline.prediction.opened_input import opened, state_of
from pipeline.prediction.segmented import Clock, ScanSegmenter, Source
from pipeline.prediction.warnings_told import warnings_told
from pipeline.scans.geometry import Geometry
from pipeline.scans.given import given_image
from pipeline.scans.simpleitk import sitk
from pneumobundle.result import Result

logger = logging.getLogger(__name__)
ANYWAY = "anyway=True"
# Models are loaded one at a time: MONAI's configurations and the random state are the whole process's
_LOADING = threading.Lock()


def load(
    model: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    *,
    mode: str = "",
    device: str | torch.device | None = None,
    method: str = VOTE,
    weights: Sequence[float] | None = None,
    trust: bool = False,
    make_eight_bits: bool = False,
) -> Model:
    """Read a trained model and keep it; nothing is written, and nothing printed of a model that was named.

    Args:
        model: folder of a trained fold, such as `runs/unet_3d/cv/fold0`; several, or a folder of folds, are an
            ensemble; or an exported bundle, a folder or a zip file, of which a temporary copy is kept until the
            model is closed. None for the starter model that comes with this program, which a warning then says:
            research only, and its weights are CC BY-NC-SA 4.0.
        mode: exact, whole, windows, fast, int8, int8-windows, int8-fast or auto; "" for what the model's configuration
            says.
        device: cpu, cuda, cuda:1, mps or auto; None for what the model's configuration says, usually auto.
        method, weights: of an ensemble: `vote`, or `mean` and one number a member.
        trust: let a bundle run code that this version of the project does not have. It has your rights then.
        make_eight_bits: calibrate the 8 bits of the modes that need them where they are not beside the model yet, which
            takes minutes and writes them there.

    Raises InputError where these do not fit, or the model is not there, damaged, or of another version. For the whole
    process, cuDNN is then told to be deterministic, and glibc to keep freed memory for the next scan.
    """
    if model is None:
        model = starter_model()
        logger.warning("%s", told())
    chosen = os.fspath(model) if isinstance(model, os.PathLike) else model
    names = chosen if isinstance(chosen, str) else [os.fspath(each) for each in chosen]
    stack = ExitStack()
    with _LOADING, random_state_kept(), unprinted(), plainly("MODEL"):
        where = Path(names) if isinstance(names, str) and Path(names).exists() else names
        opened_model = open_model(
            where,
            method=method,
            weights=weights,
            mode=mode,
            trusted=trust,
            device=_device(device),
            make_eight_bits=make_eight_bits,
        )
        scans = ScanSegmenter(stack.enter_context(opened_model))
        # Asked for now, since it asks git for the commit
        return Model(scans, stack, scans.made_by.device)


def _device(device: str | torch.device | None) -> str:
    """The name of a device that is there; empty for what the configuration says."""
    return "" if device is None else str(chosen_device(device))


class Model:
    """A model that was loaded; a context manager that closes it.

    It may be shared by threads: one scan is segmented at a time, the others wait. What it needs of a scan is freed
    before the next one.
    """

    def __init__(self, scans: ScanSegmenter, stack: ExitStack, device: str) -> None:
        self._scans: ScanSegmenter | None = scans
        self._stack = stack
        self._lock = threading.Lock()
        self._labels = dict(enumerate(scans.model.labels.classes))
        self._facts = scans.model.facts
        self._device = device

    @property
    def labels(self) -> dict[int, str]:
        """Number of a class in labels -> its name."""
        return dict(self._labels)

    @property
    def facts(self) -> dict[str, Any]:
        """Its hash, network, mode and so on, as in the JSON of each result."""
        return dict(self._facts)

    @property
    def device(self) -> str:
        """That it computes on, as torch calls it."""
        return self._device

    def segment(
        self,
        scan: Any,
        *,
        spacing_mm: Sequence[float] | None = None,
        affine: Any | None = None,
        name: str | None = None,
        series: str = "",
        anyway: bool = False,
        probabilities: bool = True,
    ) -> Result:
        """What is found in one scan, which stays as it is.

        Args:
            scan: path of an image file, of a folder of one DICOM series or study, or of a zip file of these; an image
                of SimpleITK or nibabel; a MetaTensor; or an array or tensor (W, H, D) or (1, W, H, D), which needs one
                of the next two.
            spacing_mm: along the array's axes, which are taken to grow to the patient's left, back and head.
            affine: (4, 4), from the array's indices to millimetres in RAS, as nibabel and MONAI have it.
            name: of the case; None for that of the file, or `scan`.
            series: UID of the DICOM series that is meant; "" for the CT series with the most slices.
            anyway: segment what `make check-data` calls an error of a scan; the result says so.
            probabilities: keep them for `Result.probability`.

        Raises InputError, one sentence, for what cannot be read or segmented, and after `close`.
        """
        item = _input(scan, name, series)
        given = (spacing_mm, affine)
        if item.kind != MEMORY and any(each is not None for each in given):
            raise InputError(
                f"{item.case}: spacing_mm and affine are for arrays, and a file brings its grid; leave them out."
            )
        return self._result(item, scan, given, anyway, probabilities)

    def segment_many(
        self,
        scans: Iterable[Any] | str | os.PathLike[str],
        failed: list[tuple[str, InputError]] | None = None,
        *,
        anyway: bool = False,
        probabilities: bool = True,
    ) -> Iterator[Result]:
        """One result after the other, each when it is asked for.

        Args:
            scans: what `segment` takes and brings its own grid, any number of them, read one by one; or a folder, for
                all scans in it. Those without a file are called scan_1, scan_2 and so on.
            failed: gets name and InputError of each scan that cannot be segmented. Without it the first one is raised.
            anyway, probabilities: as of `segment`.
        """
        every: Iterable[Any] = _found(scans) if isinstance(scans, str | os.PathLike) else scans
        for number, scan in enumerate(every, 1):
            label = f"scan_{number}"
            try:
                in_memory = not isinstance(scan, str | os.PathLike | Input)
                item = scan if isinstance(scan, Input) else _input(scan, label if in_memory else None, "")
                label = item.case
                result = self._result(item, scan, (None, None), anyway, probabilities)
            except InputError as error:
                if failed is None:
                    raise
                failed.append((label, error))
                continue
            yield result
            # Or it would stay beside the next one
            del result

    def _result(self, item: Input, scan: Any, given: tuple[Any, Any], anyway: bool, probabilities: bool) -> Result:
        warned: list[str] = []
        with self._lock, warnings_told(item, warned), plainly(item.case):
            if self._scans is None:
                raise InputError(f"{item.case}: the model was closed; load it again.")
            clock = Clock()
            segmented = partial(self._scans.segmented, warned=warned, clock=clock, probabilities=probabilities)
            if item.kind == MEMORY:
                image, assumed = given_image(scan, item.case, *given)
                self._scans.check_memory(item.case, Geometry.of(image))
                image, allowed = self._scans.let_pass(look_at_image(image, item.case), item.case, anyway, ANYWAY)
                warned += [*assumed, *allowed]
                clock.note("read")
                return Result(segmented(image, Source(item, _sha256(image), [0, 0, 0]), anyway=allowed), warned)
            state = state_of(item)
            with opened(item, partial(self._scans.check_memory, item.case)) as read:
                passed = look_at_scan(read.image, item.case)
                image, allowed = self._scans.let_pass(passed, item.case, anyway, ANYWAY)
                warned += allowed
                clock.note("read")
                source = Source(item, read.sha256, state, read.left_out)
                return Result(segmented(image, source, file=read.image, anyway=allowed), warned)

    def close(self) -> None:
        """Give its memory back, and remove a bundle's copy; results stay."""
        with self._lock:
            self._scans = None
            with _LOADING:
                self._stack.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        told = self._facts.get("network") or self._facts.get("bundle")
        members = len(self._facts.get("members", ()))
        several = [f"{members} members"] if members > 1 else []
        state = ["closed"] if self._scans is None else [self._device]
        return f"Model({', '.join([str(told), *several, self._facts.get('mode') or 'its own mode', *state])})"


def _input(scan: Any, name: str | None, series: str) -> Input:
    """The scan as an input with a name that results can have; InputError for none or several, or such a name."""
    if name is not None and (breaks_lines(name) or not {*name.split("/")}.isdisjoint({"", ".", ".."})):
        raise InputError(f"name is {name!r}, expected one that files can have, such as 'scan'.")
    if not isinstance(scan, str | os.PathLike):
        if series:
            raise InputError(f"series is {series}, but {name or 'scan'} is no DICOM folder or zip file; leave it out.")
        return Input(name or "scan", MEMORY, ())
    found = _found(scan, series)
    if len(found) > 1:
        raise InputError(f"{scan}: holds {len(found)} scans; give one of them, or the folder to segment_many.")
    (item,) = found
    return item if name is None else Input(name, item.kind, item.paths, item.study, item.series)


def _found(source: str | os.PathLike[str], series: str = "") -> list[Input]:
    with unprinted(), plainly(str(source)):
        return find_inputs(os.fspath(source), series=series)


def _sha256(image: sitk.Image) -> str:
    """Of a scan in memory: its voxels and its grid."""
    voxels = sitk.GetArrayViewFromImage(image)
    digest = hashlib.sha256(f"{Geometry.of(image)} {voxels.dtype}".encode())
    digest.update(np.ascontiguousarray(voxels).data)
    return digest.hexdigest()


@contextmanager
def plainly(name: str) -> Iterator[None]:
    """InputError, one sentence, for what MONAI wraps and for what the system says of a file."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if mistake := _mistake_in(error):
            raise InputError(mistake) from error
        if isinstance(error, OSError):
            raise InputError(f"{name}: cannot be read ({error.strerror or error}).") from error
        raise


def _mistake_in(error: BaseException) -> str:
    """What the first InputError in a chain of causes says; a bundle's code has a class of its own of this name."""
    each: BaseException | None = error
    while each is not None:
        if type(each).__name__ == InputError.__name__:
            return one_sentence(InputError(*each.args))
        each = each.__cause__ or each.__context__
    return ""


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Leave the random numbers of the program as they are, which a configuration's `set_determinism` seeds anew."""
    states, seed = (random.getstate(), np.random.get_state(), torch.get_rng_state()), monai.utils.get_seed()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        # Transforms made later would be seeded by it; MONAI has no other way back
        vars(monai.utils.misc)["_seed"] = seed


@contextmanager
def unprinted() -> Iterator[None]:
    """Keep Python from printing what is logged where a program has set up no logging."""
    nobody = logging.NullHandler()
    logging.getLogger().addHandler(nobody)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(nobody)
