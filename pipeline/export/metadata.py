"""metadata.json of a bundle, from its configuration, its run and the packages that are installed here."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import packages_distributions, version
from typing import Any

from evaluation.statistics.ensemble_tables import ENSEMBLE
from pipeline.bundle_files.package import is_own
from pipeline.core.atomic import read_json
from pipeline.core.configuration import METADATA
from pipeline.core.errors import InputError
from pipeline.core.labels import LABEL_NAMES, LabelMap
from pipeline.export.source import Member, Source
from pipeline.inference.ensemble_score import EXTERNAL

# Have keys of their own
FRAMEWORKS = ("monai", "torch", "numpy")
# That MONAI's commands need: the command line, trainers, `verify_metadata`
NEEDED_BY_MONAI = ("fire", "pytorch-ignite", "jsonschema")
# The channel after the classes' of an ensemble's output
DISAGREEMENT = "share of the members that chose another class"
# Of the prepared scans, by the front's normalisation; a z-score of a chest in its window is within these
VALUE_RANGES = {"zscore": [-3, 5], "window": [-1, 1], "unit": [0, 1], "landmarks": [-2, 2]}


def metadata(source: Source, foreign: Iterable[str], bundle_version: str = "", changes: str = "") -> dict[str, Any]:
    """The content of metadata.json.

    `foreign` are the names of packages that the bundle imports. A version other than this project's needs a line of the
    changelog, `changes`; InputError without.
    """
    common = read_json(METADATA)
    number = bundle_version or common["version"]
    changelog = {**({number: changes} if changes else {}), **common["changelog"]}
    if number not in changelog:
        raise InputError(
            f"VERSION is {number}, which has no line in the changelog; say what has changed: CHANGES='...'."
        )
    scores = {**mean_dice(source), **ensemble_dice(source)}
    return {
        "schema": common["schema"],
        "version": number,
        "changelog": changelog,
        "monai_version": bare_version("monai"),
        "pytorch_version": bare_version("torch"),
        "numpy_version": bare_version("numpy"),
        "required_packages_version": required_packages(foreign),
        "name": f"Lungs and COVID-19 infection in chest CT, {by_whom(source)}",
        "task": common["task"],
        "description": _description(source),
        "authors": common["authors"],
        "copyright": common["copyright"],
        "data_source": data_source(source),
        "data_type": "nifti",
        "image_classes": "one channel, chest CT in Hounsfield units or in 0..255 lung-window grey",
        "label_classes": ", ".join(f"{code} {name}" for code, name in LABEL_NAMES.items()),
        "pred_classes": ", ".join(f"{number} {name}" for number, name in enumerate(class_names(source.classes))),
        **({"eval_metrics": {f"mean_dice_{name}": value for name, value in scores.items()}} if scores else {}),
        "intended_use": "Research only. Not a medical device: do not use it for diagnosis.",
        "references": common.get("references", []),
        **{key: data_format(member) for key, member in _data_formats(source).items()},
    }


def _description(source: Source) -> str:
    found = class_names(source.classes)[1:]
    how = "slice by slice" if source.last.inference["spatial_dims"] == 2 else "in 3D windows"
    return f"{', '.join(found).capitalize()} in chest CT of COVID-19 patients, {how}, by {by_whom(source)}"


def by_whom(source: Source) -> str:
    return f"{source.network}, an ensemble of {len(source.folds)}" if source.is_ensemble else source.network


def _data_formats(source: Source) -> dict[str, Member]:
    """Of the bundle's own network, and of those that work before it."""
    others = {f"{member.stage.name}_data_format": member for member in source.members[:-1]}
    return {"network_data_format": source.last, **others}


def data_format(member: Member) -> dict[str, Any]:
    """What a network gets and gives."""
    names = class_names(member.classes) + ([DISAGREEMENT] if member.is_ensemble else [])
    shared = {"type": "image", "spatial_shape": member.size, "dtype": "float32", "is_patch_data": True}
    low_high = VALUE_RANGES[member.inference["normalisation"]]
    channels = ["image", "infection map"] if member.inference.get("guided") else ["image"]
    return {
        "inputs": {
            "image": {
                **shared,
                "format": "hounsfield",
                "modality": "CT",
                "num_channels": len(channels),
                "value_range": low_high,
                "channel_def": {str(number): name for number, name in enumerate(channels)},
            }
        },
        "outputs": {
            "pred": {
                **shared,
                "format": "segmentation",
                "num_channels": len(names),
                "value_range": [],
                "channel_def": {str(number): name for number, name in enumerate(names)},
            }
        },
    }


def class_names(classes: LabelMap) -> list[str]:
    return [name.replace("_", " ") for name in classes.classes]


def mean_dice(source: Source) -> dict[str, float]:
    """Structure -> mean over the cases of the run's cross-validation, four digits; nothing without a finished run.

    Of an ensemble they are no scores of its own, and are named so.
    """
    if source.summary is None:
        return {}
    means = {name: scores["dice"]["mean"] for name, scores in source.summary["structures"].items()}
    return _rounded(means, "_single_member_out_of_fold" if source.is_ensemble else "")


def ensemble_dice(source: Source) -> dict[str, float]:
    """Structure -> mean over the patients of the run's external test set, four digits; nothing where it had none."""
    found = [score for score in external_scores(source) if score["who"].endswith(f", {ENSEMBLE}")]
    means = {name: dice["mean"] for score in found for name, dice in score["dice"].items()}
    return _rounded(means, "_ensemble_external")


def external_scores(source: Source) -> list[dict[str, Any]]:
    """What a leave-one-patient-out run measured on patients that no member was trained on: the ensemble, its members.

    Nothing where the bundle does not vote as the run did.
    """
    kept = source.ensemble_scores if source.is_ensemble else None
    if kept is None or kept["method"] != source.last.inference["method"] or source.last.inference["weights"]:
        return []
    if len(kept["members"]) != len(source.folds):
        return []
    return [score for score in kept["scores"] if score["group"] == EXTERNAL]


def _rounded(means: Mapping[str, float | None], suffix: str) -> dict[str, float]:
    return {f"{name}{suffix}": round(mean, 4) for name, mean in means.items() if mean is not None}


def data_source(source: Source) -> str:
    """In a few words, without names of folders."""
    if source.datalist is None:
        return "none: initial weights"
    count = len(source.datalist["training"])
    if source.on_phantom:
        return f"{count} synthetic chest CTs, made by this project"
    if source.datalist["layout"] in ("zenodo", "kaggle"):
        return f"{count} COVID-19 CTs, Ma et al. 2020, https://zenodo.org/records/3757476"
    if source.own_terms:
        return f"{count} chest CTs, whose sources docs/data_license.txt names"
    return f"{count} chest CTs of whoever exported this bundle"


def required_packages(foreign: Iterable[str]) -> dict[str, str]:
    """Distribution -> version here, of imported packages, and what MONAI's commands need."""
    distributions = packages_distributions()
    imported = {distributions.get(name, [name])[0] for name in foreign}
    wanted = sorted({*imported, *NEEDED_BY_MONAI} - {*FRAMEWORKS}, key=str.lower)
    return {name: bare_version(name) for name in wanted}


def bare_version(distribution: str) -> str:
    """The version of what is installed, without what tells builds apart, as `+cpu`: the Model Zoo installs by it."""
    return version(distribution).partition("+")[0]


def foreign_names(content: Any) -> set[str]:
    """First parts of dotted names in a configuration that are neither this project's nor the standard library's."""
    names: set[str] = set()
    if isinstance(content, Mapping):
        target = content.get("_target_", "")
        names |= {target} if isinstance(target, str) and "." in target and not is_own(target) else set()
        content = list(content.values())
    if isinstance(content, list):
        names = names.union(*map(foreign_names, content))
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names
