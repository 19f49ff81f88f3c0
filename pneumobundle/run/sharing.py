"""Commands that make something of a model for others."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from pipeline.bundle_files.archive import bundle_sha256
from pipeline.core import logs
from pipeline.core.configuration import cascades, networks, parse_overrides
from pipeline.core.errors import InputError
from pipeline.export.build import Details
from pipeline.export.build import export as export_bundle
from pipeline.export.chosen_source import source_of, usual_run
from pipeline.export.push import push as publish
from pipeline.export.source import ensemble_from_run
from pipeline.export.verify import FAIL, schema_file
from pipeline.export.verify import verify as checks_of
from pipeline.export.zoo import lay_into
from pipeline.inference.ensemble import parse_weights
from pipeline.small_devices.export import export_model
from pneumobundle.run.defaults import network_of, one_dataset_of, path

OUT = Path("build/bundles")
PRESET, SMALL_PRESET = "paper", "demo"


def _details(given: SimpleNamespace) -> tuple[Path, Details]:
    license_file = Path(path(given.data_license)) if given.data_license else None
    out = Path(path(given.out)) if given.out else OUT
    return out, Details(given.url, given.version, given.changes, license_file)


def bundle(given: SimpleNamespace) -> None:
    network, (out, details) = network_of(given), _details(given)
    fold = -1 if given.fold is None else given.fold
    run = path(given.run) if given.run else ""
    if not given.ensemble:
        overrides = parse_overrides(given.overrides)
        export_bundle(source_of(network, run, fold, given.preset or PRESET, overrides), out, details)
        return
    if fold >= 0:
        raise InputError("ENSEMBLE exports all finished folds of one network's run; leave out FOLD, name one NETWORK.")
    folder = Path(run) if run else usual_run(network)
    source = ensemble_from_run(network, folder, given.method or "", parse_weights(given.weights))
    export_bundle(source, out, details)


def bundles(given: SimpleNamespace) -> None:
    out, details = _details(given)
    overrides = parse_overrides(given.overrides)
    for network in [*networks(), *cascades()]:
        export_bundle(source_of(network, "", -1, given.preset or PRESET, overrides), out, details)


def verify(given: SimpleNamespace) -> None:
    """Status 1 where a check fails."""
    schema, failed = schema_file(given.schema or ""), 0
    for bundle in map(Path, given.given_words or [path(given.bundle)]):
        logs.result(str(bundle))
        for finding in checks_of(bundle.resolve(), schema):
            logs.result(f"  {finding}")
            failed += finding.outcome == FAIL
    if failed:
        logs.result(f"{failed} checks failed.")
        raise SystemExit(1)


def zoo_pr(given: SimpleNamespace) -> None:
    folder = Path(path(given.bundle))
    if not (folder / "configs" / "metadata.json").is_file():
        raise InputError(f"BUNDLE is {folder}, which has no configs/metadata.json; give the folder of a bundle.")
    for file in lay_into(folder.resolve(), Path(path(given.zoo))):
        logs.result(str(file))


def push(given: SimpleNamespace) -> None:
    folder = Path(path(given.bundle)).resolve()
    logs.result(publish(folder, given.repo, private=not given.public))
    logs.result(f"SHA-256 {bundle_sha256(folder)}")


def export(given: SimpleNamespace) -> None:
    model, source, out = (Path(path(each)) if each else None for each in (given.model, given.input, given.out))
    preset = given.preset or SMALL_PRESET
    dataset = Path(one_dataset_of(given))
    logs.result(export_model(network_of(given), model, preset, source, dataset, given.format.split(), out))
