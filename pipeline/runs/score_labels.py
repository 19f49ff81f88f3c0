"""Label maps that another program or person made, scored as a cross-validation's are: the same tables, page and flags.

A folder of them is then a run as any other: `compare-runs` holds it against networks, patient by patient.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.atomic import write_json
from pipeline.core.errors import InputError
from pipeline.core.labels import LabelMap, label_map
from pipeline.core.run_files import DATALIST, FOLDS, SCORED
from pipeline.data.datalist import read_datalist
from pipeline.data.study import Study
from pipeline.folders.codings import Coding, asked, of_dataset_json, recognised, told
from pipeline.folders.output_folder import claim_output
from pipeline.folders.outside_labels import Joined, join, on_grid_of, read_outside_label
from pipeline.folders.several import Data, data_folders
from pipeline.folders.several import told as told_folders
from pipeline.runs.scores import job_of, write_scores
from pipeline.scans.scan import read_geometry
from pipeline.scans.simpleitk import sitk
from pipeline.scans.written_image import write_image

logger = logging.getLogger(__name__)
LISTED = 5


@dataclass(frozen=True)
class LabelScore:
    """Label files against the references of a data set.

    Args:
        predictions: folder of the label files, or several, or nnU-Net's of all folds of a training;
            `pipeline.folders.outside_labels.join` says how files are named.
        dataset_dir: labelled scans, in any layout; a folder, or several as one data set.
        output_dir: gets what a cross-validation's folder has, but for trainings.
        name: of what made the label files, for tables and pages.
        codes: what their numbers mean, as `pipeline.folders.codings.asked` takes it; empty to recognise it.
    """

    predictions: Data
    dataset_dir: Data
    output_dir: Path
    name: str
    codes: str = ""

    def run(self) -> None:
        """Score, print the tables and write the page; InputError for what the user can mend."""
        if (self.output_dir / FOLDS).exists() and not (self.output_dir / SCORED).exists():
            raise InputError(
                f"OUT is {self.output_dir}, the folder of a cross-validation, whose scores would be replaced; give "
                "another OUT."
            )
        datalist = read_datalist(self.dataset_dir)
        claim_output(self.output_dir, *self.folders, *data_folders(self.dataset_dir))
        everyone = [case["case"] for case in datalist["training"]]
        joined = join(self.folders, self.study(datalist, everyone).held_out(0))
        self.tell(joined)
        coding = self.coding(joined)
        logger.info("Label files of %s, by %s", self.name, told(coding))
        study = self.study(datalist, sorted(joined.files))
        classes = label_map(coding.label_map)
        # Read again where the coding was recognised: all files at once may be more than memory holds
        for case in study.held_out(0):
            file = joined.files[case["case"]]
            image = on_grid_of(read_outside_label(file), read_geometry(case["image"]), case["case"], file)
            write_image(numbers_of_classes(image, coding, classes), study.prediction(case))
        write_json(self.output_dir / DATALIST, datalist)
        write_json(self.output_dir / FOLDS, study.folds)
        made = {
            "name": self.name,
            "label_map": coding.label_map,
            "coding": told(coding),
            "missing": list(joined.missing),
        }
        write_json(self.output_dir / SCORED, made)
        jobs = [job_of(study, case, 0) for case in study.held_out(0)]
        write_scores(self.output_dir, self.name, jobs, classes)

    @property
    def folders(self) -> list[Path]:
        return data_folders(self.predictions)

    def tell(self, joined: Joined) -> None:
        """Whom no score is of, and which files were passed over."""
        for what, names in (
            ("cases have no label file, and no score", joined.missing),
            ("label files are of no case, and were passed over", [file.name for file in joined.strangers]),
        ):
            if names:
                more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
                logger.warning("%d %s: %s%s", len(names), what, ", ".join(names[:LISTED]), more)

    def study(self, datalist: dict[str, Any], names: list[str]) -> Study:
        """Of some of the cases, which nobody trains on."""
        return Study(self.output_dir, datalist, {"split": "none", "folds": [{"fold": 0, "test": names, "train": []}]})

    def coding(self, joined: Joined) -> Coding:
        if self.codes:
            return asked(self.codes)
        named = [coding for folder in self.folders if (coding := of_dataset_json(folder))]
        if others := [coding for coding in named if coding.meanings != named[0].meanings]:
            raise InputError(
                f"PREDICTIONS has folders that name their labels differently: {told(named[0])}, and {told(others[0])}; "
                "score them one by one."
            )
        if len(named) == len(self.folders):
            return named[0]
        return recognised(told_folders(self.folders), map(read_outside_label, joined.files.values()))


def numbers_of_classes(image: sitk.Image, coding: Coding, classes: LabelMap) -> sitk.Image:
    """A label image of the numbers of the classes, as networks of this project leave them."""
    label = sitk.GetImageFromArray(classes.class_of_code()[coding.own_codes(sitk.GetArrayViewFromImage(image))])
    label.CopyInformation(image)
    return label
