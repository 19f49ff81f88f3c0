"""The contours of a DICOM RT structure set give the label back, whatever way its series was stored."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from conftest import SIZE, chest, placed
from dicom_makers import (
    OBLIQUE,
    PATIENT_NAME,
    REAL,
    SIGNED_PERMUTATIONS,
    VERIFIER,
    classic,
    enhanced,
    errors,
    write,
)
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from skimage.measure import points_in_poly

from pipeline.core.errors import InputError
from pipeline.core.labels import LABEL_MAPS
from pipeline.scans.dicom.grid import grid_of
from pipeline.scans.dicom.series import Series, find_series
from pipeline.scans.dicom.structure_set import NAMES, write_structure_set
from pipeline.scans.dicom.volume import read_series

PLANE_MM = 0.002


def noise(scan: sitk.Image) -> sitk.Image:
    """Blots, holes and single voxels of every class on a scan's grid, out to its border; the first slice empty."""
    voxels = np.random.default_rng(0).choice(4, scan.GetSize()[::-1], p=(0.2, 0.5, 0.2, 0.1)).astype(np.uint8)
    voxels[0] = 0
    label = sitk.GetImageFromArray(voxels)
    label.CopyInformation(scan)
    return label


def places_of(source: Dataset, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Position of a slice's first voxel, and (3, 3) steps from voxel to voxel along columns, rows and the normal."""
    if "PerFrameFunctionalGroupsSequence" in source:
        shared = source.SharedFunctionalGroupsSequence[0]
        position = source.PerFrameFunctionalGroupsSequence[frame].PlanePositionSequence[0].ImagePositionPatient
        orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
        between_rows, between_columns = shared.PixelMeasuresSequence[0].PixelSpacing
    else:
        position, orientation = source.ImagePositionPatient, source.ImageOrientationPatient
        between_rows, between_columns = source.PixelSpacing
    row, column = np.reshape(np.array(orientation, float), (2, 3))
    return np.array(position, float), np.stack(
        [row * between_columns, column * between_rows, np.cross(row, column)], axis=1
    )


def filled(file: Path, series: Series) -> np.ndarray:
    """(planes, rows, columns): how often each voxel's centre is in a contour of a structure, times its number.

    Made of the file and the sources' headers alone; each contour lies in the plane of the slice that it names.
    """
    planes = {(each.instance_uid, each.frame): number for number, each in enumerate(shown(series))}
    grid = grid_of(series)
    found = np.zeros(grid.geometry.size[::-1], int)
    for region in pydicom.dcmread(file).ROIContourSequence:
        for contour in region.get("ContourSequence", ()):
            (reference,) = contour.ContourImageSequence
            frame = reference.get("ReferencedFrameNumber", 1) - 1
            plane = planes[reference.ReferencedSOPInstanceUID, frame]
            first, steps = places_of(pydicom.dcmread(shown(series)[plane].file), frame)
            points = np.linalg.solve(steps, (np.reshape(contour.ContourData, (-1, 3)) - first).T).T
            assert len(points) == contour.NumberOfContourPoints
            assert np.abs(points[:, 2]).max() < PLANE_MM
            number = int(region.ReferencedROINumber)
            add_filled(found[(plane, *grid.place(plane, series))], points[:, :2], number)
    return found


def add_filled(part: np.ndarray, polygon: np.ndarray, number: int) -> None:
    """Add a number to the voxels of a slice whose centres are in a polygon."""
    (left, top), (right, bottom) = np.floor(polygon.min(axis=0)).astype(int), np.ceil(polygon.max(axis=0)).astype(int)
    box = part[max(top, 0) : bottom + 1, max(left, 0) : right + 1]
    rows, columns = np.indices(box.shape)
    centres = np.stack([columns.ravel() + max(left, 0), rows.ravel() + max(top, 0)], axis=1).astype(float)
    box += points_in_poly(centres, polygon).reshape(box.shape) * number


def shown(series: Series) -> list:
    return [series.slices[plane[0]] for plane in series.planes]


def there_and_back(folder: Path, label_of_scan: Callable[[sitk.Image], sitk.Image] = noise):
    """What the only series in a folder has in its contours, and its label."""
    (series,) = find_series(folder)
    label = label_of_scan(read_series(series))
    write_structure_set(label, series, folder / "rt.dcm", "PneumoBundle test", "1.0")
    return filled(folder / "rt.dcm", series), sitk.GetArrayFromImage(label)


@pytest.mark.parametrize("direction", [OBLIQUE, (-1, 0, 0, 0, -1, 0, 0, 0, 1)], ids=["oblique", "prone"])
def test_a_classic_series_has_its_label_back(tmp_path, direction):
    datasets = classic(placed(np.zeros((9, 8, 5), np.int16), spacing_mm=(0.7, 1.1, 3), direction=direction))
    random.Random(0).shuffle(datasets)
    write(datasets, tmp_path)
    assert np.array_equal(*there_and_back(tmp_path))


@pytest.mark.parametrize("axes", SIGNED_PERMUTATIONS[::5], ids=str)
def test_a_permuted_or_flipped_series_has_its_label_back(tmp_path, axes):
    write(classic(placed(np.zeros((4, 3, 5), np.int16), direction=np.ravel(axes).tolist())), tmp_path)
    assert np.array_equal(*there_and_back(tmp_path))


@pytest.mark.parametrize("position", ["FFS", "HFDR", "FFDL"])
def test_the_position_on_the_table_changes_nothing(tmp_path, position):
    datasets = classic(placed(np.zeros((6, 5, 4), np.int16), direction=(-1, 0, 0, 0, 1, 0, 0, 0, -1)))
    for dataset in datasets:
        dataset.PatientPosition = position
    write(datasets, tmp_path)
    assert np.array_equal(*there_and_back(tmp_path))


def test_an_enhanced_series_with_shuffled_frames_has_its_label_back(tmp_path):
    order = list(range(5))
    random.Random(1).shuffle(order)
    write([enhanced(placed(np.zeros((9, 8, 5), np.int16)), order)], tmp_path)
    assert np.array_equal(*there_and_back(tmp_path))


def test_a_tilted_series_has_its_label_back_in_the_planes_of_its_slices(tmp_path):
    datasets = classic(placed(np.zeros((6, 8, 5), np.int16), spacing_mm=(1, 1, 2)))
    for number, dataset in enumerate(datasets):
        # Not by whole voxels
        dataset.ImagePositionPatient = [0, 0.7 * number, 2 * number]
    write(datasets, tmp_path)
    (series,) = find_series(tmp_path)
    found, label = there_and_back(tmp_path)
    inside = np.zeros(label.shape, bool)
    for plane in range(5):
        inside[(plane, *grid_of(series).place(plane, series))] = True
    assert grid_of(series).tilted
    assert np.array_equal(found, np.where(inside, label, 0))


def test_a_series_with_a_slice_twice_has_its_label_back(tmp_path):
    files = write(classic(placed(np.zeros((4, 3, 5), np.int16))), tmp_path)
    shutil.copy(files[3], tmp_path / "copy")
    assert np.array_equal(*there_and_back(tmp_path))


def test_a_contour_may_be_longer_than_64_kib(tmp_path):
    size = 76
    write(classic(placed(np.zeros((size, size, 2), np.int16))), tmp_path)

    def sieve(scan: sitk.Image) -> sitk.Image:
        voxels = np.ones((2, size, size), np.uint8)
        voxels[:, 1:-1:2, 1:-1:2] = 0
        label = sitk.GetImageFromArray(voxels)
        label.CopyInformation(scan)
        return label

    assert np.array_equal(*there_and_back(tmp_path, sieve))
    (contour, _) = pydicom.dcmread(tmp_path / "rt.dcm").ROIContourSequence[0].ContourSequence
    assert len("\\".join(map(str, contour.ContourData))) > 2**16


def test_a_series_without_positions_is_refused(tmp_path):
    datasets = classic(chest()[0])
    for dataset in datasets:
        del dataset.ImagePositionPatient
    write(datasets, tmp_path)
    with pytest.raises(InputError, match="do not tell where its slices lie, as a DICOM structure set must"):
        there_and_back(tmp_path)


def test_a_header_that_does_not_suffice_is_said_without_its_values(tmp_path):
    datasets = classic(chest()[0])
    for dataset in datasets:
        del dataset.FrameOfReferenceUID
        dataset.PatientName = PATIENT_NAME
    write(datasets, tmp_path)
    with pytest.raises(InputError, match=r"a DICOM structure set \(no FrameOfReferenceUID\); use the label") as caught:
        there_and_back(tmp_path)
    assert PATIENT_NAME not in str(caught.value)
    assert not (tmp_path / "rt.dcm").exists()


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Series, Dataset]:
    folder = tmp_path_factory.mktemp("dicom")
    write(classic(chest()[0]), folder)
    (series,) = find_series(folder)
    label = noise(read_series(series))
    write_structure_set(sitk.Mask(label, label != 3), series, folder / "rt.dcm", "PneumoBundle test", "1.0")
    return series, pydicom.dcmread(folder / "rt.dcm")


def test_structures_have_the_names_numbers_and_types_that_planning_systems_show(written):
    made = written[1]
    assert [(region.ROINumber, region.ROIName) for region in made.StructureSetROISequence] == [
        (1, "Lung_L-Infection"),
        (2, "Lung_R-Infection"),
        (3, "Infection"),
    ]
    assert {region.ROIGenerationAlgorithm for region in made.StructureSetROISequence} == {"AUTOMATIC"}
    observed = [(each.ReferencedROINumber, each.RTROIInterpretedType) for each in made.RTROIObservationsSequence]
    assert observed == [(1, "ORGAN"), (2, "ORGAN"), (3, "")]
    assert [region.ROIDisplayColor for region in made.ROIContourSequence][2] == [255, 80, 60]


def test_a_structure_of_which_there_is_nothing_stays_without_contours(written):
    drawn = written[1].ROIContourSequence
    assert [("ContourSequence" in region) for region in drawn] == [True, True, False]
    assert {contour.ContourGeometricType for contour in drawn[0].ContourSequence} == {"CLOSED_PLANAR"}


def test_it_says_that_it_is_for_research_and_approved_by_nobody(written):
    made = written[1]
    assert (made.StructureSetLabel, made.ApprovalStatus) == ("RESEARCH ONLY", "UNAPPROVED")
    assert "For research only, not a medical device." in made.StructureSetDescription


def test_it_refers_to_every_slice_and_no_contour_to_one_without_the_structure(written):
    series, made = written
    (study,) = made.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence
    (images,) = study.RTReferencedSeriesSequence
    uids = [each.instance_uid for each in series.slices]
    assert [each.ReferencedSOPInstanceUID for each in images.ContourImageSequence] == uids
    assert images.SeriesInstanceUID == series.uid
    drawn = {
        contour.ContourImageSequence[0].ReferencedSOPInstanceUID
        for region in made.ROIContourSequence
        for contour in region.get("ContourSequence", ())
    }
    assert drawn == set(uids[1:])


def test_it_belongs_to_patient_study_and_frame_of_reference(written):
    source, made = pydicom.dcmread(written[0].files[0]), written[1]
    for name in ("PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "AccessionNumber"):
        assert made[name].value == source[name].value, name
    assert made.SeriesInstanceUID != source.SeriesInstanceUID
    assert made.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian


def test_every_class_of_every_label_map_has_a_name_that_no_system_cuts_off():
    assert {name for each in LABEL_MAPS.values() for name in list(each.classes)[1:]} == set(NAMES)
    assert max(map(len, NAMES.values())) == 16
    for each in LABEL_MAPS.values():
        names = [NAMES[name] for name in list(each.classes)[1:]]
        assert len(set(names)) == len(names)


@pytest.mark.skipif(not VERIFIER, reason="there is no dciodvfy (Debian's dicom3tools)")
@pytest.mark.parametrize("make", [classic, lambda image: [enhanced(image)]], ids=["classic", "enhanced"])
@pytest.mark.parametrize("of_scan", [noise, lambda scan: sitk.Cast(scan * 0, sitk.sitkUInt8)], ids=["all", "nothing"])
def test_the_verifier_finds_no_error(tmp_path, make, of_scan):
    write(make(placed(np.zeros((9, 8, SIZE[2]), np.int16))), tmp_path)
    there_and_back(tmp_path, of_scan)
    assert errors(tmp_path / "rt.dcm") == []


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.is_dir(), reason=f"there is no real series in {REAL}")
def test_the_real_series_has_its_label_back(tmp_path):
    (series,) = find_series(REAL)
    scan = read_series(series)
    # Tissue, what is denser than water, and bone, ragged as no label is; in a part alone, since filling takes long
    label = sitk.Cast((scan > -700) + (scan > 0) + (scan > 200), sitk.sitkUInt8)
    label[:, :220] = 0
    label[:, 260:] = 0
    label[:220] = 0
    label[260:] = 0
    write_structure_set(label, series, tmp_path / "rt.dcm", "PneumoBundle test", "1.0")
    assert np.array_equal(filled(tmp_path / "rt.dcm", series), sitk.GetArrayFromImage(label))
    assert not VERIFIER or errors(tmp_path / "rt.dcm") == []
