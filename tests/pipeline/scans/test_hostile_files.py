"""Files that are made to do harm, or are damaged as if they were, are refused in one sentence that names them."""

from __future__ import annotations

import gzip
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from fuzz.images import sound

from pipeline.core import machine
from pipeline.core.errors import InputError
from pipeline.folders.layouts import image_files
from pipeline.folders.scan_list import scans
from pipeline.scans import header, unpacking
from pipeline.scans.front import Front
from pipeline.scans.scan import read_geometry, read_scan

FRONT = Front(spacing_mm=(3, 3, 5), order=1)


def refusal(file: Path) -> str:
    """What reading says after the file's name, which is the same for its grid alone."""
    with pytest.raises(InputError) as caught:
        read_scan(file)
    said = str(caught.value)
    assert said.startswith(f"{file}: ")
    assert "\n" not in said
    return said.removeprefix(f"{file}: ")


def file_of(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def nifti(folder: Path, place: int, form: str, *values: float, name: str = "a.nii") -> Path:
    """A NIfTI file with other values in its header."""
    content = bytearray(sound("nifti1"))
    struct.pack_into("<" + form, content, place, *values)
    return file_of(folder, name, gzip.compress(content, 1) if name.endswith(".gz") else bytes(content))


@pytest.fixture(params=["isal", "zlib"])
def each_library(request, monkeypatch) -> None:
    if request.param not in unpacking.LIBRARIES:
        pytest.skip("the extra isal is not installed")
    monkeypatch.setattr(unpacking, "inflate", unpacking.LIBRARIES[request.param])


@pytest.mark.usefixtures("each_library")
def test_a_gzip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    bomb = zlib.compressobj(9, wbits=31)
    blocks = [bomb.compress(sound("nifti1")), *(bomb.compress(bytes(1 << 22)) for _ in range(16)), bomb.flush()]
    file = file_of(tmp_path, "a.nii.gz", b"".join(blocks))
    tracemalloc.start()
    assert refusal(file).startswith("holds more than the 7552 bytes that its header promises")
    assert tracemalloc.get_traced_memory()[1] < 1 << 23
    tracemalloc.stop()


def test_a_bomb_in_a_compressed_metaimage_is_refused(tmp_path):
    head, _, _ = sound("mha").partition(b"LOCAL\n")
    head = head.replace(b"CompressedData = False", b"CompressedData = True") + b"LOCAL\n"
    assert "holds more than the 7200 bytes" in refusal(file_of(tmp_path, "a.mha", head + zlib.compress(bytes(1 << 23))))


@pytest.mark.usefixtures("each_library")
def test_many_empty_gzip_parts_are_read_in_no_time(tmp_path):
    content = gzip.compress(sound("nifti1"), 1) + gzip.compress(b"") * 50_000
    assert read_scan(file_of(tmp_path, "a.nii.gz", content)).GetSize() == (20, 18, 10)


@pytest.mark.usefixtures("each_library")
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_header_that_promises_more_than_the_file_holds_is_refused(tmp_path, name):
    file = nifti(tmp_path, 40, "4h", 3, 32767, 32767, 32767, name=name)
    assert "32767" in refusal(file) or "ends after" in refusal(file)


def test_a_header_that_promises_more_than_memory_is_refused_with_both_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "memory_left_mib", lambda: 0.01)
    said = refusal(file_of(tmp_path, "a.nii", sound("nifti1")))
    assert "20 x 18 x 10 voxels, which need 14.1 KiB of memory, and 10.2 KiB are free" in said


@pytest.mark.parametrize("sizes", [(3, 0, 18, 10), (3, -20, 18, 10), (3, 20, 18, -32768)])
def test_sizes_that_are_none_are_refused(tmp_path, sizes):
    assert "expected at least one" in refusal(nifti(tmp_path, 40, "4h", *sizes))


@pytest.mark.parametrize(
    ("place", "form", "values", "said"),
    [
        (76, "4f", (1, 1.2, float("nan"), 3), "has spacing 1.2 nan 3"),
        (76, "4f", (1, 1.2, 1.5, float("inf")), "has spacing 1.2 1.5 inf"),
        (76, "4f", (1, 0, 1.5, 3), "has spacing 0 1.5 3"),
        (108, "f", (1e30,), "its voxels begin at byte 1e+30"),
        (108, "f", (float("nan"),), "its voxels begin at byte nan"),
        (108, "f", (-8,), "its voxels begin at byte -8"),
        (112, "2f", (float("inf"), 0), "has slope and intercept inf 0"),
        (112, "2f", (1, float("-inf")), "has slope and intercept 1 -inf"),
        (280, "f", (float("nan"),), "has sform nan"),
        (70, "h", (9999,), "has voxels of the data type 9999"),
        (344, "4s", (b"abc\0",), "not readable as a medical image (no NIfTI, by its magic b'abc')"),
        (0, "i", (540,), "is a NIfTI-2 file"),
        (0, "i", (7,), "not readable as a medical image (no NIfTI, by its first bytes)"),
        (40, "h", (99,), "has 99 dimensions"),
    ],
)
def test_a_nifti_header_that_cannot_be_is_refused(tmp_path, place, form, values, said):
    assert refusal(nifti(tmp_path, place, form, *values)).startswith(said)


def test_a_nifti_file_that_is_not_packed_is_told_its_name(tmp_path):
    assert refusal(file_of(tmp_path, "a.nii.gz", sound("nifti1"))).endswith("name it .nii.")


@pytest.mark.parametrize(
    ("kind", "old", "new", "said"),
    [
        ("nrrd", b"encoding: raw", b"encoding: raw\ndata file: /etc/passwd", "takes its voxels from another file"),
        ("nrrd", b"encoding: raw", b"encoding: raw\nDataFile: LIST", "takes its voxels from another file"),
        ("nrrd", b"encoding: raw", b"encoding: raw\nbyte skip: -1", "has byte skip"),
        ("nrrd", b"encoding: raw", b"encoding: hex", "has the encoding 'hex'"),
        ("nrrd", b"encoding: raw", b"encoding: raw\n" + b"x" * 1000, "has the line 'xxxx"),
        ("nrrd", b"encoding: raw", b"encoding: raw\rdata file: /etc/passwd", "has a header that is no text"),
        ("nrrd", b"sizes: 20 18 10", b"sizes: 20 18 -1", "has sizes '20 18 -1'"),
        ("nrrd", b"sizes: 20 18 10", b"sizes: 999999 999999 9999", "its header promises" ),
        ("nrrd", b"(1.2,0,0)", b"(nan,0,0)", "has space directions nan"),
        ("nrrd", b"(0,0,0)", b"(inf,0,0)", "has space origin inf"),
        ("nrrd", b"type: short", b"type: block", "has voxels of the type 'block'"),
        ("mha", b"= LOCAL", b"= /etc/passwd", "takes its voxels from another file, '/etc/passwd'"),
        ("mha", b"= LOCAL", b"= LIST", "takes its voxels from another file, 'LIST'"),
        ("mha", b"= LOCAL", b"= a%03d.raw 1 9 1", "takes its voxels from another file"),
        ("mha", b"NDims = 3", b"NDims = 99", "has NDims '99'"),
        ("mha", b"DimSize = 20", b"DimSize = -20", "has DimSize '-20 18 10'"),
        ("mha", b"Offset = 0", b"Offset = nan", "has Offset nan 0 0"),
        ("mha", b"ElementSpacing = 1.2", b"ElementSpacing = inf", "has ElementSpacing inf 1.5 3"),
        ("mha", b"MET_SHORT", b"MET_OTHER", "has ElementType 'MET_OTHER'"),
        ("mha", b"NDims = 3", b"NDims = 3\nHeaderSize = -1", "has HeaderSize '-1'"),
        ("mha", b"BinaryData = True", b"BinaryData = False", "has BinaryData 'False'"),
        ("mha", b"NDims = 3", b"NDims = 3\nElementNumberOfChannels = 100000", "has ElementNumberOfChannels '100000'"),
    ],
)  # fmt: skip
def test_a_text_header_that_cannot_be_is_refused(tmp_path, kind, old, new, said):
    content = sound(kind)
    assert old in content
    refused = refusal(file_of(tmp_path, f"a.{kind}", content.replace(old, new, 1)))
    assert refused.startswith(said) or "ends after" in refused


def test_a_file_is_read_as_what_its_name_says(tmp_path):
    assert refusal(file_of(tmp_path, "a.png", sound("mha"))).startswith("not readable as a medical image (no PNG")


def test_the_grid_alone_is_refused_as_the_scan_is(tmp_path):
    with pytest.raises(InputError, match="takes its voxels from another file"):
        read_geometry(file_of(tmp_path, "a.mha", sound("mha").replace(b"= LOCAL", b"= /etc/passwd")))


def test_what_is_no_file_is_told_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.nii.gz")
    (tmp_path / "nowhere.nii.gz").symlink_to(tmp_path / "not_there")
    (tmp_path / "loop.nii.gz").symlink_to(tmp_path / "loop.nii.gz")
    (tmp_path / "folder.nii.gz").mkdir()
    (tmp_path / "zero.nii.gz").symlink_to("/dev/zero")
    said = {refusal(file) for file in image_files(tmp_path)}
    assert said == {"is a folder, a link to nothing, a pipe or a device; give the file of a scan."}
    assert len(image_files(tmp_path)) == 5


def test_a_link_to_a_scan_is_that_scan(tmp_path):
    file_of(tmp_path, "scan.nii", sound("nifti1"))
    (tmp_path / "link.nii").symlink_to(tmp_path / "scan.nii")
    assert read_scan(tmp_path / "link.nii").GetSize() == (20, 18, 10)


@pytest.mark.parametrize("name", ["a b.nii", "Lüftung 肺 ق.nii", "a,b;c'd\"e%s{0}.nii", "-rf.nii", "x" * 240 + ".nii"])
def test_any_other_name_is_read(tmp_path, name):
    assert read_scan(file_of(tmp_path, name, sound("nifti1"))).GetSize() == (20, 18, 10)


@pytest.mark.parametrize("name", ["a\nb.nii", "a\rb.nii", "a\x1b[2Jb.nii", "a\u2028b.nii", os.fsdecode(b"a\xffb.nii")])
def test_a_name_that_breaks_lines_is_refused_in_one_line(tmp_path, name):
    file = file_of(tmp_path, name, sound("nifti1"))
    with pytest.raises(InputError, match="in its name") as caught:
        read_scan(file)
    said = str(caught.value)
    assert said.isprintable()
    assert said.encode("utf-8")


def test_a_name_that_no_file_can_have_is_not_there(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        scans(tmp_path / ("x" * 300 + ".nii"))
    with pytest.raises(InputError, match="there is no such file"):
        read_scan(tmp_path / ("x" * 300 + ".nii"))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd", ".png"])
def test_an_empty_file_is_refused(tmp_path, suffix):
    assert refusal(file_of(tmp_path, f"a{suffix}", b"")).startswith("not readable as a medical image (no ")


def test_a_file_that_may_not_be_read_is_told_so(tmp_path, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied")

    file = file_of(tmp_path, "a.nii", sound("nifti1"))
    monkeypatch.setitem(header.READERS, ".nii", denied)
    assert refusal(file) == "may not be read; ask for the right to read it."


def scan(spacing_mm: tuple[float, ...] = (1, 1, 1), size: tuple[int, ...] = (6, 5, 4)) -> sitk.Image:
    image = sitk.GetImageFromArray(np.linspace(-1000, 200, int(np.prod(size))).astype(np.int16).reshape(size[::-1]))
    image.SetSpacing(spacing_mm)
    return image


@pytest.mark.parametrize("spacing_mm", [(1e-30, 1, 1), (1, 1, 1e6), (1e4, 1e4, 1e4)])
def test_a_spacing_that_no_scanner_has_is_refused_with_the_limits(tmp_path, spacing_mm):
    file = tmp_path / "a.mha"
    sitk.WriteImage(scan(spacing_mm), str(file))
    said = refusal(file)
    assert "expected 0.001 to 1000 mm" in said


def test_a_scan_that_reaches_too_far_is_refused():
    with pytest.raises(InputError, match=r"a: has extent 6 x 5 x 20000 mm, expected 0 to 10000 mm"):
        FRONT.image(scan(size=(6, 5, 20000)), "a")


def test_an_origin_that_is_too_far_away_is_refused():
    image = scan()
    image.SetOrigin((0, 1e30, 0))
    with pytest.raises(InputError, match="has origin 0 x 1e"):
        FRONT.image(image, "a")


def test_sheared_axes_are_refused_with_how_far_they_are_off():
    image = scan()
    image.SetDirection((1, 0, 0, 0, 1, 0.2, 0, 0, 0.98))
    with pytest.raises(InputError, match=r"a: its axes are not at right angles .* \(off by 0\.2, at most 0\.001\)"):
        FRONT.image(image, "a")


def test_a_line_of_voxels_is_refused():
    with pytest.raises(InputError, match="a: has 120 x 1 x 1 voxels; expected a slice or a volume"):
        FRONT.image(scan(size=(120, 1, 1)), "a")


def test_a_scan_of_one_slice_is_prepared():
    assert FRONT.image(scan(size=(12, 10, 1)), "a").shape == (1, 4, 3, 1)


def test_a_scan_that_would_not_fit_prepared_is_refused_with_the_figures(monkeypatch):
    monkeypatch.setattr("pipeline.core.machine.memory_left_mib", lambda: 1.0)
    with pytest.raises(InputError, match=r"would have 1000 x 833 x 400 voxels .* need 3\.72 GiB .* 1 MiB are free"):
        FRONT.image(scan(spacing_mm=(500, 500, 500)), "a")


@pytest.mark.parametrize(
    ("count", "said"), [(10, "10 bytes"), (1010, "1010 bytes"), (1 << 20, "1 MiB"), (5e13, "45.47 TiB")]
)
def test_bytes_are_told_in_words(count, said):
    assert machine.in_words(count) == said


@pytest.mark.usefixtures("each_library")
def test_a_file_of_several_parts_is_unpacked_whole(tmp_path):
    file = file_of(tmp_path, "a.gz", gzip.compress(b"ab") + gzip.compress(b"cd"))
    assert unpacking.unpacked(file, 4) == b"abcd"


@pytest.mark.usefixtures("each_library")
@pytest.mark.parametrize(
    ("place", "said"), [(-5, "damaged or not readable to its end ("), (-2000, "damaged or not readable to its end (")]
)
def test_a_flipped_bit_of_packed_voxels_or_of_their_checksum_is_found(tmp_path, place, said):
    content = bytearray(gzip.compress(sound("nifti1"), 1))
    content[place] ^= 16
    assert refusal(file_of(tmp_path, "a.nii.gz", bytes(content))).startswith(said)


@pytest.mark.usefixtures("each_library")
def test_a_file_that_ends_early_is_refused(tmp_path):
    content = gzip.compress(sound("nifti1"), 1)
    assert "it ends early" in refusal(file_of(tmp_path, "a.nii.gz", content[: len(content) // 2]))
