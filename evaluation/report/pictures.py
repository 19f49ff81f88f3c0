"""The pictures of a run's cases: drawings of the worst, the median and the best, and slices for the viewer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evaluation.report.atlas import KNOTS, REFERENCE_FACTOR, atlas
from evaluation.report.panels import LUNG_WINDOW, Panels, panels
from evaluation.report.run import Run
from evaluation.report.shown import Shown, evenly, landmarks, ranking, ranking_structure, worst_and_evenly
from evaluation.report.stack import Stack, cropped, fullest_slice, read_stack, thinned
from evaluation.report.tables import name_of
from pipeline.core.labels import CODES, LabelMap
from pipeline.core.text_table import number

SLICES, PIXELS = 64, 256
# Of all scans in the viewer together; base64 makes a third more of it
SCAN_BYTES = 3_300_000
WINDOW_HU = (-1250.0, 250.0)
# Name -> level and width in HU
WINDOWS = {"lung": LUNG_WINDOW, "mediastinum": (40, 400)}


class Picture(NamedTuple):
    """A case in the viewer; `panels` for those that are drawn too."""

    shown: Shown
    rank: str
    panels: Panels | None
    slices: Mapping[str, Any]


def chosen_cases(run: Run, count: int) -> list[Shown]:
    """At most `count` cases that have all files, from the worst to the best; as they stand where nothing ranks them.

    The worst are among them, see `worst_and_evenly`.
    """
    structure = _structure(run)
    ranked = ranking(run.rows, structure) if structure else []
    cases = ranked or list(dict.fromkeys(Shown(row["case"], row["fold"], math.nan) for row in run.rows))
    there = [shown for shown in cases if all(file.is_file() for file in case_files(run, shown.case))]
    return worst_and_evenly(there, count) if ranked else evenly(there, count)


def case_files(run: Run, case: str) -> tuple[Path, Path, Path]:
    """Scan, reference and prediction of a case; paths that do not exist where the datalist does not know it."""
    entry = run.cases.get(case, {"image": case, "label": case})
    return run.dataset_dir / entry["image"], run.dataset_dir / entry["label"], run.prediction(case)


def pictures(run: Run, cases: Sequence[Shown]) -> Iterator[Picture]:
    """Of each case in turn; one scan at a time is in memory."""
    structure = _structure(run)
    ranks = {shown: name for name, shown in landmarks(ranking(run.rows, structure)).items()} if structure else {}
    labels, window_hu = run.label_map, run.settings.get("window_hu", WINDOW_HU)
    lungs = [number for name, numbers in labels.structures.items() if "lung" in name for number in numbers]
    viewed = structure or next(iter(labels.structures))
    for place, shown in enumerate(cases):
        files, probability = case_files(run, shown.case), run.probability(shown.case)
        likely = probability if probability.is_file() else None
        codes = run.cases.get(shown.case, {}).get(CODES)
        stack = cropped(read_stack(*files, shown.case, labels, window_hu, likely, codes), lungs)
        rank = ranks.get(shown, "")
        drawn = panels(stack, labels.structures, viewed, shown.case, f"scan-{place}") if rank else None
        yield Picture(shown, rank, drawn, _slices(stack, shown, labels.structures[viewed], len(cases)))


def _structure(run: Run) -> str | None:
    return ranking_structure(run.label_map.structures) if run.rows else None


def _slices(stack: Stack, shown: Shown, classes: Sequence[int], cases: int) -> dict[str, Any]:
    return slices(stack, shown.case, classes, SCAN_BYTES // cases)


def slices(stack: Stack, case: str, classes: Sequence[int], most_bytes: int = SCAN_BYTES) -> dict[str, Any]:
    """A case for the viewer, which begins at the slice with most of some classes."""
    few = thinned(stack, SLICES, PIXELS)
    return {**atlas(few, most_bytes), "case": case, "start": fullest_slice(few, classes), "grey": stack.grey}


def viewer_settings(run: Run) -> dict[str, Any]:
    """Of a run's viewer: beside those of its label map the structures that can be compared, the ranking one first."""
    labels, first = run.label_map, _structure(run)
    structures = sorted(labels.structures, key=lambda name: name != first)
    compared = [{"name": name_of(name), "classes": labels.structures[name]} for name in structures]
    return {**label_settings(labels, run.settings.get("window_hu", WINDOW_HU)), "structures": compared}


def label_settings(labels: LabelMap, window_hu: Sequence[float]) -> dict[str, Any]:
    """What the viewer must know beside the cases: windows, classes, and how the pictures are coded.

    There are no structures in it, so there is no reference to compare with.
    """
    low, high = window_hu
    windows = {**WINDOWS, "network's own": ((low + high) / 2, high - low)}
    return {
        "knots": KNOTS,
        "referenceFactor": REFERENCE_FACTOR,
        "windows": [{"name": name, "level": level, "width": width} for name, (level, width) in windows.items()],
        "structures": [],
        "classes": [
            {"name": name_of(name), "colour": colour}
            for name, colour in zip(labels.classes, _colours(labels.classes), strict=True)
        ],
    }


def _colours(classes: Iterable[str]) -> list[str]:
    """The style sheet's name of each class's colour; an infection always has the same, consolidation one of its own."""
    lungs = iter(("lung-1", "lung-2"))
    infected = dict.fromkeys(("infection", "abnormal", "ground_glass_opacity"), "infection")
    known = {"background": "", "consolidation": "consolidation", **infected}
    return [known[name] if name in known else next(lungs, "lung-2") for name in classes]


def option_text(picture: Picture) -> str:
    """How the viewer's list calls a case: `phantom_04, Dice 0.285, worst`."""
    shown = picture.shown
    dice = "" if math.isnan(shown.dice) else f"Dice {number(shown.dice)}"
    return ", ".join(part for part in (shown.case, dice, picture.rank) if part)
