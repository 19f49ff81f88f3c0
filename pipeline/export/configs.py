"""From this project's configurations to a bundle's, one file each that stands alone: see `bundle_files.own_code`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from pipeline.bundle_files.own_code import PUBLISHED, TRAINED_MEMBERS, union
from pipeline.bundle_files.package import imported
from pipeline.core.configuration import COMMON, ENSEMBLE, load

EVALUATE, MULTI_GPU = "evaluate", "multi_gpu_train"
# Of bundles/common/ensemble.yaml: what finds members on a disk, where a bundle has them in one file
OF_A_DISK = (
    "models",
    "members",
    "model_file",
    "first_stage_model",
    "network",
    "trained_network",
    "handlers",
    "initialize",
)
# What a training needs of an ensemble's inference, for `monai.bundle.load` to have the ensemble and not a fresh member
DEFINED = ("method", "weights", "infection_threshold", "network_def")
# Values that a run may have for its machine: here as bundles/common has them
OF_THE_MACHINE = ("device", "num_workers")


def published(content: Mapping[str, Any], workflow: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what it has of a machine or a run, and with the changes of a bundle."""
    common = load([COMMON / f"{workflow}.yaml"])
    reset = {name: common[name] for name in OF_THE_MACHINE if name in common}
    own = {name: value for name, value in PUBLISHED.items() if name in content}
    # The split of a file is the split of a data set that the bundle does not have
    split = {"split": "patients"} if content.get("split") not in (None, "patients", "published") else {}
    parser = ConfigParser({**content, **reset, **own, **split})
    parser.update(dict(changes))
    return parser.get()


def evaluation_overlay(train: Mapping[str, Any], inference: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be laid over a training to have the evaluation of its held-out cases: all that differs."""
    parser = ConfigParser({**train, **inference, "imports": union(train["imports"], inference["imports"])})
    overlay = load([COMMON / f"{EVALUATE}.yaml"])
    parser["imports"] = union(parser["imports"], overlay.pop("imports"))
    # Of the training: the study whose held-out cases these are
    parser.update({**overlay, "dataset_dir": train["dataset_dir"]})
    whole = parser.get()
    return {name: value for name, value in whole.items() if name not in train or train[name] != value}


def ensemble_inference(
    content: Mapping[str, Any], networks: Sequence[Any], method: str, weights: Sequence[float] | None
) -> dict[str, Any]:
    """The inference of a network as that of an ensemble in one file; `networks` are its members' definitions."""
    parser = ConfigParser(deepcopy(dict(content)))
    # As written: its keys `a::b` and `+a` stand for parts of the inference
    overlay = ConfigParser.load_config_file(str(ENSEMBLE))
    mine = {key: value for key, value in overlay.items() if key not in OF_A_DISK and key != "+imports"}
    mine |= {"+imports": used(overlay["+imports"], mine), "method": method, "weights": weights}
    for key, value in [*mine.items(), ("network_def::networks", list(networks)), *deepcopy(TRAINED_MEMBERS).items()]:
        merge_kv(parser, key, value)
    return {**parser.get(), "imports": union(parser.get("imports"), [])}


def ensemble_training(content: Mapping[str, Any], inference: Mapping[str, Any]) -> dict[str, Any]:
    """The training of a network as that of a fresh member, `member_def`, of an ensemble, `network_def`."""
    train = json.loads(json.dumps(content).replace("@network_def", "@member_def"))
    defined = {name: inference[name] for name in DEFINED}
    imports = union(train["imports"], used(inference["imports"], defined))
    return {**train, **defined, "imports": imports, "member_def": train["network_def"]}


def used(imports: Sequence[str], content: Any) -> list[str]:
    """Those imports whose alias is in an expression of a configuration."""
    text = json.dumps(content)
    return [line for line in imports if re.search(rf"\b{imported(line)[1]}\.", text)]


def multi_gpu_overlay(train: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be laid over a training to have it on several GPUs."""
    # As written: its keys `a::b` and `+a` stand for parts of the training
    overlay = ConfigParser.load_config_file(str(COMMON / f"{MULTI_GPU}.yaml"))
    return {"imports": union(train["imports"], overlay.pop("+imports")), **overlay}
