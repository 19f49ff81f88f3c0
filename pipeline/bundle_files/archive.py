"""Files whose bytes are the same each time, their hashes, and the list of those too large for the Model Zoo."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.atomic import replacing
from pipeline.core.errors import InputError
from pipeline.core.progress_bar import working
from pipeline.scans.scan import file_sha256

LARGE_BYTES = 25 * 2**20
LARGE_FILES, LARGE_FILES_NAMES = "large_files.yml", ("large_files.yml", "large_files.yaml", "large_files.json")
CHECKSUMS = ".sha256"
# The earliest time that a zip file can state
NO_TIME = (1980, 1, 1, 0, 0, 0)
# Where TorchScript keeps the source files' paths, and a number made of all that it keeps
WITH_PATHS = (".debug_pkl", ".data/serialization_id")
# What using a bundle leaves in it
LEFT_BY_USE = ("__pycache__", "eval")


def files_of(folder: Path) -> list[Path]:
    """The files of a bundle by name, without what using it leaves there; paths below the folder."""
    every = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in every if not set(path.parts) & set(LEFT_BY_USE))


def copy_files(bundle: Path, target: Path, without: Collection[str] = ()) -> None:
    """Copy the files of a bundle, without those of these names, into a folder."""
    for path in files_of(bundle):
        if path.as_posix() not in without:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle / path, target / path)


def write_zip(target: Path, contents: Iterable[tuple[str, bytes | Path]]) -> None:
    """A zip file of names and contents whose bytes depend on these alone: nothing compressed, no times."""
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents:
            entry = zipfile.ZipInfo(name, NO_TIME)
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w", force_zip64=False) as stream:
                stream.write(content if isinstance(content, bytes) else content.read_bytes())


@working("packing the bundle")
def zip_bundle(folder: Path, version: str) -> Path:
    """`<name>_v<version>.zip` beside a bundle and its checksum file; also that of the folder, `<name>.sha256`."""
    target = folder.with_name(f"{folder.name}_v{version}.zip")
    write_zip(target, [(f"{folder.name}/{path.as_posix()}", folder / path) for path in files_of(folder)])
    _write_lines(checksum_file(target), [f"{file_sha256(target)}  {target.name}"])
    write_checksums(folder)
    return target


def write_checksums(folder: Path) -> None:
    """Write `<name>.sha256` beside a folder."""
    _write_lines(checksum_file(folder), checksums(folder))


def checksum_file(bundle: Path) -> Path:
    """Beside a bundle, a folder or a zip file, in the form that `sha256sum --check` reads."""
    return bundle.with_name(bundle.name + CHECKSUMS)


def checksums(folder: Path) -> list[str]:
    """A line a file of a bundle: SHA-256 and path from the folder that the bundle is in."""
    return [f"{file_sha256(folder / path)}  {folder.name}/{path.as_posix()}" for path in files_of(folder)]


def bundle_sha256(bundle: Path) -> str:
    """SHA-256 of a zip file, or of the lines of `checksums` of a folder."""
    if bundle.is_file():
        return file_sha256(bundle)
    return hashlib.sha256("\n".join(checksums(bundle)).encode()).hexdigest()


def check_checksums(bundle: Path) -> bool:
    """Whether a bundle has a checksum file; InputError where a file of it was changed, came or went since."""
    file = checksum_file(bundle)
    if not file.is_file():
        return False
    stated = _by_name(file.read_text(encoding="utf-8").splitlines())
    lines = checksums(bundle) if bundle.is_dir() else [f"{file_sha256(bundle)}  {bundle.name}"]
    found = _by_name(lines)
    changed = sorted(name for name in stated.keys() | found.keys() if stated.get(name) != found.get(name))
    if changed:
        raise InputError(
            f"{bundle}: {changed[0]} is not what {file.name} says ({len(changed)} such files); get the bundle again "
            "from where it was published, and do not use this one."
        )
    return True


def _by_name(lines: Iterable[str]) -> dict[str, str]:
    """Path -> SHA-256 of the lines of a checksum file."""
    return {name.strip(): sha256 for sha256, _, name in (line.partition(" ") for line in lines if line)}


def _write_lines(target: Path, lines: Iterable[str]) -> None:
    with replacing(target) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def without_paths(torchscript: bytes) -> bytes:
    """A TorchScript file without the paths of the source files that it was made from; it runs as before."""
    plain = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(torchscript)) as given, zipfile.ZipFile(plain, "w", zipfile.ZIP_STORED) as archive:
        for name in given.namelist():
            if not name.endswith(WITH_PATHS):
                archive.writestr(zipfile.ZipInfo(name, NO_TIME), given.read(name))
    return plain.getvalue()


def large_files(folder: Path, url: str) -> list[dict[str, str]]:
    """Those over the Model Zoo's limit, as it wants them listed; `url` is of a folder that they can be had from."""
    return [
        {
            "path": path.as_posix(),
            "url": f"{url.rstrip('/')}/{path.name}" if url else "",
            "hash_val": file_sha256(folder / path),
            "hash_type": "sha256",
        }
        for path in files_of(folder)
        if (folder / path).stat().st_size > LARGE_BYTES
    ]


def write_large_files(folder: Path, url: str) -> None:
    """Write `large_files.yml` where a bundle has such files."""
    if listed := large_files(folder, url):
        text = yaml.safe_dump({"large_files": listed}, sort_keys=False)
        (folder / LARGE_FILES).write_text(text, encoding="utf-8", newline="\n")


def read_large_files(folder: Path) -> list[Mapping[str, Any]]:
    """The entries of a bundle's list of large files; none where it has no list."""
    for name in LARGE_FILES_NAMES:
        if (folder / name).is_file():
            return list(yaml.safe_load((folder / name).read_text(encoding="utf-8"))["large_files"])
    return []
