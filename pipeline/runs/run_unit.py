"""Run one fold of a run that was begun, all its trainings and the segmentation of its held-out cases:

    pneumobundle run-unit runs/unet_3d/cv 3

It does what is missing and ends with status 75 when it was stopped by SIGUSR1 or SIGTERM; the same command goes on.
"""

from __future__ import annotations

import logging.config
from pathlib import Path

from pipeline.core.bundle_process import signals_passed_on
from pipeline.core.errors import InputError
from pipeline.data.study import load_study
from pipeline.runs.cross_validation import CrossValidation
from pipeline.runs.units import recorded
from pipeline.training.checkpoint import FINISHED, LAST

logger = logging.getLogger(__name__)


def run_unit(folder: str | Path, fold: int) -> None:
    """Run what is missing of a fold; InputError where nothing new was done before it was stopped.

    It would be begun again for ever, each time too late.
    """
    training, study = CrossValidation.of(folder), load_study(folder)
    study.held_out(fold)  # refuses a fold that does not exist
    before = _done_so_far(training, fold)
    with recorded(folder, f"fold{fold}"):
        try:
            with signals_passed_on():
                training.run_fold(study, fold)
        except SystemExit:
            if _done_so_far(training, fold) == before:
                raise InputError(
                    f"{folder} fold {fold}: was stopped before one epoch was over and would get no further the next "
                    "time; give it more TIME, or fewer iterations_per_epoch."
                ) from None
            raise
    logger.info("%s fold %d: done", folder, fold)


def _done_so_far(training: CrossValidation, fold: int) -> dict[str, int]:
    """Checkpoints, finished trainings and segmented scans, each with the time of its last change."""
    folders = [training.folder(stage) / f"fold{fold}" for stage in training.stages]
    files = [folder / name for folder in folders for name in (LAST, FINISHED)]
    files += list(Path(training.output_dir).glob("predictions/*.nii.gz"))
    files += list(training.found_dir.glob(f"fold{fold}/*.nii.gz"))
    return {str(file): file.stat().st_mtime_ns for file in files if file.exists()}
