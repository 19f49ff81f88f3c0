"""What is meant where an option is not given: rules that need more than one option."""

from __future__ import annotations

import re
from ast import literal_eval
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipeline.core.errors import InputError
from pipeline.folders.several import named_folders, one_or_several, told
from pipeline.phantom.dataset import write_set

PHANTOM, PHANTOM_TEST, PHANTOM_UNLABELLED = "data/phantom", "data/phantom_test", "data/phantom_unlabelled"
DEMO, QUICK, PAPER = "demo", "quick", "paper"
OF_THE_PAPER, OF_OWN_SCANS = "unet_3d", "pneumo_net"
CLUSTER_KEYS = ("partition", "account", "gres", "time", "cpus", "mem", "extra", "container")


def network_of(given: SimpleNamespace) -> str:
    """What was given; else this project's own for anybody's scans, and the MIScnn paper's for its own training.

    docs/recipe.md says what was measured of both.
    """
    if named := given.network or given.cascade:
        return str(named)
    own_scans = getattr(given, "data", None) and getattr(given, "preset", None) != PAPER
    return OF_OWN_SCANS if own_scans else OF_THE_PAPER


def usual(given: SimpleNamespace, what: str) -> str:
    """The folder of a network's results: `runs/unet_3d/cv`; of the default that has one, where DATA does not tell."""
    folder = f"runs/{network_of(given).replace('>', '-')}/{what}"
    other = f"runs/{OF_OWN_SCANS}/{what}"
    named = given.network or given.cascade or getattr(given, "data", None)
    return other if not named and not Path(folder).exists() and Path(other).exists() else folder


def run_of(given: SimpleNamespace) -> str:
    return str(given.run or given.out or usual(given, "cv"))


def preset_of(given: SimpleNamespace) -> str:
    """The demo of the synthetic chests, and the paper's of anybody's scans."""
    return str(given.preset or (PAPER if given.data else DEMO))


def dataset_of(given: SimpleNamespace) -> str | list[str]:
    """What was given, a folder or several; else the synthetic chests, written where they are not there yet."""
    return folders(given.data) if given.data else str(write_set(PHANTOM))


def one_dataset_of(given: SimpleNamespace) -> str:
    """As `dataset_of`, for what works on one folder; InputError for several."""
    data = dataset_of(given)
    if isinstance(data, str):
        return data
    raise InputError(f"DATA names {len(data)} folders, {told(data)}; expected one; give the folder that is meant.")


def side_by_side(given: SimpleNamespace) -> int:
    """Folds at a time: what was given; small ones of the demo one a core, larger ones may not fit into memory."""
    if given.jobs is not None:
        return int(given.jobs)
    return 0 if preset_of(given) == DEMO else 1


def folders(text: str) -> str | list[str]:
    """What a text names, a folder or several, each as `path` has it."""
    return one_or_several([path(name) for name in named_folders(text)])


def path(text: str) -> str:
    """A path that no program takes for an option, and MONAI for no reference."""
    return f"./{text}" if text[:1] in ("-", "@", "%", "$") else text


def folder_for_training(name: str, text: str | None) -> str | None:
    """A folder that MONAI's configurations can name; InputError for one with a sign of theirs."""
    for sign in "#@":
        if text and sign in text:
            raise InputError(
                f"{name} is {text}: MONAI reads {sign} in it as a sign of its own; choose a folder without."
            )
    return path(text) if text else None


def cluster_of(given: SimpleNamespace) -> dict[str, Any]:
    """What was said of a cluster, as `pipeline.runs.launch.launch` takes it."""
    said: dict[str, Any] = {key: getattr(given, key) for key in CLUSTER_KEYS}
    return {**said, "file": given.cluster or "", "dry": given.dry, "report_anyway": given.missing}


def as_monai_reads(value: Any) -> Any:
    """A value that a configuration of MONAI's takes for itself, where a text has signs that it would look up."""
    if isinstance(value, list):
        return [as_monai_reads(each) for each in value]
    if not isinstance(value, str) or not re.search(r"[@%$#]", value):
        return value
    escaped = "".join(f"\\x{ord(sign):02x}" if sign in "@%$#" else sign for sign in repr(value))
    if literal_eval(escaped) != value:
        raise ValueError(f"{escaped} is not {value!r}")
    return f"${escaped}"
