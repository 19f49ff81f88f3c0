"""Commands about scans, before any network sees them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from pipeline.check_data.cases_table import table
from pipeline.check_data.folder import check_folder
from pipeline.core import logs
from pipeline.data.datalist import write_datalist
from pipeline.data.fetch import fetch as download
from pipeline.folders.inputs import listed
from pipeline.phantom.dataset import write_set
from pneumobundle.run.defaults import dataset_of, folders, path


def check(given: SimpleNamespace) -> None:
    """Status 1 where there is an error, or something that looks like a scan or a label is left out."""
    repair, out = (Path(path(each)) if each else None for each in (given.repair, given.out))
    if not check_folder(dataset_of(given), repair, out):
        raise SystemExit(1)


def phantom(given: SimpleNamespace) -> None:
    folder = Path(path(given.folder))
    logs.result(
        f"{write_set(folder, given.patients, given.seed, given.first, given.unlabelled)}: {given.patients} cases"
    )


def fetch(given: SimpleNamespace) -> None:
    download(path(given.out) if given.out else "data/covid20")


def datalist(given: SimpleNamespace) -> None:
    logs.result(table(write_datalist(folders(given.data), path(given.out))))


def list_scans(given: SimpleNamespace) -> None:
    logs.result(listed(given.input))
