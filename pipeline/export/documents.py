"""The pages of a bundle: docs/README.md by the Model Zoo's template, and docs/data_license.txt."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping
from typing import Any

from pipeline.core.configuration import BUNDLES
from pipeline.core.progress_bar import duration
from pipeline.core.text_table import markdown
from pipeline.export.configs import EVALUATE, MULTI_GPU
from pipeline.export.metadata import data_source, external_scores
from pipeline.export.source import Member, Source
from pipeline.inference.ensemble import MEAN
from pipeline.inference.evidence import EVIDENCE_FILE

TAGS = "Segmentation, CT, Lung, COVID-19, Infection, MONAI"
UNTRAINED = (
    "**These are initial weights**: nothing was trained, nothing was measured. Train the bundle before anything else."
)
SYNTHETIC = (
    "The weights were trained on **synthetic chest CTs** that the project draws itself, to show that all works. They "
    "are of no use on real scans, and the figures say nothing about real scans."
)
ENSEMBLE_UNMEASURED = (
    "**None of this is a score of the ensemble**: it is what single members score, each on scans that it has not seen. "
    "The other members were trained on those, so a vote of all of them there would say nothing about new patients."
)
OF_ALL_UNMEASURED = (
    "**These weights saw every one of these scans**: the figures are of the folds' own models, trained alike, each "
    "without the patients that it was scored on."
)
EXTERNAL_CAPTION = "patients that no member was trained on; Dice, mean ± standard deviation over patients:"
UNMEASURED = "What the ensemble is worth was not measured on scans that no member was trained on."
FRESH_MEMBER = (
    "An ensemble is not trained as one: `train.json` trains one fresh member from the beginning, and this bundle's "
    "weights stay as they are. `--member_files` names such members, which then vote in place of the bundle's."
)
EVIDENCE = (
    f"`{EVIDENCE_FILE.as_posix()}` has what the held-out patients tell of a new scan's result, without their names: "
    "`pneumobundle predict` takes from it how far the infected share may be off, whether the scan is unlike those of "
    "the training, and what its probabilities of infection are worth."
)
UNFINISHED = "The cross-validation was not finished: nothing was measured on scans that the model had not seen."
NORMALISED = {
    "zscore": "zero mean and unit variance over the whole scan",
    "window": "the window onto -1..1",
    "unit": "the window onto 0..1",
    "landmarks": "the scan's own healthy lung onto -0.5, its soft tissue onto 0.5",
}
TRAINING_KEYS = ("batch_size", "iterations_per_epoch", "max_epochs", "learning_rate", "weights_of")
# What is tabulated of a summary, as far as it has it
MEASURES = {
    "dice": "Dice",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "surface_dice": "surface Dice",
    "hd95_mm": "HD95, mm",
}
# Of a network's page in the project: what speaks of the project's own commands, or of another preset's input
OF_THE_PROJECT = re.compile(r"make \w|[Oo]verrides|OVERRIDES|\.yaml|NETWORK=|^- \*\*(Input|Training)|:$")
PHANTOM_LICENCE = "Synthetic chest CTs, computed from random numbers by the project; Apache-2.0, no person's scan.\n"
PUBLIC_LICENCE = """\
COVID-19 CT Lung and Infection Segmentation Dataset (Ma et al. 2020), https://zenodo.org/records/3757476
The terms are stated there. Its scans are from Coronacases.org and Radiopaedia.org and have non-commercial licences.
The weights of this bundle were trained on them.
"""
UNKNOWN_LICENCE = """\
The scans that the weights of this bundle were trained on belong to whoever exported it.
Their terms are NOT STATED: state them here before this bundle is published.
"""
NO_DATA = "The weights of this bundle are initial ones: no data was used.\n"


def data_license(source: Source) -> str:
    """The terms of the data that the weights are from, as far as the data set is one that is known."""
    if source.datalist is None:
        return NO_DATA
    if source.own_terms:
        return source.own_terms
    if source.on_phantom:
        return PHANTOM_LICENCE
    return PUBLIC_LICENCE if source.datalist["layout"] in ("zenodo", "kaggle") else UNKNOWN_LICENCE


def readme(source: Source, metadata: Mapping[str, Any]) -> str:
    """The page that describes a bundle."""
    sections = {
        "Authors": metadata["authors"],
        "Tags": TAGS,
        "Model Description": _networks(source, metadata),
        "Data": _data(source),
        "Preprocessing": "\n\n".join(_preprocessing(member) for member in source.members),
        "Performance": _performance(source),
        "Usage": _usage(source),
        "System Configuration": _system(source, metadata),
        "Limitations": _limitations(source),
        "Citation Info": "Please cite the papers below, and that of the network, which is named above.",
        "References": "\n".join(f"- {reference}" for reference in metadata["references"]),
    }
    text = "\n\n".join(f"## {name}\n\n{content}" for name, content in sections.items())
    return f"# {metadata['name']}\n\n{metadata['description']}.\n\n{text}\n"


def _networks(source: Source, metadata: Mapping[str, Any]) -> str:
    names = dict.fromkeys([source.network, *(member.stage.network for member in source.members)])
    pages = [_network_page(name) for name in names if (BUNDLES / name / "docs" / "README.md").is_file()]
    labels = f"Label files hold {metadata['pred_classes']}, on exactly the scan's own grid."
    return "\n\n".join([*([_members(source)] if source.is_ensemble else []), *pages, labels])


def _members(source: Source) -> str:
    """What an ensemble is made of, and how its members agree."""
    config = source.last.inference
    weights = f", with weights {', '.join(map(str, config['weights']))}" if config["weights"] else ""
    how = (
        f"the mean of their probabilities decides{weights}"
        if config["method"] == MEAN
        else "each has one vote for its likeliest class, and the mean probability decides a tie"
    )
    folds = ", ".join(f"`members.{place}` fold {fold}" for place, fold in enumerate(source.folds))
    parts = [
        f"**An ensemble** of {len(source.folds)} networks that were trained each without another part of the patients: "
        f"{folds} of one run. They meet in every window, method `{config['method']}`: {how}. "
        "`models/model.pt` is the state dict of all. After the classes the network has a last channel, the share of "
        "the members that chose another class than the ensemble; `uncertainty/<scan>` beside the label files has it."
    ]
    for member in source.members[:-1]:
        parts.append(f"As many networks of these folds are its first stage, `models/{member.stage.name}_fold*.pt`.")
    return "\n\n".join(parts)


def _network_page(network: str) -> str:
    """A network's page in the project, without its title, its commands and its links to other files."""
    page = (BUNDLES / network / "docs" / "README.md").read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    plain = re.sub(r"\[([^\]]+)\]\((?!http)[^)]*\)", r"\1", prose)
    blocks = re.split(r"\n(?=- )|\n{2,}", plain.partition("\n")[2].strip())
    kept = [block.strip() for block in blocks if block.strip() and not OF_THE_PROJECT.search(block)]
    items = "\n".join(block for block in kept if block.startswith("- "))
    return "\n\n".join([*(block for block in kept if not block.startswith("- ")), *([items] if items else [])])


def _data(source: Source) -> str:
    facts = [f"Trained on: {data_source(source)}. Their terms are in `docs/data_license.txt`."]
    if source.datalist is not None:
        cases = source.datalist["training"]
        patients = len({case["patient_id"] for case in cases})
        train = source.last.train
        facts.append(
            f"{len(cases)} scans of {patients} patients in {train['folds']} folds, split `{train['split']}` with seed "
            f"{train['seed']}; {_left_out(source)}."
        )
    facts.append(
        "Folders to train on: `images/` + `labels/` with equal file names, nnU-Net's raw folders, "
        "Decathlon's `dataset.json`, or the public 20 CTs as on Zenodo. Label codes are 0 background, 1 left lung, 2 "
        "right lung, 3 infection, or in its place 4 ground-glass opacity and 5 consolidation."
    )
    return "\n\n".join(facts)


def _left_out(source: Source) -> str:
    if source.is_of_all:
        return "these weights were trained on all of them, and each fold's own model on all but its fold"
    if not source.is_ensemble:
        return f"these weights were trained on all folds but fold {source.folds[0]}"
    folds = ", ".join(map(str, source.folds))
    return f"each member was trained on all folds but its own, fold {folds}, so that every patient was seen by a member"


def _preprocessing(member: Member) -> str:
    config, train = member.inference, member.train
    low, high = config["window_hu"]
    millimetres = " x ".join("as scanned" if length == 0 else f"{length:g} mm" for length in config["spacing_mm"])
    what = "slices" if config["spatial_dims"] == 2 else "patches"
    lines = [
        "left, back, head as axes; intensities in Hounsfield units, or in 0..255 lung-window grey, which is recognised",
        f"clipped to [{low}, {high}] HU and rounded to 256 grey levels",
        f"resampled to {millimetres}",
        NORMALISED[config["normalisation"]],
        f"trained on {what} of {' x '.join(map(str, member.size))}",
    ]
    if config["within_lungs"]:
        lines.append("everything outside the lungs, which another network finds, is air")
    if config.get("guided"):
        lines.append("a second channel shows the infection that another network finds")
    training = ", ".join(f"`{key}` {train[key]}" for key in TRAINING_KEYS)
    stage = member.stage.name.replace("_", " ").capitalize()
    title = f"{stage}, `{member.stage.network}`" if stage else "Each scan"
    return "\n".join([f"{title}:", "", *(f"- {line}" for line in lines), "", f"Training: {training}."])


def _performance(source: Source) -> str:
    if source.run is None:
        return UNTRAINED
    parts = [SYNTHETIC] if source.on_phantom else []
    if source.summary is None:
        return "\n\n".join([*parts, UNFINISHED])
    parts.append(
        f"Cross-validation, {source.summary['cases']} scans of {source.summary['patients']} patients, each segmented "
        "by the model that was not trained on that patient; mean ± standard deviation over scans, on their own grids:"
    )
    parts.append(_summary_table(source.summary["structures"]))
    if source.is_ensemble:
        parts += [ENSEMBLE_UNMEASURED, *_external(source)]
    elif source.is_of_all:
        parts.append(OF_ALL_UNMEASURED)
    elif fold := _fold_table(source):
        parts += [f"Of these weights alone, on the scans of fold {source.folds[0]}, which they have not seen:", fold]
    parts.append(f"{source.summary['empty_rule']}.")
    if source.evidence.of_bundle:
        parts.append(EVIDENCE)
    return "\n\n".join(parts)


def _external(source: Source) -> list[str]:
    """What a leave-one-patient-out run measured on an external test set."""
    scores = external_scores(source)
    if not scores:
        return [UNMEASURED]
    structures = list(scores[0]["dice"])
    rows = [["who votes", "patients", *(name.replace("_", " ") for name in structures)]]
    for score in scores:
        dice = [_mean_and_deviation(score["dice"].get(name, {})) for name in structures]
        rows.append([score["who"], str(score["patients"]), *dice])
    return [f"Of the ensemble and its members, on {scores[0]['patients']} {EXTERNAL_CAPTION}", markdown(rows)]


def _summary_table(structures: Mapping[str, Any]) -> str:
    measures = [name for name in MEASURES if any(name in scores for scores in structures.values())]
    rows = [["structure", *(MEASURES[name] for name in measures)]]
    for structure, scores in structures.items():
        rows.append([structure.replace("_", " "), *(_mean_and_deviation(scores.get(name, {})) for name in measures)])
    return markdown(rows)


def _mean_and_deviation(spread: Mapping[str, float | None]) -> str:
    mean, deviation = spread.get("mean"), spread.get("std")
    if mean is None:
        return "-"
    return f"{mean:.3f}" if deviation is None else f"{mean:.3f} ± {deviation:.3f}"


def _fold_table(source: Source) -> str:
    """Mean Dice of the cases of the exported fold; empty where the run has no table of its cases."""
    mine = [row for row in source.case_rows if int(row["fold"]) == source.folds[0]]
    structures = dict.fromkeys(row["structure"] for row in mine)
    rows = [["structure", "mean Dice", "scans"]]
    for structure in structures:
        dice = [float(row["dice"]) for row in mine if row["structure"] == structure and row["dice"] != ""]
        rows.append([structure.replace("_", " "), f"{statistics.fmean(dice):.3f}" if dice else "-", str(len(dice))])
    return markdown(rows) if structures else ""


def _usage(source: Source) -> str:
    name = source.name
    configs = f"{name}/configs"
    trained = "--member_files \"['out/fold0/model.pt']\"" if source.is_ensemble else "--model_file out/fold0/model.pt"
    commands = {
        "Segment scans, a file or a folder (`.nii.gz`, `.nii`, `.mha`, `.nrrd`)": (
            f"python -m monai.bundle run --config_file {configs}/inference.json \\\n"
            "  --dataset_dir scans --output_dir labels"
        ),
        ("Train a fresh member" if source.is_ensemble else "Train one fold of five"): (
            f"python -m monai.bundle run --config_file {configs}/train.json \\\n"
            "  --dataset_dir data --output_dir out --fold 0 --folds 5"
        ),
        "Measure weights on the scans of that fold": (
            f"python -m monai.bundle run --config_file \"['{configs}/train.json','{configs}/{EVALUATE}.json']\" \\\n"
            f"  --dataset_dir data --output_dir out --fold 0 --folds 5 {trained}"
        ),
        "Train on several GPUs": (
            "torchrun --standalone --nproc_per_node 2 -m monai.bundle run \\\n"
            f"  --config_file \"['{configs}/train.json','{configs}/{MULTI_GPU}.json']\" \\\n"
            "  --dataset_dir data --output_dir out"
        ),
    }
    for member in source.members[:-1]:
        first = member.stage.name
        commands[f"Train the network that finds the {first.replace('_map', '')} first"] = (
            f"python -m monai.bundle run --config_file {configs}/train_{first}.json \\\n"
            f"  --dataset_dir data --output_dir out_{first}"
        )
    blocks = [f"{what}:\n\n```bash\n{command}\n```" for what, command in commands.items()]
    return "\n\n".join(
        [
            "The commands run from any folder; paths are relative to it. A configuration is code: read it first.",
            *([FRESH_MEMBER] if source.is_ensemble else []),
            *blocks,
            f"The code is the package `{source.package}` in this folder; the configurations put it on Python's path.",
        ]
    )


def _system(source: Source, metadata: Mapping[str, Any]) -> str:
    packages = {
        "monai": metadata["monai_version"],
        "torch": metadata["pytorch_version"],
        "numpy": metadata["numpy_version"],
        **metadata["required_packages_version"],
    }
    listed = " ".join(f"{name}=={version}" for name, version in packages.items())
    parts = [f"Exported with:\n\n```bash\npip install {listed}\n```"]
    if source.trainings:
        every = source.trainings
        seconds, epochs, steps = (sum(one[name] for one in every) for name in ("seconds", "epochs", "steps"))
        # Where a system did not tell, nobody knows
        known = [one["peak_memory_mib"] for one in every if one["peak_memory_mib"] is not None]
        memory = f"{max(known)} MiB of memory" if known else "an unknown amount of memory"
        what = f"The {len(every)} members' trainings took" if source.is_ensemble else "The last training took"
        parts.append(
            f"{what} {duration(seconds)} ({epochs} epochs, {steps} steps) and {memory}, on `{every[-1]['device']}`."
        )
    return "\n\n".join(parts)


def _limitations(source: Source) -> str:
    items = [
        "Research only. Not a medical device: do not use it for diagnosis.",
        "Made for non-contrast chest CT of adults; other scans, and diseases that look alike, were not tried.",
    ]
    if source.run is None:
        items.insert(0, UNTRAINED)
    if source.on_phantom:
        items.insert(0, SYNTHETIC)
    return "\n".join(f"- {item}" for item in items)
