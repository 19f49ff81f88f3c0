"""The card of the starter model, written from the results of its cross-validation alone: it cannot differ from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.measures.cases import Row, read_metrics_csv
from evaluation.measures.flags import FAILED_BELOW
from evaluation.statistics.findings import read_findings, severity_worth
from evaluation.statistics.intervals import estimate, patient_means
from pipeline.core.atomic import read_json
from pipeline.core.progress_bar import duration
from pipeline.core.run_files import DATALIST, METRICS_FILE
from pipeline.core.temperature import read_temperature
from pipeline.core.text_table import markdown
from pipeline.inference.starter_model import in_words
from pipeline.scans.intensity import GREY_255, HOUNSFIELD
from pipeline.training.checkpoint import FINISHED

COLUMNS = ("infection", "lungs", "left_lung", "right_lung")
STRUCTURES = ("lungs", "infection", "left_lung", "right_lung")
DOMAINS = {HOUNSFIELD: "Hounsfield units", GREY_255: "grey levels"}
UNKNOWN_SOURCE = {"what": "of a source that nobody named", "licence": "NOT STATED"}

Case = Mapping[str, Any]


def card(model: Path, described: Mapping[str, Any]) -> str:
    """Markdown, of a folder that `pipeline.runs.starter.lay_down` has filled but for its pages."""
    cases = read_json(model / DATALIST)["training"]
    rows = read_metrics_csv(model / METRICS_FILE)
    trained = read_json(next(model.glob(f"fold*/{FINISHED}")))
    sections = {
        "Use": _use(),
        "Not for": "\n".join(f"- {each}" for each in described["not_for"]),
        "What it was trained on": _sources(cases, described),
        "What it is worth": _worth(rows, cases, described),
        "Every scan, the worst first": _every_scan(rows, cases),
        "How sure it is": _how_sure(model, rows),
        "What the flags were worth": _flags(model, rows),
        "How to make it again": _again(described, trained),
        "Licence": _licence(described),
    }
    parts = "\n\n".join(f"## {name}\n\n{content}" for name, content in sections.items())
    return (
        f"# {described['name']}\n\n"
        "Left lung, right lung and COVID-19 infection in chest CT: weights that work without labels of your own.\n"
        f"**Research only. Not a medical device.**\n\n{parts}\n"
    )


def _use() -> str:
    return (
        "```bash\nmake predict INPUT=scan.nii.gz        # or a DICOM folder, a zip file, a folder of scans\n"
        "pneumobundle predict scan.nii.gz\n```\n\n"
        "Both take this model where no MODEL is given. Look at the page beside each label, and at its flags first."
    )


def _sources(cases: Sequence[Case], described: Mapping[str, Any]) -> str:
    table = [["scans", "what", "licence"]]
    for source, mine in by_source(cases, described):
        table.append([in_words(mine), source["what"], source["licence"]])
    return f"{in_words(cases)}.\n\n{markdown(table)}"


def by_source(cases: Iterable[Case], described: Mapping[str, Any]) -> list[tuple[Mapping[str, str], list[Case]]]:
    """The sources that have cases, each with them, in the order in which the description names them."""
    found: dict[str, tuple[Mapping[str, str], list[Case]]] = {}
    for case in cases:
        source = next((one for one in described["sources"] if fnmatch(case["case"], one["cases"])), UNKNOWN_SOURCE)
        found.setdefault(source["what"], (source, []))[1].append(case)
    order = [source["what"] for source in (*described["sources"], UNKNOWN_SOURCE)]
    return sorted(found.values(), key=lambda each: order.index(each[0]["what"]))


def _worth(rows: Sequence[Row], cases: Sequence[Case], described: Mapping[str, Any]) -> str:
    domain_of = {case["case"]: DOMAINS[case["intensity"]] for case in cases}
    domains = ["all", *sorted({*domain_of.values()})]
    table = [["structure", "scans", "patients", "Dice, mean", "95 % interval", "median", "worst"]]
    for structure in STRUCTURES:
        for domain in domains:
            mine = [
                row
                for row in rows
                if row["structure"] == structure
                and row["reference_ml"] > 0
                and domain in ("all", domain_of[row["case"]])
                and not math.isnan(row["dice"])
            ]
            if mine:
                table.append([f"{structure.replace('_', ' ')}, {domain}", str(len(mine)), *_estimated(mine)])
    return (
        f"{described['folds']} folds by patient: each scan was segmented by a model that was trained without its "
        f"patient. {_longer(described)}Means over patients, on the scans' own grids; `lungs` are the voxels labelled "
        "as lung, without the infected ones. Only scans that have a structure count. Intervals are of other patients "
        f"like these (bootstrap); of so few they are too narrow.\n\n{markdown(table)}"
    )


def _longer(described: Mapping[str, Any]) -> str:
    times = described["times_as_long_on_all"]
    if times == 1:
        return ""
    return (
        f"This one was trained on all, {times:g} times as long: nothing measures what that changes, and these figures "
        "are of the shorter trainings. "
    )


def _estimated(rows: Sequence[Row]) -> list[str]:
    means = patient_means((row["patient_id"], row["dice"]) for row in rows)
    mean = estimate(means.values(), np.mean)
    interval = "-" if mean.low is None or mean.high is None else f"{mean.low:.3f} to {mean.high:.3f}"
    return [
        str(len(means)),
        f"{mean.value:.3f}",
        interval,
        f"{np.median(list(means.values())):.3f}",
        f"{min(row['dice'] for row in rows):.3f}",
    ]


def _every_scan(rows: Sequence[Row], cases: Sequence[Case]) -> str:
    """By the Dice of the infection, then scans without infection by that of the lungs."""
    by_case = {(row["case"], row["structure"]): row for row in rows}
    table = [["scan", "intensities", "infection, ml", "infection", "lungs", "left lung", "right lung"]]
    # Not the slices, which no fold holds out
    scored = [case for case in cases if any((case["case"], name) in by_case for name in COLUMNS)]
    ordered = sorted(
        scored, key=lambda case: [_last(by_case.get((case["case"], name))) for name in ("infection", "lungs")]
    )
    for case in ordered:
        scores = [_shown(by_case.get((case["case"], name))) for name in COLUMNS]
        domain = DOMAINS[case["intensity"]]
        table.append([case["case"], domain, f"{case['volume_ml']['infection']:.0f}", *scores])
    return (
        "Dice of each held-out scan; where the scan has no such structure, the millilitres found all the same."
        f"\n\n{markdown(table)}"
    )


def _last(row: Row | None) -> float:
    return math.inf if row is None or not row["reference_ml"] else float(row["dice"])


def _shown(row: Row | None) -> str:
    if row is None:
        return "-"
    return f"{row['dice']:.3f}" if row["reference_ml"] else f"none; {row['prediction_ml']:.0f} ml found"


def _how_sure(model: Path, rows: Sequence[Row]) -> str:
    """How far the infected share of the lungs was off, and the temperature."""
    found = severity_worth(read_findings(model), rows)
    sentences = [*(found.sentences if found else ())]
    if temperature := read_temperature(model):
        sentences.append(
            f"Its probabilities of infection, as PROBABILITIES=1 writes them, are tempered by "
            f"{temperature.temperature:.2f}, fitted on the {temperature.patients} held-out patients; over 1 says that "
            "the network itself is too sure."
        )
    return "\n".join(f"- {sentence}" for sentence in sentences) or "Nobody has measured it."


def _flags(model: Path, rows: Sequence[Row]) -> str:
    """How often each flag was raised among failed scans and among others."""
    infection = {row["case"]: row["dice"] for row in rows if row["structure"] == "infection" and row["reference_ml"]}
    failed = {case for case, dice in infection.items() if dice < FAILED_BELOW}
    others = {case for case, dice in infection.items() if dice >= FAILED_BELOW}
    raised = [(flag.limits.name, found.case) for found in read_findings(model) for flag in found.flags if flag.raised]
    table = [["flag", f"raised in {len(failed)} failed scans", f"in {len(others)} others"]]
    for flag in ("any", *sorted({flag for flag, _ in raised})):
        of = {case for name, case in raised if flag in ("any", name)}
        table.append([flag.replace("_", " "), str(len(of & failed)), str(len(of & others))])
    return f"A scan failed where the Dice of its infection is below {FAILED_BELOW:g}.\n\n{markdown(table)}"


def _again(described: Mapping[str, Any], trained: Mapping[str, Any]) -> str:
    return (
        f'```bash\nmake starter DATA="scans more_scans"\n```\n\nIt cross-validates `{described["network"]}` with '
        f"`{described['preset']}`, trains on all scans, and writes this folder; `bundles/common/starter.yaml` says "
        f"what. This training took {duration(trained['seconds'])} ({trained['steps']} steps) on "
        f"`{trained['device']}`. `make bundle NETWORK={described['network']} RUN=models/{described['name']}` makes a "
        "bundle of the Model Zoo of it."
    )


def _licence(described: Mapping[str, Any]) -> str:
    return (
        f"The weights are under [{described['weights_licence']}]({described['weights_licence_url']}), the strictest "
        "terms of what they were trained on: whether the licence of images reaches a model that was trained on them is "
        "not settled. The code is under Apache-2.0."
    )


def data_license(datalist: Mapping[str, Any], described: Mapping[str, Any]) -> str:
    """The text that goes with the weights into bundles."""
    lines = [
        f"The weights of this model are under {described['weights_licence']}, {described['weights_licence_url']}",
        "It is not settled whether the licence of images reaches a model that was trained on them; these are the",
        "strictest terms of what the weights were trained on. The code is under Apache-2.0.",
        "",
        "Trained on:",
    ]
    for source, mine in by_source(datalist["training"], described):
        lines.append(f"- {len(mine)} of: {source['what']}. Licence: {source['licence']}.")
    return "\n".join(lines) + "\n"
