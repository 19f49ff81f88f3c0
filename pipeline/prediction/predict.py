"""Segment scans with a trained model, or with several as an ensemble.

pneumobundle predict scan.nii.gz --model runs/unet_3d/cv/fold0
"""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.bundle_files.bundle_source import is_bundle, source_of
from pipeline.core import logs
from pipeline.core.claims import check_writable
from pipeline.core.errors import InputError
from pipeline.folders.inputs import find_all
from pipeline.folders.left_out import LeftOut, any_missed
from pipeline.folders.manifest import (
    DONE,
    Manifest,
    left_out_of,
    table,
    write_left_out,
)
from pipeline.folders.output_folder import check_output, check_results, refuse_signs
from pipeline.inference.chosen_model import open_model
from pipeline.inference.ensemble import VOTE
from pipeline.prediction.batch import Batch
from pipeline.prediction.case_segmenter import CaseSegmenter
from pipeline.prediction.segmented import TRAINED_ON

logger = logging.getLogger(__name__)

DEFAULT_MODE = ""


def predict(
    models: str | Path,
    source: str | Path,
    output_dir: str | Path,
    method: str = VOTE,
    weights: Sequence[float] | None = None,
    mode: str = "",
    pages: bool = True,
    series: str = "",
    merged: bool = True,
    trusted: bool = False,
    anyway: bool = False,
    probabilities: bool = False,
    rtstruct: bool = False,
) -> list[Manifest]:
    """Write `<output_dir>/<case>.nii.gz` for a scan, or for every scan of a folder, on the scan's own grid.

    Beside it are `<case>.json`, see `pipeline.folders.manifest`; `<case>.html` unless `pages` is false; and of DICOM,
    where the UID of a `series` may choose, `<case>.seg.dcm` and `<case>.sr.dcm`, with `rtstruct`
    `<case>.rtstruct.dcm` too. What INPUT may be, `pipeline.folders.inputs` says.

    `models` names one trained fold or several, see `pipeline.inference.members.find_members`; several segment together,
    and `<output_dir>/uncertainty/<case>.nii.gz` tells where they disagree. Or it is an exported bundle, a folder or a
    zip file. With `probabilities` there is `<output_dir>/probabilities/<case>.nii.gz` too, the infection's in 255ths,
    calibrated where the model's run has a temperature. `mode` names a file of bundles/common/modes, or is `auto`, see
    `pipeline.inference.auto_mode`; "" does what the model's configuration says. With `anyway` a scan is segmented whose
    numbers or place `make check-data` calls an error, and its results say so. `trusted` lets a bundle run code that
    this project does not have itself.

    A scan that cannot be segmented does not keep the others from it: see the manifests, one a scan, that come back.
    What is done already is not done again, and any number of processes may share an `output_dir`; with `merged` each
    writes results.csv of all that is there when it ends. Raises InputError where model and settings do not fit, there
    is nothing to segment, or `output_dir` cannot be written.
    """
    refuse_signs(output_dir, models)
    inputs, left_out = find_all(source, output_dir, series)
    check_output(output_dir, source, *(path for item in inputs for path in item.paths))
    check_results(output_dir, (item.case for item in inputs))
    with told_plainly(output_dir):
        check_writable(output_dir)
        write_left_out(output_dir, left_out)
    if is_bundle(models):
        # Before anything of it runs
        logs.result(source_of(Path(models)))
    chosen = open_model(models, method=method, weights=weights, mode=mode, trusted=trusted)
    with chosen as model, told_plainly(output_dir):
        cases = CaseSegmenter(model, Path(output_dir), pages, probabilities, anyway, rtstruct)
        if probabilities:
            cases.scans.check_probabilities()
        return Batch(cases, merged).run(inputs)


@contextmanager
def told_plainly(output_dir: str | Path) -> Iterator[None]:
    """InputError for what the system says of the output folder as a whole."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"OUT is {output_dir}, which cannot be written ({error.strerror or error}); make room or choose another "
            "folder, and give the same command again: what is done stays."
        ) from error


def summarised(every: Sequence[Manifest], left_out: Sequence[LeftOut] = ()) -> bool:
    """Print the table of all scans, and what holds for several of them; whether all are segmented, none left out."""
    left_out = [*left_out, *left_out_of(every)]
    logs.result(table(every, left_out), scans=every, left_out=[each.sentence for each in left_out])
    if known := [manifest["case"] for manifest in every if TRAINED_ON in manifest.get("warnings", ())]:
        logger.warning("MODEL was trained on %d of these scans: %s", len(known), ", ".join(known))
    return all(manifest["status"] == DONE for manifest in every) and not any_missed(left_out)
