"""A data set as nnU-Net 2 wants it, with our folds, so that nnU-Net is trained on what `make cv` trains on.

    make nnunet DATA=scans FOLDS=5

Layout and keys: nnU-Net's documentation/dataset_format.md, ignore_label.md and manual_data_splits.md (version 2).
"""

from __future__ import annotations

import logging
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.annotation import annotation_of, certain_classes
from pipeline.core.atomic import remove_unfinished, replacing, write_json
from pipeline.core.errors import InputError
from pipeline.core.labels import CODE_OF, CODES, IGNORE, LABEL_MAPS, LabelMap
from pipeline.core.progress_bar import progress_bar
from pipeline.data.folds import BY_PATIENT, is_volume
from pipeline.data.study import Study, check_unchanged, open_study
from pipeline.folders.codings import IGNORED
from pipeline.folders.output_folder import NNUNET_PREPROCESSED, NNUNET_RAW, NNUNET_RESULTS
from pipeline.folders.several import Data, data_folders, output_name
from pipeline.scans.scan import is_plain_nifti, read_geometry, read_label, read_scan
from pipeline.scans.simpleitk import sitk
from pipeline.scans.written_image import write_image

logger = logging.getLogger(__name__)
# Of the data set in its own nnUNet_raw, where no other one is
NUMBER = 500
CONFIGURATION, TRAINER, PLANS = "3d_fullres", "nnUNetTrainer", "nnUNetPlans"
SPLITS = "splits_final.json"
# The classes are those of the first one of which the labels tell every class
CHOICE = ("lungs_infection", "lungs_and_infection", "infection", "lungs")


@dataclass(frozen=True)
class NnUNetData:
    """A data set in nnU-Net's layout.

    Args:
        dataset_dir: labelled scans, in any layout; a folder, or several as one data set.
        output_dir: gets nnU-Net's three folders, and the study, `datalist.json` and `folds.json`, as a run has it.
        folds: how many.
        split: as `pipeline.data.folds.make_folds` takes it.
        seed: of the split.
    """

    dataset_dir: Data
    output_dir: Path
    folds: int
    split: str = BY_PATIENT
    seed: int = 0

    def run(self) -> str:
        """Write what is missing and give the commands that train and score; InputError for what the user can mend.

        `dataset.json`, without which nnU-Net takes a folder for none, is written last.
        """
        study = open_study(self.output_dir, self.dataset_dir, self.folds, self.split, self.seed)
        check_unchanged(study)
        study.warn_of_leaks()
        volumes = volumes_of(study.every_case())
        classes = classes_told(volumes)
        cases = telling(volumes, classes)
        splits = self.splits(study, {case["case"] for case in cases})
        ignored = False
        for case in progress_bar(cases, len(cases), "writing nnU-Net's data set"):
            ignored |= self.write(case, classes)
        write_json(self.preprocessed / SPLITS, splits)
        write_json(self.raw / "manifest.json", manifest(cases, classes, ignored))
        write_json(self.raw / "dataset.json", description(len(cases), classes, ignored))
        return self.commands(cases, numbers(classes, ignored))

    @property
    def name(self) -> str:
        """Dataset500_scans: nnU-Net takes a number of three digits and a name."""
        return f"Dataset{NUMBER}_{re.sub('[^A-Za-z0-9]+', '_', output_name(data_folders(self.dataset_dir)))}"

    @property
    def raw(self) -> Path:
        return self.output_dir / NNUNET_RAW / self.name

    @property
    def preprocessed(self) -> Path:
        return self.output_dir / NNUNET_PREPROCESSED / self.name

    def splits(self, study: Study, names: set[str]) -> list[dict[str, list[str]]]:
        """Of each fold, what nnU-Net trains on and what it holds out, of the cases that are written."""
        made = []
        for fold in range(len(study.folds["folds"])):
            train, held_out = (
                sorted({case["case"] for case in cases} & names)
                for cases in (study.training(fold), study.held_out(fold))
            )
            if not train or not held_out:
                raise InputError(
                    f"fold {fold}: {'tests' if train else 'trains on'} no whole scan, without which nnU-Net does not "
                    "train; give fewer FOLDS, or another SPLIT."
                )
            made.append({"train": train, "val": held_out})
        return made

    def write(self, case: Mapping[str, Any], classes: LabelMap) -> bool:
        """Scan, unless it is there, and label of a case; whether any voxel of the label is ignored."""
        image = self.raw / "imagesTr" / f"{case['case']}_0000.nii.gz"
        label = self.raw / "labelsTr" / f"{case['case']}.nii.gz"
        for target in (image, label):
            target.parent.mkdir(parents=True, exist_ok=True)
            remove_unfinished(target.parent, target.name)
        if not image.exists():
            write_as_nifti(Path(case["image"]), image)
        codes = sitk.GetArrayFromImage(read_label(case["label"], case.get(CODES))).astype(np.uint8)
        voxels = certain_classes(classes, annotation_of(case))[codes]
        ignored = voxels == IGNORE
        voxels[ignored] = len(classes.classes)
        made = sitk.GetImageFromArray(voxels)
        # To the last digit the scan's grid, which nnU-Net asks for
        made.CopyInformation(read_geometry(image).empty_image())
        write_image(made, label)
        return bool(ignored.any())

    def commands(self, cases: Sequence[Mapping[str, Any]], labels: Mapping[str, int]) -> str:
        """What was made, and what to type."""
        places = {name: (self.output_dir / name).absolute() for name in (NNUNET_RAW, NNUNET_PREPROCESSED)}
        places[NNUNET_RESULTS] = (self.output_dir / NNUNET_RESULTS).absolute()
        trained = places[NNUNET_RESULTS] / self.name / f"{TRAINER}__{PLANS}__{CONFIGURATION}"
        data = shlex.join(map(str, data_folders(self.dataset_dir)))
        patients = len({case["patient_id"] for case in cases})
        return "\n".join(
            (
                f"{self.raw}: {len(cases)} scans of {patients} patients in {self.folds} folds, labels "
                f"{', '.join(f'{number} {name}' for name, number in labels.items())}",
                "",
                "With nnU-Net 2 installed:",
                *(f"  export {name}={shlex.quote(str(place))}" for name, place in places.items()),
                f"  nnUNetv2_plan_and_preprocess -d {NUMBER} -c {CONFIGURATION} --verify_dataset_integrity",
                *(f"  nnUNetv2_train {NUMBER} {CONFIGURATION} {fold}" for fold in range(self.folds)),
                f"  make score PREDICTIONS={shlex.quote(str(trained))} DATA={shlex.quote(data)} NAME=nnU-Net",
                "",
                f"The folds lie where nnU-Net looks for them, in {self.preprocessed / SPLITS}. With another "
                f"{NNUNET_PREPROCESSED}, copy the file there before training: without it nnU-Net splits cases by "
                "itself, and a patient may stand on both sides.",
            )
        )


def volumes_of(every: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The cases that are whole scans; how many others are left out is told, and none at all is an InputError."""
    volumes = [case for case in every if is_volume(case)]
    if not volumes:
        raise InputError(
            f"DATA has {len(every)} single slices and no whole scan, without which nnU-Net's 3D networks are not "
            "trained; give a folder of scans too."
        )
    if slices := len(every) - len(volumes):
        logger.warning("%d single slices are left out: nnU-Net trains its 3D networks on whole scans alone.", slices)
    return volumes


def classes_told(cases: Sequence[Mapping[str, Any]]) -> LabelMap:
    """The first label map of CHOICE of which the labels tell every class; each label tells those of one of them."""
    annotations = {annotation_of(case) for case in cases}
    for classes in map(LABEL_MAPS.__getitem__, CHOICE):
        told: set[int] = set().union(*(certain_classes(classes, one).tolist() for one in annotations))
        if {*range(len(classes.classes))} <= told:
            return classes
    raise ValueError(f"no label map of {CHOICE} fits {annotations}")


def telling(cases: Sequence[Mapping[str, Any]], classes: LabelMap) -> list[Mapping[str, Any]]:
    """The cases whose labels tell any class of these; the others are told."""
    silent = [case for case in cases if (certain_classes(classes, annotation_of(case)) == IGNORE).all()]
    if silent:
        wanted = ", ".join(name.replace("_", " ") for name in list(classes.classes)[1:])
        names = ", ".join(case["case"] for case in silent)
        logger.warning("%d scans are left out, of which no label tells %s: %s", len(silent), wanted, names)
    return [case for case in cases if case not in silent]


def numbers(classes: LabelMap, ignored: bool) -> dict[str, int]:
    """Name of a label -> its number, as `dataset.json` says it; what is ignored has the highest, as nnU-Net asks."""
    return {name: number for number, name in enumerate([*classes.classes, *[IGNORED] * ignored])}


def description(cases: int, classes: LabelMap, ignored: bool) -> dict[str, Any]:
    """Content of `dataset.json`."""
    return {
        # By this name nnU-Net clips to percentiles of the foreground and normalises by its mean and deviation
        "channel_names": {"0": "CT"},
        "labels": numbers(classes, ignored),
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }


def manifest(cases: Sequence[Mapping[str, Any]], classes: LabelMap, ignored: bool) -> dict[str, Any]:
    """Of this program alone: whose scans they are, and what the numbers are where they are not the project's."""
    named = {name: number for name, number in numbers(classes, ignored).items() if name in CODE_OF}
    codes = {CODES: {str(number): name for name, number in named.items()}} if ignored else {}
    return {**codes, "cases": [{"case": case["case"], "patient": case["patient_id"]} for case in cases]}


def write_as_nifti(source: Path, target: Path) -> None:
    """A scan as a .nii.gz that every program reads alike: a copy where it is one already."""
    if not is_plain_nifti(source):
        write_image(read_scan(source), target)
        return
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
