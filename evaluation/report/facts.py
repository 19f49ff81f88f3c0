"""What was run, on which data, with what and for how long: tables of facts from a run's files."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.report.run import LOSSES, Run, Stage
from evaluation.report.tables import ABSENT, Cell, Table, name_of, text_cells, volume_cell
from pipeline.core.atomic import read_json
from pipeline.folders.several import set_name
from pipeline.scans.intensity import GREY_255, HOUNSFIELD

HASH_DIGITS = 12
VOLUMES = ("lungs", "infection")
TRAINING_COLUMNS = (
    "fold",
    "epochs",
    "steps",
    "last training loss",
    "last validation loss",
    "time (min)",
    "peak memory (GiB)",
)
DOMAINS = {HOUNSFIELD: "in Hounsfield units", GREY_255: "stored as grey 0 to 255"}
# Key of train.json -> what it is called here
SETTINGS = {
    "label_map": "label map",
    "normalisation": "intensities",
    "batch_size": "batch size",
    "iterations_per_epoch": "steps an epoch",
    "max_epochs": "epochs at most",
    "early_stop_patience": "stops without progress after (epochs)",
    "weights_of": "weights kept",
    "loss": "loss",
    "learning_rate": "learning rate",
    "lr_schedule": "learning-rate schedule",
    "augmentations": "augmentations",
    "mixed_precision": "mixed precision",
}


def experiment_facts(run: Run) -> dict[str, str]:
    """Network, preset, split and seed."""
    settings = run.settings
    folds = run.folds.get("folds", ())
    split = run.folds.get("split", settings.get("split"))
    facts = {
        "network": run.network.replace(">", " > "),
        "recipe": settings.get("recipe"),
        "preset": settings.get("preset"),
        "structures": ", ".join(map(name_of, run.label_map.structures)),
        "folds": f"{len(folds) or settings.get('folds')}, split by {_split_name(str(split))}",
        "seed": run.folds.get("seed", settings.get("seed")),
    }
    return _told(facts)


def _split_name(split: str) -> str:
    """A split file's own name: the folders above it are nobody's business."""
    return {"patients": "patient", "published": "the published split"}.get(split, Path(split).name)


def data_facts(run: Run) -> dict[str, str]:
    """The data set: how many, how stored, and a fingerprint of all its files."""
    entries = list(run.cases.values())
    if not entries:
        return {}
    domains = Counter(entry.get("intensity") for entry in entries)
    spacings = [entry["spacing_mm"] for entry in entries if "spacing_mm" in entry]
    facts = {
        "folder": set_name(run.data_folders),
        "about": "; ".join(dict.fromkeys(filter(None, map(_about, run.data_folders)))),
        "cases": f"{len(entries)} of {len({entry['patient_id'] for entry in entries})} patients",
        "intensities": ", ".join(f"{count} {DOMAINS.get(str(name), name)}" for name, count in domains.items()),
        "pixels (mm)": _range([spacing[0] for spacing in spacings]),
        "slices (mm)": _range([spacing[2] for spacing in spacings]),
        "fingerprint": fingerprint(entries),
    }
    return _told(facts)


def _about(folder: Path) -> str | None:
    """What a folder of the data says about itself, where it has a manifest."""
    try:
        return str(read_json(folder / "manifest.json")["about"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def fingerprint(entries: Iterable[Mapping[str, Any]]) -> str:
    """One short hash of the hashes of all scans and label maps: equal data, equal fingerprint."""
    hashes = sorted(f"{entry.get('image_sha256')} {entry.get('label_sha256')}" for entry in entries)
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:HASH_DIGITS]


def setting_facts(stage: Stage) -> dict[str, str]:
    """How the scans were prepared and the network was trained."""
    settings = stage.settings
    slices = settings.get("spatial_dims") == 2
    shape = settings.get("slice_size" if slices else "patch_size")
    facts = {
        "window (HU)": _joined(settings.get("window_hu"), " to "),
        "voxels (mm)": _joined(settings.get("spacing_mm"), " x ", {0: "as scanned"}),
        "slices (pixels)" if slices else "patches (voxels)": _joined(shape, " x "),
    }
    return _told({**facts, **{name: _plain(settings.get(key)) for key, name in SETTINGS.items()}})


def _plain(setting: object) -> str | None:
    """A setting in words; None for an expression, which tells a reader nothing."""
    if isinstance(setting, bool):
        return "yes" if setting else "no"
    if isinstance(setting, Mapping):
        return str(setting["_target_"]).rpartition(".")[2] if "_target_" in setting else None
    if isinstance(setting, Sequence) and not isinstance(setting, str):
        words = [word for word in map(_plain, setting) if word]
        return ", ".join(words) or "none"
    if setting is None or str(setting).startswith("$"):
        return None
    return str(setting)[1:].replace("_", " ") if str(setting).startswith("@") else name_of(str(setting))


def _joined(numbers: object, by: str, names: Mapping[float, str] | None = None) -> str | None:
    if not isinstance(numbers, Sequence) or isinstance(numbers, str):
        return None
    return by.join((names or {}).get(each, f"{each:g}" if isinstance(each, int | float) else "?") for each in numbers)


def _range(values: Sequence[float]) -> str | None:
    if not values:
        return None
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


def software_facts(run: Run) -> dict[str, str]:
    """Versions and machine, as far as the trainings wrote them down; several where folds ran on several machines."""
    trainings = [training for stage in run.stages for training in stage.trainings.values()]
    facts = {key: _each(training.get(key) for training in trainings) for key in ("device", "torch")}
    for training in trainings:
        for key, value in training.get("provenance", {}).items():
            facts.setdefault(key, _each(other.get("provenance", {}).get(key, value) for other in trainings))
    return _told(facts)


def _each(values: Iterable[object]) -> str | None:
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None)) or None


def _told(facts: Mapping[str, object]) -> dict[str, str]:
    """Without what is not known."""
    return {name: str(value) for name, value in facts.items() if value not in (None, "", "None")}


def training_table(run: Run) -> Table | None:
    """Epochs, losses, time and memory of every finished training; None where there is none.

    How long segmenting took has a column where it was written down.
    """
    body = [_training_cells(stage, fold) for stage in run.stages for fold in sorted(stage.trainings)]
    if not body:
        return None
    seconds = sum(training.get("seconds", 0) for stage in run.stages for training in stage.trainings.values())
    columns = (*TRAINING_COLUMNS, "segmenting (s a case)")
    foot = [text_cells(("all", *[""] * 4, f"{seconds / 60:.1f}", "", ""))] if len(body) > 1 else []
    width = len(columns) if any(stage.segmentations for stage in run.stages) else len(TRAINING_COLUMNS)
    return Table("Trainings", columns[:width], [cells[:width] for cells in body], [cells[:width] for cells in foot])


def _training_cells(stage: Stage, fold: int) -> list[Cell]:
    training, history, segmented = (
        stage.trainings[fold],
        stage.histories.get(fold, {}),
        stage.segmentations.get(fold, {}),
    )
    seconds, memory_mib = training.get("seconds"), training.get("peak_memory_mib")
    return text_cells(
        (
            f"{stage.name} {fold}".strip(),
            f"{training.get('epochs', ABSENT)} of {training.get('max_epochs', ABSENT)}",
            training.get("steps", ABSENT),
            *(f"{history[loss][-1][1]:.3f}" if loss in history else ABSENT for loss in LOSSES),
            ABSENT if seconds is None else f"{seconds / 60:.1f}",
            ABSENT if memory_mib is None else f"{memory_mib / 1024:.1f}",
            f"{segmented['seconds'] / segmented['cases']:.1f}" if segmented.get("cases") else ABSENT,
        )
    )


def member_table(folds: Mapping[str, Any]) -> Table:
    """The cases that each fold tests."""
    body = [text_cells((fold["fold"], len(fold["test"]), ", ".join(fold["test"]))) for fold in folds["folds"]]
    return Table("Who is tested where", ("fold", "cases", "tested cases"), body, texts=("tested cases",))


def hash_table(entries: Iterable[Mapping[str, Any]]) -> Table:
    """Every scan: size, spacing, volumes, and the first digits of the SHA-256 of its files."""
    body = []
    for entry in entries:
        volume_ml = entry.get("volume_ml", {})
        body.append(
            [
                Cell(entry["case"]),
                Cell(_joined(entry.get("size"), " x ") or ABSENT),
                Cell(" x ".join(f"{spacing:.2f}" for spacing in entry.get("spacing_mm", ())) or ABSENT),
                *(volume_cell(volume_ml[name]) if name in volume_ml else Cell(ABSENT) for name in VOLUMES),
                *(Cell(entry.get(f"{kind}_sha256", ABSENT)[:HASH_DIGITS]) for kind in ("image", "label")),
            ]
        )
    volumes = (f"{name} (ml)" for name in VOLUMES)
    columns = ("case", "voxels", "spacing (mm)", *volumes, "scan SHA-256", "labels SHA-256")
    return Table("The data, file by file", columns, body, sortable=True)
