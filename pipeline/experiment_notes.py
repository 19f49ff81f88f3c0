"""What has to be said beside the numbers of a paper's experiment, for them to be read rightly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evaluation.cases import Row
from evaluation.slices import EMPTY_SLICE_RULE, SLICE_AVERAGING
from pipeline.experiment_plan import PAPERS_FILTER, leaking_patients
from pipeline.prepared_slices import PAPER

if TYPE_CHECKING:
    from pipeline.experiment import Experiment

WHAT = {
    1: "trained on set I, tested on set II",
    2: "three models trained on F1 to F3 of set III, tested on F4",
    3: "the models of experiment 2, tested on set II",
}
TABLES = {1: "anam_net_table5.csv", 2: "anam_net_table6.csv"}
TABLE_NAMES = {1: "Table V", 2: "Table VI"}
# Slices that the paper says it tested on; experiment 1 trained on 90
PAPERS_TEST = {1: 704, 2: 545, 3: 704}
PAPERS_TRAINING = 90
PREPARED = {
    PAPER: "set to 0 outside the annotated lungs and infection, then each slice's own range to 0..255, as the paper",
    "window": "clipped to -1250..250 HU as 0..255, nothing masked, unlike the paper",
}


def title(number: int) -> str:
    return f"Anam-Net paper, experiment {number}: {WHAT[number]}"


def notes(
    experiment: Experiment, trainings: Mapping[str, Sequence[Mapping[str, Any]]], rows: Sequence[Row]
) -> list[str]:
    """Sentences on data, training, averaging and leaks, and on whether the paper's numbers can be compared with.

    `trainings` has the merged training configuration of each model of each network.
    """
    return [
        *_data(experiment),
        *_training(experiment, trainings),
        f"Averaging: {SLICE_AVERAGING}; each class against the rest. Empty slices: {EMPTY_SLICE_RULE}. "
        f"{_empty_slices(rows)}.",
        *_leaks(experiment),
        _paper(experiment),
    ]


def _data(experiment: Experiment) -> list[str]:
    plan, learnt = experiment.plan, experiment.training.plan
    sets = [learnt.sets[0], *plan.sets] if experiment.number == 3 else plan.sets
    sizes = sorted({learnt.slices(model.train) for model in learnt.models})
    trained = " or ".join(map(str, sizes))
    return [
        f"Data: {'; '.join(f'set {found.number}: {found.what()}' for found in sets)}.",
        f"Slices: {trained} to train a model, {plan.slices(plan.test)} tested; those of sets II and III with more than "
        f"{PAPERS_FILTER} labelled pixels; {PREPARED[experiment.preparation]} (preparation {experiment.preparation}).",
    ]


def _training(experiment: Experiment, trainings: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """How long each network was trained; networks that were trained alike are told together."""
    alike: dict[str, list[str]] = {}
    for network, models in trainings.items():
        steps = " or ".join(dict.fromkeys(str(model["iterations_per_epoch"]) for model in models))
        said = f"at most {models[0]['max_epochs']} epochs of {steps} steps of {models[0]['batch_size']} slices"
        alike.setdefault(said, []).append(network)
    lengths = "; ".join(f"{said} ({', '.join(networks)})" for said, networks in alike.items())
    return [f"Training: preset {experiment.preset}, {lengths}."]


def _empty_slices(rows: Sequence[Row]) -> str:
    first = [row for row in rows if (row["network"], row["model"]) == (rows[0]["network"], rows[0]["model"])]
    counts = []
    for name in dict.fromkeys(row["class"] for row in first):
        mine = [row["reference_pixels"] for row in first if row["class"] == name]
        counts.append(f"{mine.count(0)} of {len(mine)} test slices are without {name}")
    return ", ".join(counts)


def _leaks(experiment: Experiment) -> list[str]:
    said = []
    if leaking := leaking_patients(experiment.training.plan, experiment.plan):
        said.append(f"Patients that were trained on and tested: {', '.join(leaking)}; the numbers flatter.")
    if experiment.number == 3:
        said.append(
            "Several of set II's volumes are, as far as known, Radiopaedia scans of set III with another annotation; "
            "with the real sets this is no test on unseen patients."
        )
    return said


def _paper(experiment: Experiment) -> str:
    """Which table the paper has for this, and why our numbers cannot be compared with it, where they cannot."""
    if experiment.number not in TABLE_NAMES:
        return "The paper prints no table for this experiment."
    reasons = _differences(experiment)
    beside = f"Beside them the paper's {TABLE_NAMES[experiment.number]}"
    if reasons:
        return f"{beside}; NOT comparable with it: {'; '.join(reasons)}."
    return f"{beside}; data, slices and training are the paper's as far as it describes them."


def _differences(experiment: Experiment) -> list[str]:
    plan, number = experiment.plan, experiment.number
    tested, trained = plan.slices(plan.test), plan.slices(plan.models[0].train)
    reasons = [
        (experiment.preset != PAPER, f"preset {experiment.preset}"),
        (any(found.stands_in for found in plan.sets), "other data than the paper's"),
        (tested != PAPERS_TEST[number], f"{tested} slices tested, the paper {PAPERS_TEST[number]}"),
        (number == 1 and trained != PAPERS_TRAINING, f"{trained} slices trained on, the paper {PAPERS_TRAINING}"),
        (experiment.preparation != PAPER, f"preparation {experiment.preparation}"),
        (experiment.by_patient and number == 2, "parts of whole patients"),
        (bool(experiment.overrides), f"overrides {experiment.overrides}"),
    ]
    return [said for applies, said in reasons if applies]
