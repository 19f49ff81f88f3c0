"""Commands that look at what is there, and what it costs."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

from evaluation.costs.cost import profile as measure_costs
from evaluation.measures.flags import flags_of_files
from evaluation.report.compare import PAGE
from evaluation.report.compare import compare_runs as compare_on_a_page
from evaluation.report.cross_validation import write_report
from evaluation.statistics.flag_worth import measure, worth_table
from evaluation.statistics.severity_coverage import SEVERITY, severity_coverage
from evaluation.statistics.summary import summarise_file
from evaluation.statistics.verdicts import statistics_of
from pipeline.core import logs
from pipeline.core.errors import InputError
from pipeline.core.machine import keep_allocations
from pipeline.inference.calibration import calibrate as make_eight_bits
from pipeline.inference.features import write_features
from pipeline.inference.fidelity import compare as compare_modes
from pipeline.phantom.dataset import write_set
from pneumobundle.run.defaults import PHANTOM, network_of, path, run_of


def report(given: SimpleNamespace) -> None:
    logs.result(write_report(Path(path(run_of(given))), shown=given.cases))


def statistics(given: SimpleNamespace) -> None:
    if given.metric == SEVERITY:
        logs.result(severity_coverage(_runs(given)))
        return
    logs.result(statistics_of(_runs(given), given.metric, given.structure.split()))


def compare_runs(given: SimpleNamespace) -> None:
    out = Path(path(given.out)) if given.out else Path("runs", "compare", PAGE)
    if out.is_dir() or not out.suffix:
        out /= PAGE
    logs.result(compare_on_a_page([Path(run) for run in _runs(given)], out, given.structure.split(), given.against))
    logs.result(f"\n{out}: {out.stat().st_size / 1e6:.1f} MB; the numbers are in {out.stem}.json and .csv beside it.")


def _runs(given: SimpleNamespace) -> list[str]:
    return given.given_words or given.run.split()


def profile(given: SimpleNamespace) -> None:
    keep_allocations()
    # By default oneDNN keeps 1024 compiled operations, fewer than all networks together have
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")
    logs.result(measure_costs((given.networks or "").split(), path(given.out) if given.out else "runs/profile"))


def features(given: SimpleNamespace) -> None:
    source = path(given.input) if given.input else f"{write_set(PHANTOM)}/images"
    model, out = (Path(path(each)) if each else None for each in (given.model, given.out))
    logs.result(write_features(network_of(given), model, given.preset or "demo", source, out))


def flags(given: SimpleNamespace) -> None:
    files = [Path(word) for word in given.given_words or [path(given.labels)]]
    logs.result(flags_of_files(files[0], Path(path(given.scan)) if given.scan else None, files[1:]))


def flag_worth(given: SimpleNamespace) -> None:
    structure = given.structure or "infection"
    found = measure(_runs(given), structure, given.failed_below)
    logs.result(worth_table(found, structure, given.failed_below))


def summary(given: SimpleNamespace) -> None:
    logs.result(summarise_file(Path(path(given.metrics))))


def fidelity(given: SimpleNamespace) -> None:
    logs.result(compare_modes(path(given.model), given.modes.split()))


def calibrate(given: SimpleNamespace) -> None:
    model = Path(path(given.model))
    if not model.is_file():
        raise InputError(f"MODEL is {model}, expected the file model.pt of a trained fold.")
    file = make_eight_bits(model)
    logs.result(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
