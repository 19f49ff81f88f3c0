"""A bundle that somebody gave: what it is, whether it is what was published, and where its configuration lies."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.bundle_files.archive import bundle_sha256, check_checksums, checksum_file, copy_files
from pipeline.bundle_files.foreign_code import foreign_code
from pipeline.bundle_files.packages_at_work import imported_from
from pipeline.core.configuration import INFERENCE
from pipeline.core.errors import InputError
from pipeline.scans.dicom.archive import extracted

logger = logging.getLogger(__name__)
CONFIG = Path("configs") / f"{INFERENCE}.json"
SHOWN_CHARACTERS = 120


def is_bundle(model: str | Path) -> bool:
    """Whether a path is of an exported bundle, a folder or a zip file, and not of a fold of a run."""
    path = Path(model)
    return path.suffix == ".zip" or (path / CONFIG).is_file()


def source_of(bundle: Path) -> str:
    """Where a bundle lies and what its hash is, in two lines for whoever is about to run it.

    Raises InputError where its checksum file says something else.
    """
    told = (
        f"as {checksum_file(bundle).name} says" if _checked(bundle) else "no checksum file beside it, so not compared"
    )
    return f"bundle {bundle.resolve()}\nSHA-256 {bundle_sha256(bundle)}, {told}"


def _checked(bundle: Path) -> bool:
    """Whether there is a checksum file that agrees; InputError where it does not, or there is no such bundle."""
    if not bundle.exists():
        raise InputError(f"MODEL is {bundle}, which does not exist; give a fold of a run, or a bundle.")
    return check_checksums(bundle)


@contextmanager
def opened(bundle: Path, trusted: bool = False) -> Iterator[Path]:
    """A copy of a bundle for as long as it is needed.

    A copy, so that nothing runs but what was hashed: what using a bundle leaves in its folder is not, as compiled code.
    Raises InputError where its checksum file says something else, before anything in it is read; for a zip file that
    holds no bundle or is not safe to unpack; where the bundle would run anything that this project does not have
    itself (see `pipeline.bundle_files.foreign_code`), unless it is `trusted`; and while another bundle is open whose
    code has the same name and is other code.
    """
    _checked(bundle)
    with _copy(bundle) as scratch:
        folders = [file.parents[1] for file in scratch.glob(f"*/{CONFIG}")]
        if len(folders) != 1:
            raise InputError(f"MODEL is {bundle}, which holds no bundle: there is no <name>/{CONFIG} in it.")
        _check_own(bundle, folders[0], trusted)
        with imported_from(folders[0], str(bundle)):
            yield folders[0]


@contextmanager
def _copy(bundle: Path) -> Iterator[Path]:
    """A temporary folder with a copy of a bundle, a folder or a zip file."""
    if not bundle.is_dir():
        with extracted(bundle) as folder:
            yield folder
        return
    with TemporaryDirectory() as name:
        copy_files(bundle, Path(name) / bundle.resolve().name)
        yield Path(name)


def _check_own(bundle: Path, folder: Path, trusted: bool) -> None:
    """Raise InputError, telling the first of it, where a bundle would run what is not this project's own."""
    file, found = next(foreign_code(folder), ("", ""))
    if not file:
        return
    shown = found if len(found) <= SHOWN_CHARACTERS else f"{found[:SHOWN_CHARACTERS]}..."
    if not trusted:
        raise InputError(
            f"MODEL is {bundle}, whose {file} has what this version of the project does not: {shown}; it would run on "
            "this machine with your rights; if you know who made the bundle, read it, and give TRUST=1 (--trust)."
        )
    logger.warning(
        "MODEL runs code that this version of the project does not have, as it is trusted: %s: %s", file, shown
    )
