"""Commands that train, and what is made of a run: each is a workflow of bundles/common, or several of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from monai.bundle import ConfigWorkflow
from monai.bundle import run as run_workflow

from pipeline.core import logs
from pipeline.core.configuration import COMMON, METADATA, TRAIN, load, parse_overrides
from pipeline.core.errors import InputError
from pipeline.core.quiet import quiet
from pipeline.experiments.ablation import Ablation
from pipeline.experiments.description import described
from pipeline.experiments.experiment import Experiment
from pipeline.folders.output_folder import claim_output
from pipeline.folders.several import Data, data_folders, named_folders, output_name
from pipeline.inference.starter_model import CARD, MODELS, STARTER
from pipeline.phantom.dataset import write_set
from pipeline.runs.compare import Networks, outside_of
from pipeline.runs.cross_validation import CrossValidation
from pipeline.runs.launch import launch
from pipeline.runs.nnunet import NnUNetData
from pipeline.runs.score_labels import LabelScore
from pipeline.runs.starter import make_starter
from pipeline.runs.status import cancel_run, status_text
from pneumobundle.run.defaults import (
    PHANTOM_TEST,
    PHANTOM_UNLABELLED,
    QUICK,
    as_monai_reads,
    cluster_of,
    dataset_of,
    folder_for_training,
    folders,
    network_of,
    one_dataset_of,
    path,
    preset_of,
    run_of,
    side_by_side,
    usual,
)


def workflow(name: str, wanted: str = "run", **values: Any) -> None:
    """Run a workflow of bundles/common in this process, as `python -m monai.bundle run` does; None is not said."""
    said = {key: as_monai_reads(value) for key, value in values.items() if value is not None}
    # How things are told is settled: MONAI knows False for that, does not declare it, and remarks on it
    settled: dict[str, Any] = {"logging_file": False}
    with quiet(ConfigWorkflow.__module__):
        run_workflow(wanted, config_file=str(COMMON / f"{name}.yaml"), meta_file=str(METADATA), **settled, **said)


def _of_training(given: SimpleNamespace) -> dict[str, Any]:
    """Keys that every workflow of a training has."""
    return {
        "network": network_of(given),
        "dataset_dir": dataset_of(given),
        "preset": preset_of(given),
        "seed": given.seed,
        "overrides": given.overrides,
        "output_dir": folder_for_training("OUT", given.out),
    }


def _where(given: SimpleNamespace) -> dict[str, Any]:
    return {"gpus": given.gpus, "where": given.launch, "cluster": cluster_of(given)}


def cross_validate(given: SimpleNamespace) -> None:
    workflow(
        "cross_validation",
        **_of_training(given),
        **_where(given),
        folds=given.folds,
        only_fold=given.fold,
        split=given.split,
        lungs=given.lungs,
        jobs=side_by_side(given),
    )


def starter(given: SimpleNamespace) -> None:
    """The models folder of this program is where it is looked for; another one is for a look before that."""
    described = load([STARTER])
    asked = {"network": given.network, "preset": given.preset, "folds": given.folds}
    described |= {name: value for name, value in asked.items() if value}
    training = CrossValidation(
        described["network"],
        dataset_of(given),
        described["folds"],
        described["preset"],
        folder_for_training("OUT", given.out) or "runs/starter",
        seed=given.seed,
        overrides=given.overrides or {},
        jobs=1 if given.jobs is None else given.jobs,
    )
    epochs = training.configuration(TRAIN)["max_epochs"] * described["times_as_long_on_all"]
    training = replace(training, fold_overrides={training.folds: {"max_epochs": epochs}})
    models = MODELS if given.models == MODELS.name else Path(path(given.models))
    made = make_starter(training, described, models / described["name"])
    logs.result((made / CARD).read_text(encoding="utf-8"))


def fill_cache(given: SimpleNamespace) -> None:
    own = {"folds": given.folds, "split": given.split, "lungs": given.lungs}
    workflow("cross_validation", "fill_cache", **_of_training(given), **own)


def semi_supervised(given: SimpleNamespace) -> None:
    unlabelled = given.unlabeled or ("" if given.data else str(write_set(PHANTOM_UNLABELLED, seed=1, unlabelled=True)))
    if not unlabelled:
        raise InputError("UNLABELED is needed with DATA: a folder of scans without labels.")
    workflow(
        "semi_supervised",
        **_of_training(given),
        unlabelled_dir=path(unlabelled),
        folds=given.folds,
        only_fold=given.fold,
        split=given.split,
        per_round=given.k,
        rounds=given.rounds,
        supervised_dir=folder_for_training("SUPERVISED", given.supervised),
    )


def leave_one_out(given: SimpleNamespace) -> None:
    test = given.test or ("" if given.data else str(write_set(PHANTOM_TEST, first=11)))
    # Two members are done in the time of one on two cores
    jobs = 2 if given.jobs is None and preset_of(given) == QUICK else side_by_side(given)
    workflow(
        "leave_one_out",
        **_of_training(given),
        **_where(given),
        test_dir=folders(test) if test else None,
        members=given.members,
        lungs=given.lungs,
        method=given.method,
        leaky=given.leaky,
        jobs=jobs,
    )


def score_ensemble(given: SimpleNamespace) -> None:
    workflow(
        "score_ensemble",
        models=folder_for_training("MODEL", given.model) or f"{usual(given, 'cv')}/fold0",
        dataset_dir=folders(given.data) if given.data else str(write_set(PHANTOM_TEST, first=11)),
        method=given.method,
        weights=given.weights or None,
        leaky=given.leaky,
        output_dir=folder_for_training("OUT", given.out),
    )


def _shared(given: SimpleNamespace, data: Data, out: str) -> dict[str, Any]:
    """Fields of `pipeline.runs.arguments.Shared`."""
    named = {name: getattr(given, name) for name in ("folds", "split", "seed", "overrides", "gpus")}
    return {"data_dir": data, "output_dir": out, "preset": preset_of(given), "jobs": side_by_side(given), **named}


def compare(given: SimpleNamespace) -> None:
    out, data = folder_for_training("OUT", given.out) or "", dataset_of(given)
    if out:
        claim_output(out, *named_folders(data))
    networks = Networks(
        networks=given.networks.split(),
        structures=given.structure.split(),
        against=given.against,
        outside=outside_of(vars(given)["with"] or ""),
        **_shared(given, data, out),
    )
    launch(networks, given.launch, cluster_of(given))


def ablation(given: SimpleNamespace) -> None:
    out, data = folder_for_training("OUT", given.out), dataset_of(given)
    folder = Path(out, given.paper) if out else Path("runs", "ablation", given.paper, preset_of(given))
    claim_output(out or folder, *named_folders(data))
    launch(Ablation(paper=given.paper, **_shared(given, data, str(folder))), given.launch, cluster_of(given))


def experiment(given: SimpleNamespace) -> None:
    description = described(given.paper)
    names = description.networks if given.networks is None else given.networks.split()
    if not names:
        raise InputError(f"NETWORKS is empty; expected names such as {' '.join(description.networks)}.")
    data, preset = one_dataset_of(given), preset_of(given)
    out = folder_for_training("OUT", given.out) or f"runs/{given.paper}_paper/{preset}"
    claim_output(out, data)
    work = Experiment(
        given.exp or description.default,
        data,
        tuple(dict.fromkeys(names)),
        preset,
        out,
        parse_overrides(given.overrides),
        given.preparation,
        given.by_patient,
        given.paper,
    )
    logs.result(work.run())
    logs.result(f"Results are in {work.folder}.")


def evaluate(given: SimpleNamespace) -> None:
    CrossValidation.of(run_of(given)).evaluate_finished()


def score(given: SimpleNamespace) -> None:
    predictions = folders(given.predictions)
    name = given.name or output_name(data_folders(predictions))
    out = Path(path(given.out)) if given.out else Path("runs", "score", name)
    LabelScore(predictions, dataset_of(given), out, name, given.codes or "").run()


def nnunet(given: SimpleNamespace) -> None:
    out = Path(path(given.out)) if given.out else Path("runs", "nnunet")
    logs.result(NnUNetData(dataset_of(given), out, given.folds, given.split, given.seed).run())


def status(given: SimpleNamespace) -> None:
    logs.result(status_text(run_of(given)))


def cancel(given: SimpleNamespace) -> None:
    logs.result(cancel_run(run_of(given)))
