"""Segment scans with a trained model.

python -m pipeline.predict --model runs/unet_3d/cv/fold0 --input scan.nii.gz
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path

from monai.bundle import run

from pipeline.cascade import INFECTION
from pipeline.checkpoint import MODEL
from pipeline.configuration import INFERENCE, LOGGING, METADATA
from pipeline.errors import InputError, report_plainly


def model_and_configuration(model: str | Path) -> tuple[Path, Path]:
    """The weights and the inference configuration that MODEL names.

    MODEL is a fold's folder of a cross-validation, or a file in it. Raises InputError that says what to give instead.
    """
    folder = Path(model)
    folder = folder.parent if folder.is_file() else folder
    # Of a cascade: its second stage finds the first one's model
    second = folder.parent / INFECTION / folder.name
    folder = second if second.is_dir() else folder
    weights, configuration = folder / MODEL, folder.parent / f"{INFERENCE}.json"
    if weights.is_file() and configuration.is_file():
        return weights, configuration
    folds = sorted(str(file.parent) for file in folder.glob(f"fold*/{MODEL}"))
    hint = f"give one of its folds: {', '.join(folds)}" if folds else "give a folder such as runs/unet_3d/cv/fold0"
    missing = weights if not weights.is_file() else configuration
    raise InputError(f"MODEL is {model}, but there is no {missing}; {hint}.")


def predict(model: str | Path, source: str | Path, output_dir: str | Path) -> None:
    """Write `<output_dir>/<case>.nii.gz` for a scan, or for every scan of a folder, on the scan's own grid."""
    weights, configuration = model_and_configuration(model)
    run(
        config_file=str(configuration),
        meta_file=str(METADATA),
        logging_file=str(LOGGING),
        model_file=str(weights),
        dataset_dir=str(source),
        output_dir=str(output_dir),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    report_plainly()
    # MONAI warns on every run that a configuration is code; the README says so once.
    warnings.filterwarnings("ignore", category=UserWarning, module="monai.bundle.scripts")
    parser = argparse.ArgumentParser(prog="python -m pipeline.predict", description="Segment lungs and infection.")
    parser.add_argument("--model", required=True, help="folder of a trained fold, such as runs/unet_3d/cv/fold0")
    parser.add_argument("--input", required=True, help="a scan (.nii.gz, .nii, .mha, .nrrd), or a folder of scans")
    parser.add_argument("--output", default="predictions", help="folder for the label files (default: predictions)")
    given = parser.parse_args(arguments)
    predict(given.model, given.input, given.output)


if __name__ == "__main__":
    main()
