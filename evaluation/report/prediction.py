"""The page of one segmented scan without a reference: severity, what speaks against it, and the slices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from evaluation.report.page import KeyNumber, Section, document, note, paragraph, part, program
from evaluation.report.panels import PIXELS, WIDTH, drawing, labels, scan_picture
from evaluation.report.pictures import label_settings, slices
from evaluation.report.stack import Stack, cropped, fullest_slice, thinned
from evaluation.report.tables import ABSENT, Table, key_value_table, name_of, text_cells
from evaluation.tables.severity_table import SEVERITY_RULE
from pipeline.core.labels import LabelMap

USE = (
    "For research only. Not a medical device: no picture and no number on this page is for the care of a patient. "
    "Written by a program, looked at by nobody."
)
GLANCES = 4
PICTURE_NOTE = (
    "The pictures are reduced, 8-bit and compressed: to look at, not to measure or to diagnose. All numbers were "
    "computed on the scanner's own grid."
)
NO_FLAGS = "None of the signs that a segmentation failed was found, which does not mean that it is right."


def prediction_page(manifest: Mapping[str, Any], stack: Stack, label_map: LabelMap, window_hu: Sequence[float]) -> str:
    """The page as text, of a case's manifest and its slices; it is the same whenever and wherever it is made."""
    found = manifest["severity"]
    lungs = [number for name, numbers in label_map.structures.items() if "lung" in name for number in numbers]
    infection = label_map.infection_classes
    shown = cropped(stack, lungs)
    raised = [flag for flag in manifest["flags"] if flag["raised"]]
    every = [
        _look_first(raised, manifest["flags"], manifest["warnings"]),
        _glance(shown, lungs, infection, manifest["case"]),
        Section("slices", "Slices", _viewer(shown, manifest["case"], label_map, window_hu)),
        _severity(found),
        _how(manifest),
    ]
    signs = f"{len(raised)} sign{'s' if len(raised) > 1 else ''} that this segmentation may be wrong: look first."
    return document(
        title=manifest["case"],
        subtitle=f"Chest CT, segmented by {_called(manifest['model'])}. For research only, not a medical device.",
        remarks=[*([signs] if raised else []), *manifest["warnings"]],
        key_numbers=_key_numbers(found),
        sections=[section for section in every if section],
        footer=f"Written by {program()}. {USE}",
    )


def _called(model: Mapping[str, Any]) -> str:
    name = str(model.get("network") or model.get("bundle") or "a model")
    members = model.get("members", ())
    return f"{len(members)} models together ({name})" if len(members) > 1 else name


def _key_numbers(found: Mapping[str, Any]) -> list[KeyNumber]:
    interval, percent = found.get("lungs_percent_interval"), found.get("lungs_percent")
    between = "of both lungs' volume"
    if interval:
        between = f"{interval[0]:.1f} to {interval[1]:.1f} %, {found['interval_level_percent']} % interval"
    told = found.get("grades_told") or "by the worse lung"
    return [
        KeyNumber("infected share of the lungs", ABSENT if percent is None else f"{percent:.1f} %", between),
        KeyNumber("CT grade", found.get("grade") or ABSENT, told),
        KeyNumber("infection", _ml(found.get("infection_ml")), "volume"),
        KeyNumber("lungs", _ml(found.get("lungs_ml")), "volume, infection included"),
    ]


def _ml(volume_ml: float | None) -> str:
    return ABSENT if volume_ml is None else f"{volume_ml:,.0f} ml"


def _look_first(
    raised: Sequence[Mapping[str, Any]], flags: Sequence[Mapping[str, Any]], warned: Sequence[str]
) -> Section | None:
    if not flags and not warned:
        return None
    sentences = [*(flag["sentence"] for flag in raised), *warned]
    body = part("sentences", sentences=sentences) if sentences else paragraph(NO_FLAGS)
    quiet = [flag["sentence"] for flag in flags if not flag["raised"]]
    if quiet:
        body += part("details", summary="What else was looked at", body=part("sentences", sentences=quiet))
    return Section("signs", "Signs that something is wrong", body)


def _glance(stack: Stack, lungs: Sequence[int], infection: Sequence[int], case: str) -> Section:
    figures = [
        {"drawing": drawn, "name": f"slice {number} of {stack.of}", "detail": ""}
        for drawn, number in _drawings(stack, lungs, infection, case)
    ]
    told = "Infection in orange, outlines of the lungs in blue. Slices count from the feet; lung window, -600/1500 HU."
    return Section("glance", "At a glance", part("pictures", figures=figures, kind="panels") + note(told))


def _drawings(stack: Stack, lungs: Sequence[int], infection: Sequence[int], case: str) -> Iterator[tuple[Markup, int]]:
    """Slices spread over what was found, that with the most infection among them, from the feet up."""
    labelled = np.flatnonzero((stack.prediction > 0).any((1, 2)))
    first, last = (labelled[0], labelled[-1]) if len(labelled) else (0, len(stack.hu) - 1)
    spread = np.linspace(first, last, GLANCES + 2)[1:-1].round().astype(int).tolist()
    fullest = fullest_slice(stack, list(infection) or list(lungs))
    nearest = min(range(len(spread)), key=lambda place: abs(spread[place] - fullest))
    spread[nearest] = fullest
    few = thinned(stack.taken(sorted({*spread})), GLANCES, PIXELS)
    others = sorted({*lungs} - {*infection})
    for hu, predicted, number in zip(few.hu, few.prediction, few.numbers, strict=True):
        height = WIDTH * hu.shape[0] / hu.shape[1]
        drawn = labels(predicted, others, np.isin(predicted, infection))
        yield drawing(f"{case}, slice {number}", height, (scan_picture(hu), *drawn)), number


def _viewer(stack: Stack, case: str, label_map: LabelMap, window_hu: Sequence[float]) -> Markup:
    classes = label_map.infection_classes or list(range(1, len(label_map.classes)))
    shown = [{"slices": slices(stack, case, classes)}]
    body = part("viewer", settings=label_settings(label_map, window_hu), pictures=shown, options=[case])
    return body + note(PICTURE_NOTE)


def _severity(found: Mapping[str, Any]) -> Section:
    rows = [
        text_cells((name, _ml(found.get(f"{key}_ml")), _percent(found.get(f"{key}_percent"))))
        for name, key in (("right lung", "right"), ("left lung", "left"), ("both lungs", "lungs"))
    ]
    columns = ("", "volume, infection included", "infected share")
    body = part("table", table=Table("Infected share of the lungs", columns, rows))
    if ends := found.get("lungs_percent_interval"):
        body += paragraph(f"Share of both lungs: {ends[0]:.1f} to {ends[1]:.1f} %. {found['interval']}.")
    else:
        body += paragraph(f"There is no interval: {found['interval']}.")
    if told := found.get("grades_told"):
        counts = found["grades_right"]
        right = f"The grade was right in {counts['right']} of {counts['of']} held out of this model's run."
        body += paragraph(f"CT grade: {told}. {right}")
    volumes = [text_cells((name_of(name), _ml(ml))) for name, ml in found["volumes_ml"].items()]
    body += part("table", table=Table("Volumes as labelled", ("structure", "volume"), volumes))
    return Section("severity", "Severity", body + note(f"Rule: {SEVERITY_RULE}."))


def _percent(share: float | None) -> str:
    return ABSENT if share is None else f"{share:.1f} %"


def _how(manifest: Mapping[str, Any]) -> Section:
    scan, model = manifest["input"], manifest["model"]
    groups = {
        "Scan": {
            "voxels": " x ".join(map(str, scan["size"])),
            "voxel (mm)": " x ".join(f"{length:.3g}" for length in scan["spacing_mm"]),
            "intensities": {"hu": "Hounsfield units", "grey255": "grey 0 to 255"}[scan["intensity"]],
            "SHA-256": scan["sha256"],
        },
        "Model": {
            key: " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            for key, value in model.items()
            if value
        },
        "Machine and software": {"device": manifest["device"], **manifest["made_with"]},
    }
    tables = [part("table", table=key_value_table(name, facts)) for name, facts in groups.items()]
    return Section("how", "How it was made", Markup('<div class="facts">{}</div>').format(Markup("").join(tables)))
