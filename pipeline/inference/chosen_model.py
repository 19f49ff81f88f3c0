"""What MODEL of `make predict` names, opened: a trained fold, several as an ensemble, or an exported bundle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from evaluation.statistics.findings import read_findings
from evaluation.statistics.severity_interval import ShareErrors
from pipeline.bundle_files.archive import bundle_sha256
from pipeline.bundle_files.bundle_source import CONFIG, is_bundle, opened
from pipeline.core.atomic import read_json, write_json
from pipeline.core.configuration import INFERENCE, mode_settings
from pipeline.core.errors import InputError
from pipeline.core.labels import LabelMap, label_map
from pipeline.core.stages import first_stage_model_of, has_first_stage, result_label_map
from pipeline.inference.ensemble import VOTE, configuration_of
from pipeline.inference.members import Member, ensemble_configuration, find_members, images_trained_on
from pipeline.inference.segmenter import Segmenter
from pipeline.scans.scan import file_sha256


@dataclass(frozen=True)
class Model:
    """A model that is ready to segment.

    Args:
        segmenter: runs it.
        facts: what a result is told to be from: sha256 of all that decides it, network, mode and so on.
        label_map: name of what the numbers in its label files mean.
        trained_on: SHA-256 of the images that it was trained on, as far as its folder tells.
        errors: of the infected share in held-out cases of its run.
    """

    segmenter: Segmenter
    facts: dict[str, Any]
    label_map: str
    trained_on: frozenset[str] = frozenset()
    errors: ShareErrors = field(default_factory=ShareErrors)

    @property
    def labels(self) -> LabelMap:
        return label_map(self.label_map)


@contextmanager
def open_model(
    models: str | Path,
    output_dir: str | Path,
    method: str = VOTE,
    weights: Sequence[float] | None = None,
    mode: str = "",
    trusted: bool = False,
) -> Iterator[Model]:
    """The model that writes to a folder; InputError where MODEL, METHOD, WEIGHTS and MODE do not fit."""
    if isinstance(models, str | Path) and is_bundle(models):
        sha256 = bundle_sha256(Path(models)) if Path(models).exists() else ""
        with opened(Path(models), trusted) as bundle:
            content = read_json(bundle / CONFIG)
            segmenter = Segmenter(bundle / CONFIG, output_dir, **mode_settings(mode, content))
            yield _model(segmenter, mode, sha256=sha256, bundle=bundle.name)
        return
    members = find_members(models)
    known = {"trained_on": images_trained_on(members), "errors": _errors(members)}
    combined = {} if len(members) == 1 else {"method": method, "weights": weights}
    facts = {"sha256": _sha256(members, combined), "members": [member.name for member in members], **combined}
    if len(members) == 1:
        (member,) = members
        changes = mode_settings(mode, read_json(member.configuration))
        segmenter = Segmenter(member.configuration, output_dir, model_file=str(member.weights), **changes)
        yield _model(segmenter, mode, known, **facts)
        return
    content = ensemble_configuration(members, method, weights)
    with TemporaryDirectory() as folder:
        configuration = Path(folder) / f"{INFERENCE}.json"
        write_json(configuration, content)
        segmenter = Segmenter(configuration, output_dir, **mode_settings(mode, content))
        yield _model(segmenter, mode, known, **facts)


def _model(segmenter: Segmenter, mode: str, known: Mapping[str, Any] | None = None, **facts: Any) -> Model:
    settings = {name: segmenter.setting(name) for name in ("within_lungs", "label_map")}
    told = {"network": segmenter.setting("name"), "preset": segmenter.setting("preset"), "mode": mode, **facts}
    return Model(segmenter, told, result_label_map(settings), **(known or {}))


def _sha256(members: Sequence[Member], combined: Mapping[str, Any]) -> str:
    """One hash of all weights and configurations, of first stages too, and of how members are combined."""
    files = [file for member in members for file in (member.weights, member.configuration)]
    for member in members:
        if has_first_stage(read_json(member.configuration)):
            first = Path(first_stage_model_of(member.weights))
            files += [first, configuration_of(first)]
    if missing := [str(file) for file in files if not file.is_file()]:
        raise InputError(
            f"MODEL is the second network of a cascade, but of the first one there is no {' and no '.join(missing)}; "
            "leave both where their cross-validation left them."
        )
    told = [*(file_sha256(file) for file in files), json.dumps(combined, sort_keys=True)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _errors(members: Sequence[Member]) -> ShareErrors:
    """Of the run that all members are of; none where there is none, or they are of several."""
    runs = {run for member in members for run in _run_of(member)}
    if len(runs) != 1:
        return ShareErrors()
    return ShareErrors.of([finding.severity for finding in read_findings(runs.pop()) if finding.severity])


def _run_of(member: Member) -> list[Path]:
    """The folder of the cross-validation that trained a member; that of a cascade is above its stages."""
    if not member.tells_training:
        return []
    run = member.weights.absolute().parents[1]
    return [run.parent if has_first_stage(read_json(member.configuration)) else run]
