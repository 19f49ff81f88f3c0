"""Who the patient is stands in no result but the DICOM objects, and in no line of the log."""

from __future__ import annotations

import gzip
import logging
import shutil
from pathlib import Path
from zipfile import ZipFile

import dicom_makers
import nibabel
import pytest
import SimpleITK as sitk
from conftest import chest, tiny_overrides
from exported import small_run

from pipeline.folders.manifest import REPORT, SEGMENTATION, STRUCTURE_SET
from pipeline.prediction.predict import predict

PLANTED = "Plantagenet"
DICOM_OBJECTS = (SEGMENTATION, REPORT, STRUCTURE_SET)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "cv"
    return small_run("unet_3d", folder, {**tiny_overrides(), "mixed_precision": False})


def planted_nifti(file: Path) -> None:
    image = nibabel.load(plain(file))
    for field in ("descrip", "db_name", "aux_file", "intent_name"):
        image.header[field] = PLANTED.encode()
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", f"{PLANTED} 1947".encode()))
    nibabel.save(image, file)


def planted_meta_data(file: Path) -> None:
    image = chest()[0]
    for key in ("PatientName", "ITK_original_name", "comment"):
        image.SetMetaData(key, PLANTED)
    sitk.WriteImage(image, str(file))
    assert PLANTED.encode() in file.read_bytes()


def plain(file: Path) -> Path:
    made = file.with_name(f"plain_{file.name}")
    sitk.WriteImage(chest()[0], str(made))
    return Path(shutil.move(made, file.parent.parent / made.name))


@pytest.fixture(scope="module")
def scans(tmp_path_factory) -> Path:
    """Each kind of input with a name planted wherever it may have one, good ones and broken ones."""
    folder = tmp_path_factory.mktemp("planted") / "scans"
    folder.mkdir()
    planted_nifti(folder / "nifti.nii.gz")
    for name in ("meta.mha", "nearly.nrrd"):
        planted_meta_data(folder / name)
    slices = dicom_makers.classic(chest()[0])
    dicom_makers.write(slices, folder / f"{PLANTED}^Zoe" / f"{PLANTED}_ct")
    missing = dicom_makers.classic(chest(seed=1)[0])
    dicom_makers.write([*missing[:4], *missing[6:]], folder / f"{PLANTED}^Ann")
    damaged = dicom_makers.write(dicom_makers.classic(chest(seed=2)[0]), folder / f"{PLANTED}^Bob")
    damaged[3].write_bytes(damaged[3].read_bytes()[:700])
    with ZipFile(folder / "zipped.zip", "w") as archive:
        for file in dicom_makers.write(dicom_makers.classic(chest(seed=3)[0]), folder.parent / "to_zip"):
            archive.write(file, f"{PLANTED}/{file.name}")
    return folder


@pytest.fixture(scope="module")
def told(run, scans, tmp_path_factory):
    """The folder of results, their manifests, and all that was logged or printed."""
    out = tmp_path_factory.mktemp("out")
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    keep, root = Keep(), logging.getLogger()
    level = root.level
    root.addHandler(keep)
    root.setLevel(logging.INFO)
    try:
        manifests = predict(run / "fold0", scans, out, rtstruct=True)
    finally:
        root.removeHandler(keep)
        root.setLevel(level)
    return out, manifests, "\n".join(lines)


def content(file: Path) -> bytes:
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


def test_good_and_bad_inputs_of_every_kind_were_looked_at(told):
    _, manifests, _ = told
    assert sorted((manifest["input"]["kind"] if "input" in manifest else "failed") for manifest in manifests) == [
        "dicom", "failed", "failed", "file", "file", "file", "zip",
    ]  # fmt: skip


def test_no_result_but_the_dicom_objects_names_the_patient(told):
    out, _, _ = told
    files = [file for file in out.rglob("*") if file.is_file()]
    named = [file.name for file in files if PLANTED.encode() in content(file)]
    assert all(name.endswith(DICOM_OBJECTS) for name in named), named
    assert {*DICOM_OBJECTS} == {name[name.index(".") :] for name in named}


def test_no_result_holds_another_identity_of_the_patient(told):
    out, _, _ = told
    others = (dicom_makers.PATIENT_ID, dicom_makers.BIRTH_DATE, dicom_makers.ACCESSION)
    files = [file for file in out.rglob("*") if file.is_file() and not file.name.endswith(DICOM_OBJECTS)]
    assert not [file.name for file in files for other in others if other.encode() in content(file)]


def test_no_name_of_a_result_names_the_patient(told):
    assert PLANTED not in "".join(str(file.relative_to(told[0])) for file in told[0].rglob("*"))


def test_no_line_of_the_log_names_the_patient(told):
    assert PLANTED not in told[2]


def test_a_message_of_what_failed_is_one_line_without_the_patient(told):
    messages = [manifest["message"] for manifest in told[1] if manifest["message"]]
    assert len(messages) == 2
    assert all(PLANTED not in message and "\n" not in message for message in messages)
