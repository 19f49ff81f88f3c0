"""Downloading the public 20-CT set (Ma et al. 2020, for non-commercial use) from Zenodo, resumable and verified.

    pneumobundle fetch

Also from a mirror: --url FOLDER-URL, and --record for the description of the files, which carries their checksums.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import logging
import os
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.core import logs
from pipeline.core.errors import InputError
from pipeline.core.progress_bar import BYTES, Progress, progress_bar
from pipeline.folders.layouts import image_files
from pipeline.scans.scan import SUFFIXES

logger = logging.getLogger(__name__)
RECORD_URL = "https://zenodo.org/api/records/3757476"
FILES_URL = "https://zenodo.org/records/3757476/files/"
ARCHIVES = ("COVID-19-CT-Seg_20cases.zip", "Lung_and_Infection_Mask.zip")
BLOCK_BYTES, TIMEOUT_S = 1 << 20, 60
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)


@dataclass(frozen=True)
class RemoteFile:
    """A file to download, with the size and MD5 (hexadecimal) that the record states."""

    name: str
    url: str
    size_bytes: int
    md5: str


def fetch(target: str | Path, files_url: str = FILES_URL, record_url: str = RECORD_URL) -> None:
    """The public set as target/COVID-19-CT-Seg_20cases/ and target/Lung_and_Infection_Mask/; what is there is kept."""
    target = Path(target)
    wanted = [name for name in ARCHIVES if not image_files(unpacked_folder(target, name))]
    if not wanted:
        logs.result(f"{target}: already complete, nothing to do", folder=target)
        return
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{target}: cannot be made ({error.strerror}); give another folder.") from error
    for remote in remote_files(wanted, files_url, record_url):
        archive = download(remote, target)
        logger.info("%s: unpacked", unpack(archive, unpacked_folder(target, remote.name)))
        archive.unlink()
    logs.result(f"{target}: complete", folder=target)


def unpacked_folder(target: Path, archive_name: str) -> Path:
    """Where an archive is unpacked: a folder of its name, since all archives hold files of equal names."""
    return target / Path(archive_name).stem


def remote_files(names: Sequence[str], files_url: str, record_url: str) -> list[RemoteFile]:
    """Size and checksum of the named files from Zenodo's description of the record."""
    with _network(record_url), urllib.request.urlopen(_request(record_url), timeout=TIMEOUT_S) as response:
        answer = response.read()
    try:
        described = {file["key"]: (int(file["size"]), file["checksum"]) for file in json.loads(answer)["files"]}
        base = files_url if files_url.endswith("/") else files_url + "/"
        found = [RemoteFile(name, base + name, described[name][0], _md5_value(described[name][1])) for name in names]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{record_url}: does not describe {' and '.join(names)} with size and MD5 ({error!r}); give the address of "
            "Zenodo's record API with --record."
        ) from error
    return found


def _md5_value(checksum: str) -> str:
    kind, _, value = checksum.partition(":")
    if kind != "md5" or len(value) != 32:
        raise ValueError(f"checksum {checksum}")
    return value.lower()


def download(remote: RemoteFile, folder: Path) -> Path:
    """A remote file whole and with the right checksum; what an earlier call left in NAME.part is gone on with."""
    whole, part = folder / remote.name, folder / f"{remote.name}.part"
    if whole.is_file():
        if _md5(whole) != remote.md5:
            raise InputError(f"{whole}: its MD5 is not {remote.md5} as on Zenodo; remove it and run again.")
        return whole
    done = part.stat().st_size if part.is_file() else 0
    if done < remote.size_bytes:
        _receive(remote, part, done)
    if (came := _md5(part)) != remote.md5:
        # Kept, it would be taken for complete for ever.
        part.unlink()
        raise InputError(f"{remote.url}: came with MD5 {came}, expected {remote.md5}; it was removed, run again.")
    os.replace(part, whole)
    return whole


def _receive(remote: RemoteFile, part: Path, done: int) -> None:
    """Append to a file from byte `done`, or write it anew where the server does not know ranges."""
    request = _request(remote.url, {"Range": f"bytes={done}-"} if done else {})
    with _network(remote.url), urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        if response.status != http.client.PARTIAL_CONTENT:
            done = 0
        promised = response.headers.get("Content-Length")
        # A proxy's login page, say, must not overwrite a gigabyte that came before.
        if promised is not None and done + int(promised) != remote.size_bytes:
            total = done + int(promised)
            raise InputError(f"{remote.url}: offers {total} bytes, expected {remote.size_bytes}; check the address.")
        progress = Progress(remote.name, remote.size_bytes, BYTES, done)
        with part.open("ab" if done else "wb") as file, progress:
            while block := response.read(BLOCK_BYTES):
                file.write(block)
                progress.advance(len(block))
    received = part.stat().st_size
    if received < remote.size_bytes:
        raise InputError(
            f"{remote.url}: stopped after {received} of {remote.size_bytes} bytes, kept in {part}; run again to go on."
        )


def _request(url: str, headers: dict[str, str] | None = None) -> urllib.request.Request:
    try:
        return urllib.request.Request(url, headers={"User-Agent": "PneumoBundle", **(headers or {})})
    except ValueError as error:
        raise InputError(f"{url}: is no address; expected one that begins with https://; correct it.") from error


@contextmanager
def _network(url: str) -> Iterator[None]:
    """Failures of network and disk as one sentence."""
    try:
        yield
    except urllib.error.HTTPError as error:
        raise InputError(f"{url}: the server answered {error.code} {error.reason}; try later or a mirror.") from error
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise InputError(f"{url}: cannot be saved ({error.strerror}); make room or give another folder.") from error
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"{url}: no connection ({reason}); check network and proxy, then run again to go on."
        ) from error


def _md5(path: Path) -> str:
    # Against damage, not against malice, so it must work where a security policy forbids MD5.
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def unpack(archive: Path, folder: Path) -> Path:
    """The images of a zip directly in a folder that appears only when whole; InputError for a path that leaves it."""
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty and holds no scan; remove it and run again.")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpacking-") as place:
        fresh = Path(place) / folder.name
        fresh.mkdir()
        try:
            with zipfile.ZipFile(archive) as zipped:
                members = _image_members(zipped)
                for member in progress_bar(members, len(members), f"unpacking {archive.name}"):
                    with zipped.open(member) as source, (fresh / PurePosixPath(member).name).open("xb") as file:
                        shutil.copyfileobj(source, file, BLOCK_BYTES)
        except (zipfile.BadZipFile, zlib.error, EOFError, FileExistsError) as error:
            raise InputError(f"{archive}: damaged ({error}); remove it and run again.") from error
        os.replace(fresh, folder)
    return folder


def _image_members(zipped: zipfile.ZipFile) -> list[str]:
    """Names of the image files in a zip, every name having been looked at first."""
    for name in zipped.namelist():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name or ":" in name:
            raise InputError(f"{zipped.filename}: holds {name}, a path outside the target; do not use this file.")
    files = [name for name in zipped.namelist() if name.lower().endswith(SUFFIXES)]
    images = [name for name in files if not PurePosixPath(name).name.startswith(".")]
    if not images:
        raise InputError(f"{zipped.filename}: holds no {', '.join(SUFFIXES)} file; give the address of the set.")
    return images
