"""A bundle that somebody gave: what it is, whether it is what was published, and where its configuration lies."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.configuration import INFERENCE
from pipeline.errors import InputError
from pipeline.export.archive import bundle_sha256, check_checksums, checksum_file, copy_files

CONFIG = Path("configs") / f"{INFERENCE}.json"


def is_bundle(model: str | Path) -> bool:
    """Whether a path is of an exported bundle, a folder or a zip file, and not of a fold of a run."""
    path = Path(model)
    return path.suffix == ".zip" or (path / CONFIG).is_file()


@contextmanager
def opened(bundle: Path) -> Iterator[Path]:
    """A copy of a bundle for as long as it is needed; tells its source and hash first.

    A copy, so that nothing runs but what was hashed: what using a bundle leaves in its folder is not, as compiled code.
    Raises InputError where its checksum file says something else, before anything in it is read, and for a zip file
    that holds no bundle, or writes beside it.
    """
    if not bundle.exists():
        raise InputError(f"MODEL is {bundle}, which does not exist; give a fold of a run, or a bundle.")
    checked = check_checksums(bundle)
    told = f"as {checksum_file(bundle).name} says" if checked else "no checksum file beside it, so not compared"
    print(f"bundle {bundle.resolve()}\nSHA-256 {bundle_sha256(bundle)}, {told}", flush=True)
    print("A bundle's configuration and code run on this machine: use none that you do not trust.", flush=True)
    with TemporaryDirectory() as scratch:
        if bundle.is_dir():
            copy_files(bundle, Path(scratch) / bundle.resolve().name)
        else:
            _unpack(bundle, Path(scratch))
        folders = [file.parents[1] for file in Path(scratch).glob(f"*/{CONFIG}")]
        if len(folders) != 1:
            raise InputError(f"MODEL is {bundle}, which holds no bundle: there is no <name>/{CONFIG} in it.")
        yield folders[0]


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as given:
            outside = [
                name for name in given.namelist() if not (folder / name).resolve().is_relative_to(folder.resolve())
            ]
            if outside:
                raise InputError(
                    f"MODEL is {archive}, which would write to {outside[0]}, outside its folder; delete it."
                )
            given.extractall(folder)
    except zipfile.BadZipFile as error:
        raise InputError(f"MODEL is {archive}, which is no readable zip file ({error}); download it again.") from error
