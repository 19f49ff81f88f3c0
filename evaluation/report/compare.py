"""Several cross-validations of the same folds of the same data side by side, as one HTML file.

    pneumobundle compare-runs runs/unet_3d/cv runs/anam_net/cv --out runs/compare/comparison.html

also prints the tables and writes `comparison.json` and `comparison.csv` beside the file. To build a network and count
its multiplications, it runs what the run's train.json names: give it runs of your own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluation.report import compare_sections as sections
from evaluation.report.compare_tables import run_facts
from evaluation.report.compared import Compared, read_compared
from evaluation.report.costs import RunCost, cost_of
from evaluation.report.cross_validation import USE, missing_folds
from evaluation.report.facts import data_facts
from evaluation.report.page import document, program
from evaluation.report.published_numbers import Printed, bundle_of, printed_of
from pipeline.core.atomic import replacing, write_csv, write_json
from pipeline.core.errors import InputError
from pipeline.core.progress_bar import working
from pipeline.folders.output_folder import check_file

PAGE = "comparison.html"
PAGES = (".html", ".htm")
# Of the JSON beside it
KEYS = ("title", "runs", "scores", "comparisons")
SCORE_COLUMNS = ("network", "structure", "metric", "statistic", "patients", "infinite", "value", "sd", "low", "high")


@dataclass(frozen=True)
class Report:
    """A comparison's page, text and tables."""

    compared: Compared

    @cached_property
    def costs(self) -> dict[str, RunCost]:
        return {name: cost_of(run) for name, run in self.compared.runs.items()}

    @cached_property
    def bundles(self) -> dict[str, str]:
        return {name: bundle_of(run) for name, run in self.compared.runs.items() if not run.scored}

    @cached_property
    def printed(self) -> list[Printed]:
        return printed_of(self.bundles.values())

    @cached_property
    def parts(self) -> list[sections.Told | None]:
        compared = self.compared
        return [
            sections.results(compared),
            sections.differences(compared),
            sections.boxes(compared),
            sections.cost(compared, self.costs),
            sections.cases(compared),
            sections.severity(compared),
            sections.published(compared, self.printed, self.bundles.values()),
            sections.what_was_run(compared),
        ]

    @property
    def title(self) -> str:
        """Of how many networks, and of how many others."""
        others = len(self.compared.outside)
        counts = {"network": len(self.compared.runs) - others, "set of labels made elsewhere": others}
        plural = {"network": "networks", "set of labels made elsewhere": "sets of labels made elsewhere"}
        told = [f"{count} {plural[what] if count > 1 else what}" for what, count in counts.items() if count]
        return f"Comparison of {' and '.join(told)}"

    @property
    def subtitle(self) -> str:
        keys = {key for rows in self.compared.rows.values() for key in rows}
        patients = {row["patient_id"] for rows in self.compared.rows.values() for row in rows.values()}
        folds = len({fold for _, fold, _ in keys})
        same = f"{folds} folds" if folds > 1 else "fold"
        cases = len(self.compared.cases)
        return f"Chest CT segmentation, {cases} cases of {len(patients)} patients, the same {same} for all"

    @property
    def remarks(self) -> list[str]:
        # All runs were scored on the same cases in the same folds
        first = next(iter(self.compared.trained.values()))
        about = data_facts(first).get("about")
        told = [*sections.warnings(self.compared.trained), *sections.of_outside(self.compared)]
        return [*([f"Data: {about}"] if about else []), *missing_folds(first), *told]

    def page(self) -> str:
        """The HTML file's text."""
        return document(
            title=self.title,
            subtitle=self.subtitle,
            remarks=self.remarks,
            key_numbers=sections.key_numbers(self.compared),
            sections=[told.section for told in self.parts if told],
            footer=f"Written by {program()} on {date.today().isoformat()}. {USE}",
        )

    def text(self) -> str:
        """The same tables for a terminal."""
        head = "\n".join((self.title, self.subtitle, *self.remarks))
        return "\n\n".join((head, *(told.text for told in self.parts if told and told.text)))

    def scores(self) -> list[dict[str, Any]]:
        """A row a network, structure and metric."""
        return [
            {
                "network": name,
                "structure": structure,
                "metric": metric.column,
                "statistic": metric.statistic,
                "patients": score.estimate.patients,
                "infinite": score.infinite,
                "value": score.estimate.value,
                "sd": score.sd,
                "low": score.estimate.low,
                "high": score.estimate.high,
            }
            for (name, structure, metric), score in self.compared.scores.items()
        ]

    def content(self) -> dict[str, Any]:
        """Everything that the page tells in numbers; nan and infinite ones are null."""
        runs = {
            name: {
                "folder": str(run.folder),
                "network": run.network,
                "facts": run_facts(run),
                **self._severity(name),
                "cost": {
                    **asdict(self.costs[name]),
                    "parameters": self.costs[name].parameters,
                    "kmac_per_voxel": self.costs[name].kmac_per_voxel,
                },
            }
            for name, run in self.compared.runs.items()
        }
        printed = [{**one._asdict(), "source": one.source._asdict()} for one in self.printed]
        content = {
            "title": self.title,
            "data": data_facts(next(iter(self.compared.trained.values()))),
            "remarks": self.remarks,
            "runs": runs,
            "scores": self.scores(),
            "comparisons": [asdict(one) for one in self.compared.comparisons],
            "published": printed,
        }
        defined: dict[str, Any] = _finite(content)
        return defined

    def _severity(self, name: str) -> dict[str, Any]:
        found = self.compared.severity.get(name)
        return {"severity": found.content} if found else {}

    def write(self, file: Path) -> None:
        """The page, and beside it the JSON and CSV of the same name."""
        page = self.page()
        numbers, table = beside(file)
        # First, since it tells the next comparison that the others are of one too
        write_json(numbers, self.content())
        write_csv(table, SCORE_COLUMNS, self.scores())
        with replacing(file) as temporary:
            temporary.write_text(page, encoding="utf-8")


def beside(page: Path) -> tuple[Path, Path]:
    """The numbers of a page, as JSON and CSV."""
    return page.with_suffix(".json"), page.with_suffix(".csv")


def check_page(page: Path) -> None:
    """Raise InputError where a comparison would replace a file that is of none, or its page has no name of a page."""
    if page.suffix.lower() not in PAGES:
        raise InputError(f"OUT is {page}, expected the name of a page, such as {page.with_suffix('.html')}.")
    numbers, table = beside(page)
    check_file(numbers, KEYS, page, table)


def _finite(value: Any) -> Any:
    """With None for every number that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    return [*map(_finite, value)] if isinstance(value, list | tuple) else value


@working("writing the comparison")
def compare_runs(
    folders: Sequence[str | Path],
    file: str | Path,
    structures: Sequence[str] = (),
    against: str = "",
    names: Mapping[Path, str] | None = None,
) -> str:
    """Write the comparison of finished runs to a file, and give its tables as text; InputError as `read_compared`."""
    check_page(Path(file))
    report = Report(read_compared(folders, structures, against, names))
    report.write(Path(file))
    return report.text()
