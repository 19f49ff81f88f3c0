"""Writing a bundle: configurations, weights, code, pages, and a zip file of them beside it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.bundle_files.archive import write_large_files, zip_bundle
from pipeline.bundle_files.own_code import standalone
from pipeline.bundle_files.package import closure, foreign_imports, names_in, write_package
from pipeline.core.configuration import INFERENCE, LOGGING, TRAIN
from pipeline.core.errors import InputError
from pipeline.core.progress_bar import Progress, ticking
from pipeline.core.project import ROOT
from pipeline.export.configs import EVALUATE, MULTI_GPU, evaluation_overlay, multi_gpu_overlay, published
from pipeline.export.documents import data_license, readme
from pipeline.export.metadata import foreign_names, metadata
from pipeline.export.source import Member, Source
from pipeline.export.weights import write_program, write_torchscript, write_weights
from pipeline.folders.output_folder import check_output
from pipeline.inference.evidence import write_evidence

logger = logging.getLogger(__name__)
METADATA = "metadata"


@dataclass(frozen=True)
class Details:
    """What a user may say of a bundle.

    Args:
        url: of the folder that its files over 25 MB can be had from.
        version: empty for this project's.
        changes: the changelog's line of that version.
        license_file: a text with the terms of the data; None for what is known of the data set.
    """

    url: str = ""
    version: str = ""
    changes: str = ""
    license_file: Path | None = None


def export(source: Source, output_dir: Path, details: Details | None = None) -> Path:
    """Write `<output_dir>/<name>/` anew, its zip file and checksums; returns the folder.

    An older bundle stays as it is until the new one is complete. Raises InputError where weights do not fit, or where
    something else than a bundle stands there.
    """
    bundle = output_dir / source.name
    check_output(output_dir)
    refuse_other(bundle)
    output_dir.mkdir(parents=True, exist_ok=True)
    # Absolute, since the weights are scripted by a process in another folder
    with TemporaryDirectory(dir=output_dir.absolute(), prefix=".") as scratch:
        draft = Path(scratch) / source.name
        described = write_bundle(source, draft, details or Details())
        shutil.rmtree(bundle, ignore_errors=True)
        draft.rename(bundle)
    archive = zip_bundle(bundle, described["version"])
    logger.info("%s: %s; %s", bundle, origin(source), archive.name)
    return bundle


def write_bundle(source: Source, bundle: Path, details: Details) -> dict[str, Any]:
    """Write all files of a bundle into a new folder; gives its metadata."""
    contents = configurations(source)
    modules = closure(name for content in contents.values() for name in names_in(content))
    foreign = foreign_imports(modules).union(*map(foreign_names, contents.values()))
    described = metadata(source, foreign, details.version, details.changes)
    for name, content in contents.items():
        write_config(bundle / "configs" / f"{name}.json", standalone(content, source.package))
    write_config(bundle / "configs" / f"{METADATA}.json", described)
    shutil.copyfile(LOGGING, bundle / "configs" / LOGGING.name)
    shutil.copyfile(ROOT / "LICENSE", bundle / "LICENSE")
    write_package(modules, bundle / source.package, f"The code of {source.name}, copied from PneumoBundle.")
    write_pages(source, bundle, described, details.license_file)
    write_models(source, bundle)
    write_evidence(bundle, source.evidence)
    write_large_files(bundle, details.url)
    return described


def write_models(source: Source, bundle: Path) -> None:
    """The weights of every stage and fold, as a state dict, TorchScript and a program of torch.export."""
    every = [(member, model) for member in source.members for model in member.models]
    with ticking(Progress(f"{source.name}: writing models", 3 * len(every))) as progress:
        for member, model in every:
            config = f"configs/{INFERENCE if member is source.last else member.stage.name}.json"
            write_weights(member.state_dict(model), bundle / f"models/{model}.pt")
            progress.advance()
            write_torchscript(bundle, config, f"models/{model}.pt", f"models/{model}.ts")
            progress.advance()
            write_program(bundle, config, f"models/{model}.pt", f"models/{model}.pt2")
            progress.advance()


def origin(source: Source) -> str:
    if source.run is None:
        return "initial weights, as no run was given or found"
    folds = ", ".join(map(str, source.folds))
    return f"{'an ensemble of folds' if source.is_ensemble else 'fold'} {folds} of {source.run}"


def weights_of(member: Member) -> list[str]:
    """Expressions of the paths of a stage's files of weights."""
    return [f"$@bundle_root + '/models/{model}.pt'" for model in member.models]


def configurations(source: Source) -> dict[str, dict[str, Any]]:
    """Name of a file -> content, with this project's names of its code."""
    changes: dict[str, Any] = {}
    for member in source.members[:-1]:
        # Keys of bundles/common/inference.yaml, for the second stage
        changes = {
            "first_stage_model": weights_of(member) if len(member.models) > 1 else weights_of(member)[0],
            "first_stage_configuration": f"$@bundle_root + '/configs/{member.stage.name}.json'",
        }
    contents = _of_member(source.last, changes)
    for member in source.members[:-1]:
        others = _of_member(member, {"model_file": weights_of(member)[0]})
        contents[member.stage.name] = others[INFERENCE]
        contents[f"{TRAIN}_{member.stage.name}"] = others[TRAIN]
    return contents


def _of_member(member: Member, changes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    # One fresh member of an ensemble is trained, whose weights are not the ensemble's
    target = None if member.is_ensemble else weights_of(member)[0]
    train = published(member.train, TRAIN, {"weights_file": target})
    inference = published(member.inference, INFERENCE, changes)
    return {
        TRAIN: train,
        INFERENCE: inference,
        EVALUATE: evaluation_overlay(train, inference),
        MULTI_GPU: multi_gpu_overlay(train),
    }


def write_config(target: Path, content: Mapping[str, Any]) -> None:
    """JSON as the Model Zoo's formatter leaves it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8", newline="\n")


def write_pages(source: Source, bundle: Path, described: Mapping[str, Any], license_file: Path | None) -> None:
    docs = bundle / "docs"
    docs.mkdir()
    if license_file is not None and not license_file.is_file():
        raise InputError(f"DATA_LICENSE is {license_file}, which is no file; give a text with the terms of the data.")
    terms = license_file.read_text(encoding="utf-8") if license_file else data_license(source)
    (docs / "README.md").write_text(readme(source, described), encoding="utf-8", newline="\n")
    (docs / "data_license.txt").write_text(terms, encoding="utf-8", newline="\n")


def refuse_other(bundle: Path) -> None:
    """Raise InputError where a folder of a bundle's name is something else."""
    if bundle.is_dir() and any(bundle.iterdir()) and not (bundle / "configs").is_dir():
        raise InputError(f"{bundle}: is a folder, but no bundle; choose another OUT, or remove it.")
