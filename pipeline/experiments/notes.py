"""What has to be said beside the numbers of a paper's experiment, for them to be read rightly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.measures.cases import Row
from evaluation.measures.slices import AVERAGINGS
from evaluation.tables.paper_table import paper_names
from pipeline.experiments.description import PAPER
from pipeline.experiments.plan import leaking_patients
from pipeline.experiments.setting import Setting


def title(experiment: Setting) -> str:
    every = experiment.description.experiments
    number = f", experiment {experiment.number}" if len(every) > 1 else ""
    return f"{experiment.description.title}{number}: {experiment.outline.what}"


def notes(experiment: Setting, trainings: Mapping[str, Sequence[Mapping[str, Any]]], rows: Sequence[Row]) -> list[str]:
    """Sentences on data, training, averaging and leaks, and on whether the paper's numbers can be compared with.

    `trainings` has the merged training configuration of each model of each network.
    """
    averagings = "; ".join(AVERAGINGS[name][0] for name in experiment.description.averagings)
    empty = experiment.description.empty_slices
    return [
        *_data(experiment),
        *_training(experiment, trainings),
        f"Averaging: {averagings}; each class against the rest. Empty slices: {empty}. {_empty_slices(rows)}.",
        *_leaks(experiment),
        *_names(experiment),
        _paper(experiment),
    ]


def _data(experiment: Setting) -> list[str]:
    plan, learnt = experiment.plan, experiment.training.plan
    sets = dict.fromkeys((*learnt.sets, *plan.sets) if learnt is not plan else plan.sets)
    sizes = sorted({learnt.slices(model.train) for model in learnt.models})
    trained = " or ".join(map(str, sizes))
    name = experiment.prepared
    return [
        f"Data: {'; '.join(f'set {found.number}: {found.what()}' for found in sets)}.",
        f"Slices: {trained} to train a model, {plan.slices(plan.test)} tested; {experiment.description.kept}; "
        f"{experiment.description.preparations[name]} (preparation {name}).",
    ]


def _training(experiment: Setting, trainings: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """How long each network was trained; networks that were trained alike are told together."""
    alike: dict[str, list[str]] = {}
    for network, models in trainings.items():
        epochs = " or ".join(dict.fromkeys(map(_epoch, models)))
        said = f"at most {models[0]['max_epochs']} epochs of {epochs} of {models[0]['batch_size']} slices"
        alike.setdefault(said, []).append(network)
    lengths = "; ".join(f"{said} ({', '.join(networks)})" for said, networks in alike.items())
    return [f"Training: preset {experiment.preset}, {lengths}."]


def _epoch(training: Mapping[str, Any]) -> str:
    """How many steps; an expression is computed where the training runs."""
    steps = training["iterations_per_epoch"]
    return f"{steps} steps" if isinstance(steps, int) else "as many steps as its recipe computes, each"


def _empty_slices(rows: Sequence[Row]) -> str:
    first = [row for row in rows if (row["network"], row["model"]) == (rows[0]["network"], rows[0]["model"])]
    counts = []
    for name in dict.fromkeys(row["class"] for row in first):
        mine = [row["reference_pixels"] for row in first if row["class"] == name]
        counts.append(f"{mine.count(0)} of {len(mine)} test slices are without {name}")
    return ", ".join(counts)


def _leaks(experiment: Setting) -> list[str]:
    said = []
    if leaking := leaking_patients(experiment.training.plan, experiment.plan):
        said.append(f"Patients that were trained on and tested: {', '.join(leaking)}; the numbers flatter.")
    return [*said, *experiment.outline.remarks]


def _names(experiment: Setting) -> list[str]:
    """What the paper's table calls the networks, whose encoders may be others."""
    names = paper_names(experiment.outline.table)
    return [f"In the paper: {'; '.join(f'{name} is its {theirs}' for name, theirs in names.items())}."] if names else []


def _paper(experiment: Setting) -> str:
    """Which table the paper has for this, and why our numbers cannot be compared with it, where they cannot."""
    if experiment.outline.table is None:
        return "The paper prints no table for this experiment."
    reasons = _differences(experiment)
    beside = f"Beside them the paper's {experiment.outline.table_name}"
    if reasons:
        return f"{beside}; NOT comparable with it: {'; '.join(reasons)}."
    return f"{beside}; data, slices and training are the paper's as far as it describes them."


def _differences(experiment: Setting) -> list[str]:
    plan, papers = experiment.plan, experiment.outline
    tested, trained = plan.slices(plan.test), plan.slices(plan.models[0].train)
    missing = sorted({*papers.plan.get("sets", ())} - {found.number for found in plan.sets})
    reasons = [
        (experiment.preset != PAPER, f"preset {experiment.preset}"),
        (any(found.stands_in for found in plan.sets), "other data than the paper's"),
        (bool(missing), f"without set {' and '.join(missing)}"),
        (tested != papers.tested, f"{tested} slices tested, the paper {papers.tested}"),
        (papers.trained not in (0, trained), f"{trained} slices trained on, the paper {papers.trained}"),
        (experiment.prepared != experiment.description.preparation, f"preparation {experiment.prepared}"),
        (experiment.by_patient and bool(papers.by_patient), papers.by_patient),
        (bool(experiment.overrides), f"overrides {experiment.overrides}"),
    ]
    return [said for applies, said in reasons if applies]
