"""The data card: one HTML page with a picture of every case, what the set holds, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from evaluation.report.box_plot import BoxRow, box_plot
from evaluation.report.cross_validation import USE
from evaluation.report.facts import DOMAINS, hash_table
from evaluation.report.page import KeyNumber, Section, document, note, paragraph, part, program
from evaluation.report.shown import evenly
from evaluation.report.tables import ABSENT, Cell, Table, share_cell, text_cells, volume_cell
from pipeline.check_data.balance_plot import BALANCED, balance_plot, infected_share
from pipeline.check_data.check import Checked
from pipeline.check_data.finding import ERROR, LEVELS, NOTE, WARNING, Finding, of_level
from pipeline.check_data.histogram_plot import Histogram, histogram, histogram_plot
from pipeline.check_data.montage import Tile, tile
from pipeline.core.atomic import replacing
from pipeline.core.progress_bar import progress_bar
from pipeline.folders.layouts import Listing
from pipeline.folders.left_out import LeftOut
from pipeline.folders.several import set_name
from pipeline.scans.intensity import GREY_255, HOUNSFIELD
from pipeline.scans.scan import read_label, read_scan

CARD = "card.html"
# More pictures make a page that no browser shows quickly
MOST_PICTURES = 120
LEGEND = {"left lung": "lung-1", "right lung": "lung-2", "infection": "infection", "consolidation": "consolidation"}
FINDINGS_NOTE = (
    "An error: the case cannot be trained on or evaluated honestly, and training refuses it. A warning: look at it. A "
    "note: nothing to do. REPAIR=folder writes a copy of the data set with those files mended of which it is said here."
)
NOTHING_SERIOUS = "No error and no warning was found."
MONTAGE_NOTE = (
    "Each case: the slice with the most infection, or lung where there is none, in the lung window (-600/1500 HU). The "
    "outlines are those of the labels. The pictures are reduced, 8-bit and compressed: to look at, not to measure."
)
HISTOGRAM_NOTE = (
    "A line is a case: the share of its voxels in each of the steps along the axis, air around the patient included; "
    "padding below the axis is left out. Dashed: cases with an error or a warning."
)
SPACING_NOTE = "A dot is a case. Distances are those of the files' headers."
BALANCE_NOTE = (
    "Volumes of the labels; infection of any kind is not counted as lung. Infected share: of lungs and infection "
    "together."
)


class Seen(NamedTuple):
    """What the card shows of a case that it could read."""

    checked: Checked
    tile: Tile
    histogram: Histogram | None


def write_card(
    file: Path,
    listing: Listing,
    folder: Path,
    checked: Sequence[Checked],
    findings: Sequence[Finding],
    left_out: Sequence[LeftOut] = (),
) -> None:
    """Write the page; the scans are read again for their pictures, two at a time."""
    readable = [one for one in checked if "size" in one.entry]
    chosen = evenly(readable, MOST_PICTURES)
    with ThreadPoolExecutor(max_workers=2) as readers:
        seen = list(progress_bar(readers.map(_look, chosen), len(chosen), "drawing"))
    page = card(listing, folder, checked, findings, seen, left_out)
    with replacing(file) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _look(one: Checked) -> Seen:
    image = read_scan(one.case.image)
    label = None
    if one.case.label is not None and "volume_ml" in one.entry:
        label = read_label(one.case.label, one.case.codes)
        label = label if label.GetSize() == image.GetSize() else None
    domain = one.entry["intensity"]
    return Seen(one, tile(image, label, domain, one.case.name), histogram(image) if domain else None)


def card(
    listing: Listing,
    folder: Path,
    checked: Sequence[Checked],
    findings: Sequence[Finding],
    seen: Sequence[Seen],
    left_out: Sequence[LeftOut] = (),
) -> str:
    """The page as text."""
    patients = len({one.case.patient_id for one in checked})
    return document(
        title=f"Data card of {set_name([*listing.by_folder(folder)])}",
        subtitle=f"{len(checked)} cases of {patients} patients, layout {listing.layout}",
        key_numbers=[
            KeyNumber("cases", str(len(checked)), f"of {patients} patients"),
            *(_count(findings, level) for level in LEVELS),
        ],
        sections=[
            *([_folders(listing, folder)] if listing.parts else []),
            _findings(findings, folder),
            *([_left_out(left_out)] if left_out else []),
            _montage(seen, len(checked), findings),
            _intensities(seen, findings),
            _spacings(checked),
            _balance(checked),
            _files(checked),
        ],
        footer=f"Written by {program()} on {date.today().isoformat()}. {USE}",
    )


def _count(findings: Sequence[Finding], level: str) -> KeyNumber:
    found = of_level(findings, level)
    cases = len({finding.case for finding in found})
    return KeyNumber(f"{level}s", str(len(found)), f"in {cases} cases" if found else "none")


def _folders(listing: Listing, folder: Path) -> Section:
    rows = [_folder_cells(place.relative_to(folder).as_posix(), own) for place, own in listing.parts.items()]
    table = Table("What each folder holds", ["folder", "layout", "cases", "patients"], rows, texts=["folder", "layout"])
    return Section("folders", "Folders", part("table", table=table))


def _folder_cells(name: str, listing: Listing) -> list[Cell]:
    patients = len({case.patient_id for case in listing.cases})
    return text_cells((name, listing.layout, len(listing.cases), patients))


def _findings(findings: Sequence[Finding], folder: Path) -> Section:
    if not findings:
        return Section("findings", "Findings", paragraph("Nothing was found."))
    serious, notes = of_level(findings, ERROR, WARNING), of_level(findings, NOTE)
    body = _finding_table("What to look at, errors first", serious, folder) if serious else paragraph(NOTHING_SERIOUS)
    if notes:
        quiet = _finding_table("Notes", notes, folder)
        body += part("details", summary=f"{len(notes)} notes, which ask for nothing", body=quiet)
    return Section("findings", "Findings", body + note(FINDINGS_NOTE))


def _left_out(left_out: Sequence[LeftOut]) -> Section:
    rows = [[Cell(each.name), Cell(each.why)] for each in left_out]
    columns = ["name", "why"]
    table = Table("Found in the folder and not used", columns, rows, texts=columns)
    return Section("left-out", "Left out", part("table", table=table))


def _finding_table(caption: str, findings: Sequence[Finding], folder: Path) -> Markup:
    columns = ["level", "case", "found"] + ["REPAIR writes"] * any(finding.repair for finding in findings)
    in_order = [finding for level in LEVELS for finding in of_level(findings, level)]
    rows = [_finding_cells(finding, folder)[: len(columns)] for finding in in_order]
    return part("table", table=Table(caption, columns, rows, texts=columns, sortable=True))


def _finding_cells(finding: Finding, folder: Path) -> list[Cell]:
    said = finding.as_json(folder)
    level = Cell(finding.level, LEVELS.index(finding.level), kind={NOTE: "behind"}.get(finding.level, finding.level))
    found = Cell(said["what"], detail=said["mend"] and f"What to do: {said['mend']}")
    return [level, Cell(said["case"] or "all", detail=said["file"]), found, Cell(said["repair"] or ABSENT)]


def _montage(seen: Sequence[Seen], cases: int, findings: Sequence[Finding]) -> Section:
    if not seen:
        return Section("montage", "Cases", paragraph("No scan could be read."))
    figures = [_captioned(one, findings) for one in seen]
    body = _legend([one.checked for one in seen]) + part("pictures", figures=figures, kind="montage")
    told = "" if len(seen) == cases else f"{len(seen)} of {cases} cases are shown. "
    return Section("montage", "Cases", body + note(told + MONTAGE_NOTE))


def _legend(checked: Sequence[Checked]) -> Markup:
    """Of the classes; few data sets tell kinds of infection."""
    told = any(one.entry.get("volume_ml", {}).get("consolidation") for one in checked)
    names = [name for name in LEGEND if told or name != "consolidation"]
    return part("class_legend", classes=[{"name": name, "colour": LEGEND[name]} for name in names])


class _Figure(NamedTuple):
    drawing: Markup
    name: str
    detail: str


def _captioned(one: Seen, findings: Sequence[Finding]) -> _Figure:
    case, entry = one.checked.case.name, one.checked.entry
    size = " x ".join(map(str, entry["size"]))
    counts = {level: sum(finding.case == case for finding in of_level(findings, level)) for level in (ERROR, WARNING)}
    told = ", ".join(f"{count} {level}{'s' * (count > 1)}" for level, count in counts.items() if count)
    place = f"slice {one.tile.number} of {one.tile.of}; {size}"
    return _Figure(one.tile.drawing, case, f"{place}; {told}" if told else place)


def _intensities(seen: Sequence[Seen], findings: Sequence[Finding]) -> Section:
    doubtful = {finding.case for finding in of_level(findings, ERROR, WARNING)}
    drawn = []
    for domain, axis in ((HOUNSFIELD, "HU"), (GREY_255, "grey")):
        lines = {
            one.checked.case.name: one.histogram
            for one in seen
            if one.histogram and one.checked.entry["intensity"] == domain
        }
        if lines:
            caption = f"{len(lines)} {DOMAINS[domain]}"
            drawn.append(part("figure", body=histogram_plot(caption, axis, lines, doubtful), caption=caption))
    if not drawn:
        return Section("intensities", "Intensities", paragraph("The numbers of no scan could be told."))
    body = Markup('<div class="pair large">{}</div>').format(Markup("").join(drawn))
    return Section("intensities", "Intensities", body + note(HISTOGRAM_NOTE))


def _spacings(checked: Sequence[Checked]) -> Section:
    known = [one for one in checked if "spacing_mm" in one.entry]
    if not known:
        return Section("spacings", "Voxels", paragraph("No scan could be read."))
    plots = [
        _spread(known, {"pixels": _pixel_mm, "slices": _slice_mm}, "distance (mm)"),
        _spread(known, {"width": _width_mm, "height": _height_mm}, "of the scan (mm)"),
    ]
    body = Markup('<div class="pair large">{}</div>').format(Markup("").join(plots))
    return Section("spacings", "Voxels", body + note(SPACING_NOTE))


def _pixel_mm(entry: Mapping[str, Any]) -> float:
    return float(entry["spacing_mm"][0])


def _slice_mm(entry: Mapping[str, Any]) -> float:
    return float(entry["spacing_mm"][2])


def _width_mm(entry: Mapping[str, Any]) -> float:
    return float(entry["spacing_mm"][0] * entry["size"][0])


def _height_mm(entry: Mapping[str, Any]) -> float:
    return float(entry["spacing_mm"][2] * entry["size"][2])


def _spread(known: Sequence[Checked], rows: Mapping[str, Callable[[Mapping[str, Any]], float]], axis: str) -> Markup:
    names = [one.case.name for one in known]
    drawn = [BoxRow(label, [value(one.entry) for one in known], names) for label, value in rows.items()]
    most = max(value for row in drawn for value in row.values)
    plot = box_plot(f"{' and '.join(rows)} of all cases", axis, drawn, (0, 1.05 * most))
    return part("figure", body=plot, caption="")


def _volume(volume_ml: Mapping[str, float], structure: str) -> Cell:
    """Empty where the label does not annotate the structure."""
    return volume_cell(volume_ml[structure]) if structure in volume_ml else Cell(ABSENT)


def _balance(checked: Sequence[Checked]) -> Section:
    labelled = [one for one in checked if "volume_ml" in one.entry]
    if not labelled:
        return Section("balance", "Class balance", paragraph("No case has a label."))
    volumes = {one.case.name: one.entry["volume_ml"] for one in labelled}
    rows = [
        [
            Cell(case),
            *(_volume(ml, name) for name in BALANCED),
            share_cell(infected_share(ml)),
        ]
        for case, ml in volumes.items()
    ]
    columns = ("case", *(f"{name.replace('_', ' ')} (ml)" for name in BALANCED), "infected share")
    told = part("table", table=Table("Volumes of the labels", columns, rows, sortable=True))
    chart = part("figure", body=balance_plot(volumes), caption="Volume of each class (ml)")
    body = _legend(labelled) + chart + part("details", summary="The volumes as numbers", body=told)
    return Section("balance", "Class balance", body + note(BALANCE_NOTE))


def _files(checked: Iterable[Checked]) -> Section:
    entries = [one.entry for one in checked if one.entry.get("case")]
    body = part("details", summary="Every file, with its hash", body=part("table", table=hash_table(entries)))
    return Section("files", "Files", body)
