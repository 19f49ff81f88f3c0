"""Segment scans with a trained model, or with several as an ensemble.

python -m pipeline.predict --model runs/unet_3d/cv/fold0 --input scan.nii.gz
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from monai.bundle import run

from pipeline.atomic import read_json, write_json
from pipeline.bundle_source import CONFIG, is_bundle, opened
from pipeline.configuration import INFERENCE, LOGGING, METADATA, mode_settings
from pipeline.datalist import scans
from pipeline.ensemble import MEAN, VOTE, parse_weights
from pipeline.errors import report_plainly
from pipeline.members import ensemble_configuration, find_members, known_images

logger = logging.getLogger(__name__)

TRAINED_ON = (
    "MODEL was trained on %d of these scans: %s. What it finds there says nothing about how well it does on new "
    "patients."
)

DEFAULT_MODE = ""


def predict(
    models: str | Path,
    source: str | Path,
    output_dir: str | Path,
    method: str = VOTE,
    weights: Sequence[float] | None = None,
    mode: str = "",
) -> None:
    """Write `<output_dir>/<case>.nii.gz` for a scan, or for every scan of a folder, on the scan's own grid.

    `models` names one trained fold or several, see `pipeline.members.find_members`; several segment together, and
    `<output_dir>/uncertainty/<case>.nii.gz` tells where they disagree. Or it is an exported bundle, a folder or a zip
    file. `mode` names a file of bundles/common/modes; "" does what the model's configuration says. Raises InputError
    where they do not fit.
    """
    if isinstance(models, str | Path) and is_bundle(models):
        with opened(Path(models)) as bundle:
            # Metadata and logging are those beside the configuration
            changes = mode_settings(mode, read_json(bundle / CONFIG))
            run(config_file=str(bundle / CONFIG), dataset_dir=str(source), output_dir=str(output_dir), **changes)
        return
    members = find_members(models)
    if known := known_images(members, scans(source)):
        logger.warning(TRAINED_ON, len(known), ", ".join(known))
    if len(members) == 1:
        changes = mode_settings(mode, read_json(members[0].configuration))
        _segment(members[0].configuration, source, output_dir, model_file=str(members[0].weights), **changes)
        return
    content = ensemble_configuration(members, method, weights)
    with TemporaryDirectory() as folder:
        configuration = Path(folder) / f"{INFERENCE}.json"
        write_json(configuration, content)
        _segment(configuration, source, output_dir, **mode_settings(mode, content))


def _segment(configuration: Path, source: str | Path, output_dir: str | Path, **own: Any) -> None:
    run(
        config_file=str(configuration),
        meta_file=str(METADATA),
        logging_file=str(LOGGING),
        dataset_dir=str(source),
        output_dir=str(output_dir),
        **own,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    report_plainly()
    # MONAI warns on every run that a configuration is code; the README says so once.
    warnings.filterwarnings("ignore", category=UserWarning, module="monai.bundle.scripts")
    parser = argparse.ArgumentParser(prog="python -m pipeline.predict", description="Segment lungs and infection.")
    parser.add_argument(
        "--model",
        required=True,
        help="folder of a trained fold, such as runs/unet_3d/cv/fold0; several, or a folder of folds, are an ensemble; "
        "or an exported bundle",
    )
    parser.add_argument("--input", required=True, help="a scan (.nii.gz, .nii, .mha, .nrrd), or a folder of scans")
    parser.add_argument("--output", default="predictions", help="folder for the label files (default: predictions)")
    parser.add_argument("--method", default=VOTE, help=f"of an ensemble: {VOTE} (default) or {MEAN}")
    parser.add_argument("--weights", default="", help=f"of a {MEAN}, one number a member: '2 1 1'")
    parser.add_argument(
        "--mode",
        default=DEFAULT_MODE,
        help="exact, whole, windows or fast (default: what the model's configuration says)",
    )
    given = parser.parse_args(arguments)
    predict(given.model, given.input, given.output, given.method, parse_weights(given.weights), given.mode)


if __name__ == "__main__":
    main()
