"""The sections of a cross-validation's report; what a run does not have leaves a sentence in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from evaluation.measures.cases import Row
from evaluation.measures.metrics import EMPTY_RULE
from evaluation.measures.roc import AUC_RULE
from evaluation.measures.surfaces import SURFACE_EMPTY_RULE
from evaluation.report import facts, finding_tables, score_tables
from evaluation.report.box_plot import BoxRow, box_plot
from evaluation.report.loss_plot import Series, loss_plot
from evaluation.report.page import KeyNumber, Section, note, paragraph, part
from evaluation.report.pictures import Picture, option_text, viewer_settings
from evaluation.report.run import Run, Stage
from evaluation.report.score_tables import Interval, defined, interval_of
from evaluation.report.shown import ranking_structure
from evaluation.report.tables import Table, key_value_table, name_of
from evaluation.statistics.findings import JUDGED_BY, severity_worth, worths
from evaluation.statistics.flag_worth import worth_notes
from evaluation.statistics.severity_worth import NOTES as SEVERITY_NOTES
from evaluation.statistics.summary import POOLED_RULE, SLICE_RULE, spread, summarise
from evaluation.tables.scores import PAPER_NOTE, lesion_words
from evaluation.tables.severity_table import SEVERITY_RULE, agreement_line, grade_agreement
from pipeline.core.labels import in_order
from pipeline.core.text_table import number, sentence
from pipeline.folders.several import set_name

PLOTTED = ("dice", "sensitivity")
NO_SCORES = "metrics.csv is missing: the run was not evaluated, or not all of its folds are done. Run make cv again."
OVER_CASES = (
    "Mean ± sample standard deviation over the n cases where the metric is defined, all folds together; each case is "
    "tested once in each fold that holds it out."
)
SURFACES = (
    "Surface Dice (in brackets its tolerance), volume error and AUC: mean ± sample standard deviation; distances: "
    "median. Lost: cases where one of the two masks is empty."
)
FLAGS = (
    "Signs that a segmentation failed, found without its reference. A raised flag means: look before you use this; "
    "none raised does not mean that the segmentation is right."
)
BOXES = (
    "A dot is a case. Box: quartiles and median; whiskers: the outermost cases within 1.5 interquartile ranges of the "
    "box."
)
CASE_NOTE = "-: undefined, reference and prediction are both empty. Cases that are links can be looked at below."
LOSS_NOTE = (
    "Thin lines: folds. Thick lines: Gaussian-process regression over all folds, as far as each was trained; the band "
    "is where it expects 95 % of single folds' losses."
)
VALIDATION_NOTE = "Validation: the loss on patches or slices of the cases that the fold does not train on."
TRAINING_NOTE = (
    "Memory: the largest resident memory of the training's process, not that of a graphics processor. Segmenting: the "
    "held-out cases, with the start of the program."
)
PICTURE_NOTE = (
    "The pictures are reduced, 8-bit and compressed: to look at, not to measure or to diagnose. All scores were "
    "computed on the scanner's own grid."
)


def table(content: Table) -> Markup:
    return part("table", table=content)


def key_numbers(rows: Sequence[Row], interval: Interval | None) -> list[KeyNumber]:
    """Dice of the infection first, then of the other structures."""
    structures = in_order(row["structure"] for row in rows)
    first = ranking_structure(structures)
    found = []
    for structure in sorted(structures, key=lambda name: name != first):
        kept = defined(rows, structure, "dice")
        values = spread(row["dice"] for row in kept)
        ends = interval_of(rows, structure, "dice", interval)
        told = f"95 % interval {ends}" if ends else f"mean ± SD of {len(kept)} cases"
        found.append(
            KeyNumber(f"{name_of(structure)} Dice", f"{number(values['mean'])} ± {number(values['std'])}", told)
        )
    return found


def results(rows: Sequence[Row], interval: Interval | None, interval_note: str) -> Section:
    parts = [paragraph(NO_SCORES)]
    if rows:
        parts = [table(score_tables.structure_table(rows, interval)), note(f"{OVER_CASES} {interval_note}".strip())]
        parts.append(note(f"Empty masks: {EMPTY_RULE}."))
        summary = summarise(rows)
        parts.append(table(score_tables.surface_table(summary)))
        parts.append(note(f"{SURFACES} {sentence(SURFACE_EMPTY_RULE)} {sentence(AUC_RULE)}"))
        if lesions := summary["lesions"]:
            parts += [paragraph(lesion_words(lesions)), note(sentence(lesions["rule"]))]
        averaged = table(score_tables.averaging_table(summary))
        averaged += note(f"Pooled: {POOLED_RULE}. Slice-wise: {SLICE_RULE}. Other numbers of the same predictions.")
        parts.append(part("details", summary="Dice, averaged as papers do", body=averaged))
    return Section("results", "Results", Markup("").join(parts))


def severity(run: Run) -> Section | None:
    """Infected shares and grades; None where the run knows no infection."""
    rows = [finding.severity for finding in run.findings if finding.severity]
    if not rows:
        return None
    agreement = grade_agreement(rows)
    parts = [
        paragraph(agreement_line(agreement)),
        table(finding_tables.severity_table(run.findings)),
        note(sentence(SEVERITY_RULE)),
        table(finding_tables.confusion_table(agreement)),
    ]
    if found := severity_worth(run.findings, run.rows):
        parts += [table(finding_tables.severity_worth_table({run.network: found})), *map(note, SEVERITY_NOTES)]
    return Section("severity", "Severity", Markup("").join(parts))


def flags(run: Run) -> Section | None:
    """Raised flags and what flags are worth; None where the run's labels allow none."""
    found = worths(run.findings, run.rows)
    if not found:
        return None
    raised = finding_tables.raised_table(run.findings)
    parts = [
        paragraph(FLAGS),
        table(raised) if raised.body else paragraph("No flag was raised in any case."),
        table(finding_tables.worth_table(found)),
        *map(note, worth_notes(found, JUDGED_BY)),
    ]
    return Section("flags", "Failure flags", Markup("").join(parts))


def folds(run: Run) -> Section:
    """Scores of each fold, beside the paper's where its structures were scored, and who was tested where."""
    parts = []
    if run.rows:
        summary = summarise(run.rows)
        if summary["miscnn"]:
            parts.append(table(score_tables.paper_fold_table(summary)))
            parts += [note(f"Averaging: {summary['miscnn']['averaging']}."), note(PAPER_NOTE)]
        else:
            parts.append(table(score_tables.fold_table(run.rows)))
        if len({row["fold"] for row in run.rows}) == 1:
            parts.append(paragraph("There is one fold: nothing can be said of how much folds differ."))
    if run.folds.get("folds"):
        parts.append(table(facts.member_table(run.folds)))
        if leaking := run.folds.get("leaking_patients"):
            told = f"Patients on both sides of this split, which makes scores too good: {', '.join(leaking)}."
            parts.append(Markup('<p class="warning">{}</p>').format(told))
    return Section("folds", "Folds", Markup("").join(parts) or paragraph("folds.json and metrics.csv are missing."))


def boxes(rows: Sequence[Row]) -> Section:
    drawn = [part("figure", body=_boxes(rows, metric), caption="") for metric in PLOTTED if rows]
    body = Markup('<div class="pair">{}</div>').format(Markup("").join(drawn)) + note(BOXES)
    return Section("spread", "Spread over cases", body if drawn else paragraph(NO_SCORES))


def _boxes(rows: Sequence[Row], metric: str) -> Markup:
    name = metric.capitalize()
    return box_plot(f"{name} of each structure", name, box_rows(rows, metric))


def box_rows(rows: Sequence[Row], metric: str) -> list[BoxRow]:
    """A row for each structure."""
    drawn = []
    for structure in in_order(row["structure"] for row in rows):
        kept = defined(rows, structure, metric)
        names = [f"{row['case']}, fold {row['fold']}" for row in kept]
        drawn.append(BoxRow(name_of(structure), [row[metric] for row in kept], names))
    return drawn


def numbered(pictures: Sequence[Picture]) -> dict[tuple[str, int], int]:
    """The cases that the page has slices of, by name and fold, with their numbers in the viewer."""
    return {(picture.shown.case, picture.shown.fold): place for place, picture in enumerate(pictures)}


def cases(rows: Sequence[Row], pictures: Sequence[Picture]) -> Section:
    shown = numbered(pictures)
    volume_of = ranking_structure(row["structure"] for row in rows)
    parts = [paragraph(NO_SCORES)]
    if rows:
        parts = [table(score_tables.case_table(rows, volume_of, shown))]
        parts.append(note(CASE_NOTE))
    return Section("cases", "Cases", Markup("").join(parts))


def extremes(run: Run, pictures: Sequence[Picture]) -> Section:
    """Drawings of the worst, the median and the best case."""
    structure = ranking_structure(row["structure"] for row in run.rows)
    drawn = [picture for picture in pictures if picture.panels]
    if not run.rows:
        body = paragraph(NO_SCORES)
    elif structure is None:
        body = paragraph("This run scored no infection, by which the cases would be ranked.")
    elif not drawn:
        body = paragraph(f"No case can be drawn: {_no_pictures(run)}")
    else:
        body = part("extremes", pictures=drawn, structure=name_of(structure), number=number)
        body += note(f"Each case: the slice with the most {name_of(structure)}. {PICTURE_NOTE}")
    return Section("extremes", "Worst, median and best case", body)


def viewer(run: Run, pictures: Sequence[Picture]) -> Section:
    if not pictures:
        return Section("slices", "Slices", paragraph(f"There is nothing to show: {_no_pictures(run)}"))
    settings = viewer_settings(run)
    body = part("viewer", settings=settings, pictures=pictures, options=[option_text(picture) for picture in pictures])
    total = len({(row["case"], row["fold"]) for row in run.rows})
    some = f"{len(pictures)} of {total} cases: the worst, and others evenly to the best."
    shown = "All cases." if len(pictures) == total else some
    return Section("slices", "Slices", body + note(f"{shown} {PICTURE_NOTE}"))


def _no_pictures(run: Run) -> str:
    if not run.rows:
        return "the run was not evaluated."
    return f"scans, references and predictions are not all where they were (the scans in {set_name(run.data_folders)})."


def training(run: Run) -> Section:
    parts = []
    for stage in run.stages:
        title = f"Losses of the {stage.name} network" if stage.name else "Losses"
        if series := stage_series(stage):
            parts.append(part("figure", body=loss_plot(title, series), caption=title, legend=series))
            measured = any(each.name == "validation" for each in series)
            parts.append(note(f"{LOSS_NOTE} {VALIDATION_NOTE if measured else 'No validation loss was measured.'}"))
        else:
            parts.append(paragraph(f"{title}: there is no history.csv in the folders of the folds."))
    if finished := facts.training_table(run):
        parts += [table(finished), note(TRAINING_NOTE)]
    else:
        parts.append(paragraph("No training of this run is finished."))
    return Section("training", "Training", Markup("").join(parts))


def stage_series(stage: Stage) -> list[Series]:
    """Training and validation losses, those that were measured."""
    series = []
    for kind, (loss, name) in enumerate((("train_loss", "training"), ("val_loss", "validation")), start=1):
        curves = [history[loss] for _, history in sorted(stage.histories.items()) if history.get(loss)]
        if curves:
            series.append(Series(name, curves, kind))
    return series


def what_was_run(run: Run) -> Section:
    groups: dict[str, Mapping[str, str]] = {
        "Experiment": facts.experiment_facts(run),
        "Data": facts.data_facts(run),
        **{f"Settings{stage.name and f', {stage.name}'}": facts.setting_facts(stage) for stage in run.stages},
        "Machine and software": facts.software_facts(run),
    }
    if not any("provenance" in training for stage in run.stages for training in stage.trainings.values()):
        groups["Machine and software"] = {**groups["Machine and software"], "commit, processor": "not written down"}
    return Section("run", "What was run", _facts(run, groups))


def what_was_scored(run: Run) -> Section:
    """Of label maps that another program or person made."""
    missing = run.scored.get("missing", ())
    made = {
        "made by": run.network,
        "structures": ", ".join(map(name_of, run.label_map.structures)),
        "numbers": str(run.scored.get("coding")),
        "without a label file": ", ".join(missing) or "none",
    }
    return Section("run", "What was scored", _facts(run, {"Label maps": made, "Data": facts.data_facts(run)}))


def _facts(run: Run, groups: Mapping[str, Mapping[str, str]]) -> Markup:
    listed = [table(key_value_table(name, group)) for name, group in groups.items() if group]
    body = Markup('<div class="facts">{}</div>').format(Markup("").join(listed))
    if run.cases:
        body += part(
            "details", summary="Every file of the data, with its hash", body=table(facts.hash_table(run.cases.values()))
        )
    return body
