"""The synthetic demo data: deterministic, anatomically the right way round, and honest about its intensities."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from commands import run_command

from pipeline.core.errors import InputError
from pipeline.core.labels import CONSOLIDATION, GROUND_GLASS, LEFT_LUNG, RIGHT_LUNG, infected
from pipeline.phantom.dataset import (
    CROPPED_CASE,
    GREY_CASES,
    THIN_CASE,
    PhantomCase,
    phantom_case,
    smooth_noise,
    strongest,
    write_phantom,
    write_unlabelled,
)
from pipeline.scans.geometry import Geometry
from pipeline.scans.intensity import GREY_255, HOUNSFIELD, intensity_domain
from pipeline.scans.scan import read_geometry, read_scan

COARSENING = 3.0  # 27 times fewer voxels: about 0.1 s a case


@pytest.fixture(scope="module")
def cases() -> list[PhantomCase]:
    return [phantom_case(index, seed=0, coarsening=COARSENING) for index in range(10)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("phantom")
    write_phantom(written, patients=3, seed=0, coarsening=COARSENING)
    return written


def file_bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def centre_mm(case: PhantomCase, code: int) -> np.ndarray:
    """Mean position (x, y, z) of a code in LPS millimetres."""
    index_xyz = np.argwhere(case.label == code).mean(axis=0)[::-1]
    return np.array(case.geometry.origin_mm) + index_xyz * case.geometry.spacing_mm


def voxel_ml(case: PhantomCase) -> float:
    return float(np.prod(case.geometry.spacing_mm)) / 1000


def test_same_seed_gives_the_same_voxels(cases: list[PhantomCase]) -> None:
    again = phantom_case(4, seed=0, coarsening=COARSENING)
    np.testing.assert_array_equal(again.image, cases[4].image)
    np.testing.assert_array_equal(again.label, cases[4].label)


def test_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_phantom(tmp_path, patients=3, seed=0, coarsening=COARSENING)
    assert file_bytes(tmp_path) == file_bytes(folder)


def test_another_seed_gives_another_patient(cases: list[PhantomCase]) -> None:
    other = phantom_case(0, seed=1, coarsening=COARSENING)
    assert other.geometry.spacing_mm != cases[0].geometry.spacing_mm
    assert other.image.shape != cases[0].image.shape or (other.image != cases[0].image).any()


def test_a_case_does_not_depend_on_the_number_of_patients(folder: Path, tmp_path: Path) -> None:
    write_phantom(tmp_path, patients=1, seed=0, coarsening=COARSENING)
    name = "images/phantom_01.nii.gz"
    assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_later_patients_are_none_of_the_first(folder: Path, tmp_path: Path) -> None:
    later = [path.name for path in write_phantom(tmp_path, patients=2, coarsening=COARSENING, first=4)]
    assert later == ["phantom_04.nii.gz", "phantom_05.nii.gz"]
    assert not {path.name for path in (folder / "images").iterdir()} & set(later)


@pytest.mark.parametrize("first", [0, 99])
def test_a_first_patient_beyond_two_digits_is_refused(tmp_path: Path, first: int) -> None:
    with pytest.raises(InputError, match=f"first: is {first}; expected 1 to 98"):
        write_phantom(tmp_path, patients=2, first=first)


def test_coarser_grid_shows_the_same_patient(cases: list[PhantomCase]) -> None:
    finer = phantom_case(4, seed=0, coarsening=2.0)
    litres = [(case.label > 0).sum() * voxel_ml(case) / 1000 for case in (cases[4], finer)]
    assert litres[0] == pytest.approx(litres[1], rel=0.05)


def test_left_lung_lies_at_larger_x(cases: list[PhantomCase]) -> None:
    for case in cases:
        assert centre_mm(case, LEFT_LUNG)[0] > 30 > -30 > centre_mm(case, RIGHT_LUNG)[0]


def test_spine_lies_behind_the_lungs(cases: list[PhantomCase]) -> None:
    case = cases[0]
    bone_y = np.argwhere(case.image[case.image.shape[0] // 2] > 250)[:, 0].mean()
    lung_y = np.argwhere(case.label[case.label.shape[0] // 2] > 0)[:, 0].mean()
    assert bone_y > lung_y


def test_liver_pushes_the_right_lung_up(cases: list[PhantomCase]) -> None:
    case = cases[3]
    bottom = {code: np.argwhere((case.label == code).sum(axis=(1, 2)) > 40).min() for code in (LEFT_LUNG, RIGHT_LUNG)}
    assert bottom[RIGHT_LUNG] > bottom[LEFT_LUNG]


def test_trachea_is_air_and_background(cases: list[PhantomCase]) -> None:
    case = cases[0]
    slices, rows, columns = case.image.shape
    middle = (slice(int(0.75 * slices), -2), slice(rows // 3, 2 * rows // 3), slice(columns // 2 - 4, columns // 2 + 4))
    assert ((case.image[middle] < -700) & (case.label[middle] == 0)).any()


def test_every_case_holds_both_lungs_and_infection(cases: list[PhantomCase]) -> None:
    for case in cases:
        assert set(np.unique(case.label)) == {0, LEFT_LUNG, RIGHT_LUNG, GROUND_GLASS, CONSOLIDATION}, case.name


def test_infection_is_at_least_two_millilitres(cases: list[PhantomCase]) -> None:
    assert min(infected(case.label).sum() * voxel_ml(case) for case in cases) >= 2.0


def test_infected_fraction_runs_from_mild_to_severe(cases: list[PhantomCase]) -> None:
    fractions = sorted(infected(case.label).sum() / (case.label > 0).sum() for case in cases)
    assert fractions[0] < 0.015
    assert 0.1 < fractions[-1] < 0.26


def test_only_lung_voxels_become_infected() -> None:
    field, lungs = np.arange(24.0).reshape(2, 3, 4), np.zeros((2, 3, 4), bool)
    lungs[0] = True
    chosen = strongest(field, lungs, 5)
    assert not chosen[1].any()
    assert sorted(field[chosen]) == [7, 8, 9, 10, 11]


def test_infection_is_denser_than_healthy_lung(cases: list[PhantomCase]) -> None:
    for case in cases:
        healthy = np.median(case.image[np.isin(case.label, (LEFT_LUNG, RIGHT_LUNG))])
        assert np.median(case.image[infected(case.label)]) > healthy, case.name


def test_consolidation_is_denser_than_ground_glass(cases: list[PhantomCase]) -> None:
    for case in cases:
        glass, solid = (np.median(case.image[case.label == code]) for code in (GROUND_GLASS, CONSOLIDATION))
        assert solid > glass, case.name


def test_healthy_lung_and_infection_overlap_in_density(cases: list[PhantomCase]) -> None:
    # Else one threshold would solve the task and the demo would show nothing
    healthy = cases[4].image[np.isin(cases[4].label, (LEFT_LUNG, RIGHT_LUNG))]
    assert (healthy > np.median(cases[4].image[infected(cases[4].label)])).mean() > 0.01


def test_intensities_are_what_the_case_says(cases: list[PhantomCase]) -> None:
    for case in cases:
        assert intensity_domain(sitk.GetImageFromArray(case.image), case.name) == case.intensity


def test_four_of_ten_cases_are_grey(cases: list[PhantomCase]) -> None:
    grey = tuple(index for index, case in enumerate(cases) if case.intensity == GREY_255)
    assert grey == GREY_CASES
    assert {case.image.dtype.name for case in cases} == {"int16", "uint8"}


def test_one_case_is_a_thin_slab(cases: list[PhantomCase]) -> None:
    height_mm = [case.geometry.size[2] * case.geometry.spacing_mm[2] for case in cases]
    assert height_mm.pop(THIN_CASE) < 80
    assert min(height_mm) > 240


def test_one_hounsfield_case_is_cropped(cases: list[PhantomCase]) -> None:
    width_mm = [case.geometry.size[0] * case.geometry.spacing_mm[0] for case in cases]
    assert width_mm.pop(CROPPED_CASE) < 300 < min(width_mm)
    assert cases[CROPPED_CASE].intensity == HOUNSFIELD


def test_slices_are_thicker_than_pixels_are_wide(cases: list[PhantomCase]) -> None:
    spacings = {case.geometry.spacing_mm for case in cases}
    assert len(spacings) == 10
    assert all(z > 1.4 * x and x == y for x, y, z in spacings)


def test_image_and_label_share_their_geometry(folder: Path, cases: list[PhantomCase]) -> None:
    for case in cases[:3]:
        image, label = (read_geometry(folder / kind / f"{case.name}.nii.gz") for kind in ("images", "labels"))
        assert image.differences(label) == []
        assert image.differences(case.geometry) == []


def test_file_holds_the_voxels_of_the_case(folder: Path, cases: list[PhantomCase]) -> None:
    image = read_scan(folder / "images" / "phantom_02.nii.gz")
    assert Geometry.of(image).size == cases[1].image.shape[::-1]
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), cases[1].image)


def test_manifest_counts_the_label_voxels(folder: Path, cases: list[PhantomCase]) -> None:
    entries = json.loads((folder / "manifest.json").read_text())["cases"]
    assert [entry["case"] for entry in entries] == ["phantom_01", "phantom_02", "phantom_03"]
    assert entries[0]["label_voxels"]["4"] == (cases[0].label == GROUND_GLASS).sum()
    assert [entry["intensity"] for entry in entries] == [case.intensity for case in cases[:3]]


def test_writing_twice_touches_no_file(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    images = write_phantom(folder, patients=3, seed=0, coarsening=COARSENING)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert [path.name for path in images] == ["phantom_01.nii.gz", "phantom_02.nii.gz", "phantom_03.nii.gz"]


def test_damaged_file_is_written_anew(tmp_path: Path) -> None:
    image = write_phantom(tmp_path, patients=1, coarsening=COARSENING)[0]
    whole = image.read_bytes()
    image.write_bytes(whole[:100])
    write_phantom(tmp_path, patients=1, coarsening=COARSENING)
    assert image.read_bytes() == whole


def test_fewer_patients_leave_no_old_case_behind(tmp_path: Path) -> None:
    write_phantom(tmp_path, patients=2, coarsening=COARSENING)
    write_phantom(tmp_path, patients=1, coarsening=COARSENING)
    names = sorted(path.name for path in tmp_path.rglob("*.nii.gz"))
    assert names == ["phantom_01.nii.gz", "phantom_01.nii.gz"]


def test_leftover_of_a_killed_run_is_cleared(tmp_path: Path) -> None:
    leftover = tmp_path / "images" / f".{'a' * 32}.phantom_01.nii.gz"
    leftover.parent.mkdir()
    leftover.write_bytes(b"half a scan")
    write_phantom(tmp_path, patients=1, coarsening=COARSENING)
    assert not leftover.exists()


def test_folder_with_a_real_scan_is_refused(tmp_path: Path) -> None:
    scan = tmp_path / "images" / "patient_1.nii.gz"
    scan.parent.mkdir()
    scan.write_bytes(b"a scan")
    with pytest.raises(InputError, match=r"patient_1.*empty folder"):
        write_phantom(tmp_path, patients=1, coarsening=COARSENING)
    assert scan.read_bytes() == b"a scan"


def test_manifest_of_other_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"cases": []}')
    with pytest.raises(InputError, match=r"manifest\.json"):
        write_phantom(tmp_path, patients=1, coarsening=COARSENING)


@pytest.mark.parametrize(("patients", "seed", "argument"), [(0, 0, "patients"), (100, 0, "patients"), (1, -1, "seed")])
def test_impossible_argument_is_named(tmp_path: Path, patients: int, seed: int, argument: str) -> None:
    with pytest.raises(InputError, match=f"^{argument}: is"):
        write_phantom(tmp_path, patients, seed)


def test_the_command_writes_what_is_not_there_yet_and_nothing_twice(tmp_path: Path) -> None:
    run_command("phantom", tmp_path, "--patients", 1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    run_command("phantom", tmp_path, "--patients", 1)
    assert len(before) == 5
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_smooth_noise_has_unit_spread() -> None:
    axes = [np.linspace(-140, 140, 29)] * 3
    noise = smooth_noise(np.random.default_rng(0), axes, 10.0)
    assert noise.mean() == pytest.approx(0, abs=0.05)
    assert noise.std() == pytest.approx(1, abs=0.05)


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("unlabelled")
    write_unlabelled(written, patients=2, coarsening=COARSENING)
    return written


def test_an_unlabelled_set_has_images_alone_under_names_of_its_own(unlabelled: Path) -> None:
    files = sorted(str(path.relative_to(unlabelled)) for path in unlabelled.rglob("*.*"))
    assert files == ["images/unlabelled_01.nii.gz", "images/unlabelled_02.nii.gz", "manifest.json"]


def test_unlabelled_patients_are_others_than_the_labelled(unlabelled: Path, folder: Path) -> None:
    ours, theirs = (
        {read_scan(file).GetSize() for file in (place / "images").iterdir()} for place in (unlabelled, folder)
    )
    assert not ours & theirs


def test_writing_an_unlabelled_set_twice_touches_no_file(unlabelled: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in unlabelled.rglob("*")}
    write_unlabelled(unlabelled, patients=2, coarsening=COARSENING)
    assert {path: path.stat().st_mtime_ns for path in unlabelled.rglob("*")} == before


def test_the_command_writes_an_unlabelled_set(tmp_path: Path) -> None:
    run_command("phantom", tmp_path, "--patients", 1, "--unlabelled", "--seed", 1)
    assert [path.name for path in tmp_path.rglob("*.nii.gz")] == ["unlabelled_01.nii.gz"]
