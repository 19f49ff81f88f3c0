"""Segment scans with a trained model, or with several as an ensemble.

python -m pipeline.prediction.predict --model runs/unet_3d/cv/fold0 --input scan.nii.gz
"""

from __future__ import annotations

import argparse
import logging
import logging.config
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.bundle_files.bundle_source import is_bundle, source_of
from pipeline.core.claims import check_writable
from pipeline.core.configuration import LOGGING
from pipeline.core.errors import InputError, report_plainly
from pipeline.folders.inputs import find_all
from pipeline.folders.left_out import LeftOut, any_missed
from pipeline.folders.manifest import (
    DONE,
    Manifest,
    left_out_of,
    manifests,
    read_left_out,
    table,
    write_left_out,
    write_results,
)
from pipeline.folders.output_folder import check_output, check_results, refuse_signs
from pipeline.inference.chosen_model import open_model
from pipeline.inference.ensemble import MEAN, VOTE, parse_weights
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
) -> list[Manifest]:
    """Write `<output_dir>/<case>.nii.gz` for a scan, or for every scan of a folder, on the scan's own grid.

    Beside it are `<case>.json`, see `pipeline.folders.manifest`; `<case>.html` unless `pages` is false; and of DICOM,
    where the UID of a `series` may choose, `<case>.seg.dcm` and `<case>.sr.dcm`. What INPUT may be,
    `pipeline.folders.inputs` says.

    `models` names one trained fold or several, see `pipeline.inference.members.find_members`; several segment together,
    and `<output_dir>/uncertainty/<case>.nii.gz` tells where they disagree. Or it is an exported bundle, a folder or a
    zip file. `mode` names a file of bundles/common/modes, or is `auto`, see `pipeline.inference.auto_mode`; "" does
    what the model's configuration says. With `anyway` a scan is segmented whose numbers or place `make check-data`
    calls an error, and its results say so. `trusted` lets a bundle run code that this project does not have itself.

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
        print(source_of(Path(models)), flush=True)
    chosen = open_model(models, method=method, weights=weights, mode=mode, trusted=trusted)
    with chosen as model, told_plainly(output_dir):
        return Batch(CaseSegmenter(model, Path(output_dir), pages, anyway), merged).run(inputs)


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
    print(table(every, left_out), flush=True)
    if known := [manifest["case"] for manifest in every if TRAINED_ON in manifest.get("warnings", ())]:
        logger.warning("MODEL was trained on %d of these scans: %s", len(known), ", ".join(known))
    return all(manifest["status"] == DONE for manifest in every) and not any_missed(left_out)


def main(arguments: Sequence[str] | None = None) -> None:
    report_plainly()
    logging.config.fileConfig(LOGGING, disable_existing_loggers=False)
    # What is asked to end gives its claim back
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # MONAI warns on every run that a configuration is code; the README says so once.
    warnings.filterwarnings("ignore", category=UserWarning, module="monai.bundle.scripts")
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.prediction.predict", description="Segment lungs and infection."
    )
    parser.add_argument(
        "--model",
        help="folder of a trained fold, such as runs/unet_3d/cv/fold0; several, or a folder of folds, are an ensemble; "
        "or an exported bundle",
    )
    parser.add_argument(
        "--input", help="a scan (.nii.gz, .nii, .mha, .nrrd), a DICOM folder or zip file, or folders of these"
    )
    parser.add_argument("--output", default="predictions", help="folder for the results (default: predictions)")
    parser.add_argument("--method", default=VOTE, help=f"of an ensemble: {VOTE} (default) or {MEAN}")
    parser.add_argument("--weights", default="", help=f"of a {MEAN}, one number a member: '2 1 1'")
    parser.add_argument(
        "--mode",
        default=DEFAULT_MODE,
        help="exact, whole, windows or fast; int8, int8-windows or int8-fast; or auto, the fastest that was measured "
        "to be close to exact (default: what the model's configuration says)",
    )
    parser.add_argument(
        "--series",
        default="",
        help="UID of the DICOM series, UID:2 for its second stack (default: of each study the largest CT)",
    )
    parser.add_argument("--no-pages", action="store_true", help="write no <case>.html, of an archive for instance")
    parser.add_argument("--shard", action="store_true", help="as one of very many: leave results.csv to --merge")
    parser.add_argument("--merge", action="store_true", help="only write results.csv from what is in the output folder")
    parser.add_argument(
        "--trust", action="store_true", help="run what a bundle holds that this project does not have itself"
    )
    parser.add_argument(
        "--anyway", action="store_true", help="segment what make check-data calls an error of a scan; results say so"
    )
    given = parser.parse_args(arguments)
    if given.merge:
        every = manifests(given.output)
        with told_plainly(given.output):
            write_results(given.output, every)
    else:
        if not given.model or not given.input:
            parser.error("--model and --input are required unless --merge is given")
        weights = parse_weights(given.weights)
        pages = not given.no_pages
        every = predict(
            given.model, given.input, given.output, given.method, weights, given.mode, pages, given.series,
            not given.shard, given.trust, given.anyway,
        )  # fmt: skip
    if not summarised(every, read_left_out(given.output)):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
