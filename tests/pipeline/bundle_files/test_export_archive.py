"""Archives with the same bytes each time, checksums, and large files."""

from __future__ import annotations

import io
import os
import zipfile

import pytest
import torch

from pipeline.bundle_files.archive import (
    LARGE_BYTES,
    check_checksums,
    checksum_file,
    large_files,
    read_large_files,
    without_paths,
    write_large_files,
    zip_bundle,
)
from pipeline.core.errors import InputError
from pipeline.scans.scan import file_sha256


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "a_ct_bundle"
    for name in ("LICENSE", "configs/inference.json", "models/model.pt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_two_archives_of_the_same_files_are_the_same_file(bundle):
    first = zip_bundle(bundle, "0.1.0").read_bytes()
    os.utime(bundle / "LICENSE", (0, 0))
    assert zip_bundle(bundle, "0.1.0").read_bytes() == first


def test_an_archive_holds_the_folder_without_what_using_it_left_there(bundle):
    (bundle / "eval").mkdir()
    (bundle / "eval" / "labels.nii.gz").write_text("")
    with zipfile.ZipFile(zip_bundle(bundle, "0.1.0")) as archive:
        names = archive.namelist()
    assert names == [f"a_ct_bundle/{name}" for name in ("LICENSE", "configs/inference.json", "models/model.pt")]


def test_the_checksum_file_is_one_that_sha256sum_reads(bundle):
    archive = zip_bundle(bundle, "0.1.0")
    assert checksum_file(archive).read_text() == f"{file_sha256(archive)}  {archive.name}\n"


def test_an_unchanged_bundle_is_what_its_checksum_file_says(bundle):
    archive = zip_bundle(bundle, "0.1.0")
    assert check_checksums(bundle)
    assert check_checksums(archive)


def test_a_bundle_without_a_checksum_file_is_not_compared(bundle):
    assert not check_checksums(bundle)


@pytest.mark.parametrize("name", ["LICENSE", "configs/inference.json", "new_code.py"])
def test_a_file_that_was_changed_or_added_is_named(bundle, name):
    zip_bundle(bundle, "0.1.0")
    (bundle / name).write_text("changed")
    with pytest.raises(InputError, match=name):
        check_checksums(bundle)


def test_a_file_that_is_missing_is_named(bundle):
    zip_bundle(bundle, "0.1.0")
    (bundle / "LICENSE").unlink()
    with pytest.raises(InputError, match="LICENSE"):
        check_checksums(bundle)


def test_a_large_file_is_listed_with_its_hash_and_where_it_can_be_had(bundle):
    with (bundle / "models" / "model.pt").open("wb") as stream:
        stream.truncate(LARGE_BYTES + 1)
    write_large_files(bundle, "https://example.org/weights/")
    assert read_large_files(bundle) == [
        {
            "path": "models/model.pt",
            "url": "https://example.org/weights/model.pt",
            "hash_val": file_sha256(bundle / "models" / "model.pt"),
            "hash_type": "sha256",
        }
    ]


def test_a_bundle_of_small_files_has_no_list_of_large_ones(bundle):
    write_large_files(bundle, "https://example.org")
    assert large_files(bundle, "https://example.org") == read_large_files(bundle) == []
    assert not list(bundle.glob("large_files*"))


def test_torchscript_keeps_no_paths_and_runs_as_before():
    content, image = io.BytesIO(), torch.ones(1, 1, 4, 4)
    network = torch.jit.script(torch.nn.Conv2d(1, 2, 3))
    torch.jit.save(network, content)
    assert b".py" in content.getvalue()
    plain = without_paths(content.getvalue())
    with zipfile.ZipFile(io.BytesIO(plain)) as archive:
        assert not [name for name in archive.namelist() if name.endswith((".debug_pkl", "serialization_id"))]
    assert torch.equal(torch.jit.load(io.BytesIO(plain))(image), network(image))
