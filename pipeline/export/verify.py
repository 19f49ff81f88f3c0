"""Check a bundle by what the Model Zoo's contribution guide asks for: a line a finding, status 1 if something fails.

pneumobundle verify build/bundles/lung_ct_covid_unet_3d_segmentation
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.bundle_files.archive import LARGE_BYTES, check_checksums, checksum_file, files_of, read_large_files
from pipeline.core.atomic import read_json
from pipeline.core.errors import InputError
from pipeline.core.progress_bar import progress_bar, working
from pipeline.core.project import ROOT
from pipeline.scans.scan import file_sha256

OK, NOTE, FAIL = "ok", "note", "FAIL"
STANDALONE = Path(__file__).parent / "standalone.py"
# Where `make verify-bundle` looks for the schema of metadata.json, unless it is told
SCHEMA_NAME = "meta_schema_20240725.json"
REQUIRED_FILES = ("LICENSE", "configs/metadata.json", "configs/inference.json", "models/model.pt", "docs/README.md")
USUAL_FILES = (
    "configs/train.json", "configs/evaluate.json", "configs/multi_gpu_train.json", "configs/logging.conf",
    "docs/data_license.txt",
)  # fmt: skip
TEXT_KEYS = (
    "schema", "version", "monai_version", "pytorch_version", "numpy_version", "task", "description", "authors",
    "copyright",
)  # fmt: skip
TENSOR_KEYS = ("type", "format", "num_channels", "spatial_shape", "dtype", "value_range")
CONFIG_KEYS = {
    "inference": (
        "bundle_root", "device", "dataset_dir", "dataset", "evaluator", "network_def", "inferer", "output_dir",
    ),
    "train": (
        "bundle_root", "device", "dataset_dir", "train::trainer", "train::trainer::max_epochs", "train::dataset",
        "train::dataset::data", "train::handlers", "train::inferer", "validate::evaluator", "validate::dataset",
        "validate::dataset::data", "val_interval",
    ),
}  # fmt: skip
README_SECTIONS = (
    "Authors", "Tags", "Description", "Data", "Preprocessing", "Performance", "Usage", "System", "Limitations",
    "Citation", "References",
)  # fmt: skip
TEXT_SUFFIXES = (".json", ".conf", ".md", ".txt", ".py", ".yml", ".yaml")
TEXT_BYTES = 1_000_000
LINE_LENGTH = 120
# Folders of people or of machines
PERSONAL = re.compile(
    rb"(?<![\w.:/])(?:/(?:home|Users|root|tmp|mnt|scratch|workspace)/[\w.-]+|[A-Za-z]:\\+Users\\+\w+)"
)


@dataclass(frozen=True)
class Finding:
    """The outcome of a check: `ok`, `note` for what a person should know, `FAIL`."""

    outcome: str
    what: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.outcome:4} {self.what}{': ' if self.detail else ''}{self.detail}"


Check = Callable[[Path], Iterator[Finding]]


def failures(what: str, problems: Sequence[str]) -> Iterator[Finding]:
    """A finding a problem, or one that there is none."""
    yield from [Finding(FAIL, what, problem) for problem in problems] or [Finding(OK, what)]


def check_name(bundle: Path) -> Iterator[Finding]:
    fits = re.fullmatch(r"[a-zA-Z0-9]+(_[a-zA-Z0-9]+){2,}", bundle.name)
    yield from failures("name", [] if fits else [f"{bundle.name} is not <body>_<modality>_<task>"])


def check_files(bundle: Path) -> Iterator[Finding]:
    elsewhere = {entry["path"] for entry in read_large_files(bundle)}
    there = [name for name in REQUIRED_FILES if (bundle / name).is_file() or name in elsewhere]
    yield from failures("required files", [f"there is no {name}" for name in REQUIRED_FILES if name not in there])
    if missing := [name for name in USUAL_FILES if not (bundle / name).is_file()]:
        yield Finding(NOTE, "usual files", f"there is no {', '.join(missing)}")


def check_sizes(bundle: Path) -> Iterator[Finding]:
    listed = {entry["path"]: entry for entry in read_large_files(bundle)}
    problems = []
    for path in files_of(bundle):
        name, size = path.as_posix(), (bundle / path).stat().st_size
        if size > LARGE_BYTES and name not in listed:
            problems.append(f"{name} has {size / 2**20:.0f} MB, over 25, and is not in large_files.yml")
        if path.suffix in TEXT_SUFFIXES and size > TEXT_BYTES:
            problems.append(f"{name} has {size / 1e6:.1f} MB of text, over 1")
        stated = listed.get(name, {}).get("hash_val")
        if stated and stated != file_sha256(bundle / path):
            problems.append(f"{name} has another hash than large_files.yml says")
    yield from failures("sizes", problems)
    if unreachable := [name for name, entry in listed.items() if not entry.get("url")]:
        yield Finding(NOTE, "large files", f"no URL yet for {', '.join(unreachable)}: export with URL=... to publish")


def check_metadata(bundle: Path) -> Iterator[Finding]:
    meta = read_json(bundle / "configs" / "metadata.json")
    problems = [f"{key} is {meta.get(key)!r}, expected a text" for key in TEXT_KEYS if not _is_text(meta.get(key))]
    packages = meta.get("required_packages_version")
    if not isinstance(packages, Mapping):
        problems.append("required_packages_version is no object")
    numbers = {key: meta.get(key) for key in ("monai_version", "pytorch_version", "numpy_version")}
    for name, number in {**numbers, **(packages if isinstance(packages, Mapping) else {})}.items():
        if not re.fullmatch(r"\d+(\.\d+)*(\.?(post|rc)\d+)?", str(number)):
            problems.append(f"{name} is {number}, expected a plain version such as 1.6.1")
    if meta.get("version") not in meta.get("changelog", {}):
        problems.append(f"the changelog has no line for version {meta.get('version')}")
    problems += [
        problem for key in meta if key.endswith("_data_format") for problem in _tensor_problems(key, meta[key])
    ]
    if "network_data_format" not in meta:
        problems.append("there is no network_data_format")
    yield from failures("metadata.json", problems)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _tensor_problems(key: str, data_format: Mapping[str, Any]) -> Iterator[str]:
    for side in ("inputs", "outputs"):
        tensors = data_format.get(side, {})
        if not tensors:
            yield f"{key} has no {side}"
        for name, tensor in tensors.items():
            if missing := [wanted for wanted in TENSOR_KEYS if wanted not in tensor]:
                yield f"{key}, {side}, {name} lacks {', '.join(missing)}"


def check_configs(bundle: Path) -> Iterator[Finding]:
    problems = []
    for name, keys in CONFIG_KEYS.items():
        file = bundle / "configs" / f"{name}.json"
        content = read_json(file) if file.is_file() else None
        if content is not None:
            problems += [f"{name}.json has no {key}" for key in keys if not _has(content, key)]
    yield from failures("keys of the configurations", problems)


def _has(content: Any, key: str) -> bool:
    for part in key.split("::"):
        if not isinstance(content, Mapping) or part not in content:
            return False
        content = content[part]
    return True


def check_formatting(bundle: Path) -> Iterator[Finding]:
    problems = []
    for path in files_of(bundle):
        if path.suffix not in TEXT_SUFFIXES:
            continue
        text = (bundle / path).read_text(encoding="utf-8")
        if path.suffix == ".json" and path.parts[0] == "configs":
            formed = json.dumps(json.loads(text), indent=4) + "\n"
            problems += [] if text == formed else [f"{path} is not ASCII, indented by 4, with a newline at its end"]
        if any(line != line.rstrip() for line in text.splitlines()):
            problems.append(f"{path} has blanks at ends of lines")
        if path.suffix == ".py" and any(len(line) > LINE_LENGTH for line in text.splitlines()):
            problems.append(f"{path} has lines over {LINE_LENGTH} characters")
    yield from failures("formatting", problems)


def check_paths(bundle: Path) -> Iterator[Finding]:
    """No folder of a person or a machine, in no file: TorchScript keeps paths too."""
    own = [os.fsencode(folder) for folder in (Path.home(), ROOT) if len(folder.parts) > 2]
    problems = []
    for path in files_of(bundle):
        content = (bundle / path).read_bytes()
        found = [folder for folder in own if folder in content]
        if path.suffix in TEXT_SUFFIXES:
            found += [match.group() for match in PERSONAL.finditer(content)]
        problems += [f"{path} names {os.fsdecode(found[0])}"] if found else []
    yield from failures("no personal paths", problems)


def check_readme(bundle: Path) -> Iterator[Finding]:
    text = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    titles = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    yield from failures("docs/README.md", [f"has no section {name}" for name in README_SECTIONS if name not in titles])
    terms = bundle / "docs" / "data_license.txt"
    if terms.is_file() and "NOT STATED" in terms.read_text(encoding="utf-8"):
        yield Finding(NOTE, "data_license.txt", "does not state the terms of the data: export with DATA_LICENSE=file")


def check_weights(bundle: Path) -> Iterator[Finding]:
    """Plain state dicts: nothing but tensors is unpickled."""
    problems = []
    for file in sorted((bundle / "models").glob("*.pt")):
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # of whatever a pickle may hold, each kind has its own
            problems.append(f"{file.name} does not load with weights_only ({type(error).__name__})")
            continue
        if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
            problems.append(f"{file.name} is no plain state dict")
    yield from failures("weights", problems)


def check_code(bundle: Path) -> Iterator[Finding]:
    """Every folder of code is a package, under a name that no other bundle uses."""
    problems = []
    for path in files_of(bundle):
        if path.suffix != ".py":
            continue
        try:
            ast.parse((bundle / path).read_text(encoding="utf-8"))
        except SyntaxError as error:
            problems.append(f"{path}: {error}")
        if path.parts[0] == "scripts":
            problems.append("the package is named scripts, as other bundles' are: the second one gets the first one's")
    yield from failures("code", list(dict.fromkeys(problems)))


def check_archive(bundle: Path) -> Iterator[Finding]:
    if not checksum_file(bundle).is_file():
        yield Finding(NOTE, "checksums", f"there is no {checksum_file(bundle).name} beside the bundle")
        return
    try:
        check_checksums(bundle)
    except InputError as error:
        yield Finding(FAIL, "checksums", str(error))
        return
    yield Finding(OK, "checksums")


CHECKS: tuple[Check, ...] = (
    check_name,
    check_files,
    check_sizes,
    check_metadata,
    check_configs,
    check_formatting,
    check_paths,
    check_readme,
    check_weights,
    check_code,
    check_archive,
)


def read_findings(bundle: Path) -> list[Finding]:
    """What reading a bundle's files tells; a check that a missing file stops is a finding too."""
    found = []
    for check in progress_bar(CHECKS, len(CHECKS), "checking the files"):
        try:
            found += list(check(bundle))
        except (OSError, ValueError, KeyError) as error:
            found.append(Finding(FAIL, check.__name__.removeprefix("check_"), f"{type(error).__name__}: {error}"))
    return found


@working("running MONAI's commands on it")
def run_findings(bundle: Path, schema: Path | None) -> list[Finding]:
    """What MONAI's own commands tell, in a process that sees no other packages than those that the bundle names."""
    with tempfile.TemporaryDirectory() as scratch:
        # Without PYTHONPATH, this folder and the user's own packages
        command = [
            sys.executable,
            "-I",
            str(STANDALONE),
            str(bundle),
            scratch,
            *([str(schema.resolve())] if schema else []),
        ]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [Finding(**json.loads(line)) for line in told.stdout.splitlines() if line.startswith('{"outcome"')]
    if told.returncode:
        found.append(Finding(FAIL, "stand-alone", told.stderr.strip().rpartition("\n")[2]))
    return found


def schema_file(given: str) -> Path | None:
    """The schema of metadata.json: the file that is named, or one that was put where it is looked for."""
    if given and not Path(given).is_file():
        raise InputError(f"SCHEMA is {given}, which is no file; leave it out, or download {SCHEMA_NAME} there.")
    usual = ROOT / "data" / SCHEMA_NAME
    return Path(given) if given else usual if usual.is_file() else None


def verify(bundle: Path, schema: Path | None = None) -> list[Finding]:
    """All findings; InputError where there is no bundle."""
    if not (bundle / "configs").is_dir():
        raise InputError(f"BUNDLE is {bundle}, which has no folder configs; give the folder of a bundle.")
    found = read_findings(bundle)
    if (bundle / "configs" / "metadata.json").is_file():
        found += run_findings(bundle, schema)
    return found
