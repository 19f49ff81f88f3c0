"""A data folder is read to its end, and whatever is wrong with it is told at once."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from commands import run_command

from pipeline.core.errors import InputError
from pipeline.core.labels import LABEL_MAPS, label_map
from pipeline.core.project import ROOT
from pipeline.data.datalist import check_kinds, checked_datalist, load_datalist, read_datalist, write_datalist
from pipeline.folders.scan_list import scans

SPACING_MM = (0.8, 0.7, 5.0)
SHARED = ROOT.parent / "shared" / "data"


def write_volume(file: Path, voxels: np.ndarray, spacing_mm: tuple[float, ...] = SPACING_MM) -> Path:
    """A volume from an array (D, H, W)."""
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing_mm)
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(file))
    return file


def chest(seed: int = 1) -> np.ndarray:
    """6 x 5 x 4 voxels (x, y, z) in Hounsfield units."""
    return np.random.default_rng(seed).integers(-1000, 300, (4, 5, 6)).astype(np.int16)


def lungs() -> np.ndarray:
    """Ten voxels of left lung, five of right, one of infection."""
    codes = np.zeros(120, np.uint8)
    codes[:10], codes[10:15], codes[15] = 1, 2, 3
    return codes.reshape(4, 5, 6)


def make_dataset(folder: Path, *cases: str) -> Path:
    for number, case in enumerate(cases):
        write_volume(folder / "images" / f"{case}.nii.gz", chest(number))
        write_volume(folder / "labels" / f"{case}.nii.gz", lungs())
    return folder


def complaint(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_datalist(folder)
    return str(caught.value)


def test_cases_are_sorted_and_their_paths_are_relative(tmp_path):
    datalist = read_datalist(make_dataset(tmp_path, "b", "a"))
    assert [entry["case"] for entry in datalist["training"]] == ["a", "b"]
    assert datalist["training"][0]["image"] == "images/a.nii.gz"
    assert datalist["dataset_dir"] == str(tmp_path)


def test_size_and_spacing_are_in_the_order_of_the_file(tmp_path):
    (entry,) = read_datalist(make_dataset(tmp_path, "a"))["training"]
    assert entry["size"] == [6, 5, 4]
    assert entry["spacing_mm"] == pytest.approx(SPACING_MM)


def test_volumes_are_counted_in_ml(tmp_path):
    (entry,) = read_datalist(make_dataset(tmp_path, "a"))["training"]
    # A voxel has 0.8 * 0.7 * 5 = 2.8 cubic millimetres.
    assert entry["volume_ml"] == {"left_lung": 0.028, "right_lung": 0.014, "lungs": 0.042, "infection": 0.003}


def test_kinds_of_infection_are_infection_and_counted_where_a_label_tells_them(tmp_path):
    codes = lungs()
    codes.flat[16:19] = [4, 4, 5]
    write_volume(make_dataset(tmp_path, "a") / "labels/a.nii.gz", codes)
    (entry,) = read_datalist(tmp_path)["training"]
    told = {name: entry["volume_ml"][name] for name in ("infection", "ground_glass_opacity", "consolidation")}
    assert told == {"infection": 0.011, "ground_glass_opacity": 0.006, "consolidation": 0.003}


def kinds_complaint(folder: Path, *codes: int) -> str:
    """What is said of a data set whose one label has infection of these codes, where kinds are asked for."""
    label = lungs()
    label.flat[15 : 15 + len(codes)] = codes
    write_volume(make_dataset(folder, "a") / "labels/a.nii.gz", label)
    with pytest.raises(InputError) as told:
        check_kinds(read_datalist(folder), label_map("infection_kinds"))
    return str(told.value)


def test_labels_without_kinds_are_refused_where_kinds_are_asked_for(tmp_path):
    expected = f"{tmp_path}: none of its labels tells the kinds of infection apart; label infection as 4 ground-glass "
    assert kinds_complaint(tmp_path, 3).startswith(expected)


def test_infection_of_no_kind_beside_others_is_refused_with_its_case(tmp_path):
    assert kinds_complaint(tmp_path, 3, 4, 5).startswith("case a: has infection of no kind (code 3); label infection")


def test_labels_without_kinds_do_for_every_other_label_map(tmp_path):
    datalist = read_datalist(make_dataset(tmp_path, "a"))
    for name in LABEL_MAPS.keys() - {"infection_kinds"}:
        check_kinds(datalist, label_map(name))


def test_a_case_without_infection_has_no_kinds_to_tell(tmp_path):
    make_dataset(tmp_path, "a", "b")
    for name, code in (("a", 0), ("b", 4)):
        label = lungs()
        label.flat[15] = code
        write_volume(tmp_path / f"labels/{name}.nii.gz", label)
    check_kinds(read_datalist(tmp_path), label_map("infection_kinds"))


def test_grey_scans_and_hounsfield_scans_are_told_apart(tmp_path):
    make_dataset(tmp_path, "grey", "hu")
    write_volume(tmp_path / "images" / "grey.nii.gz", (chest() % 256).astype(np.uint8))
    assert [entry["intensity"] for entry in read_datalist(tmp_path)["training"]] == ["grey255", "hu"]


def test_files_are_identified_by_their_sha256(tmp_path):
    (entry,) = read_datalist(make_dataset(tmp_path, "a"))["training"]
    assert entry["label_sha256"] == hashlib.sha256((tmp_path / entry["label"]).read_bytes()).hexdigest()


def test_a_written_datalist_is_loaded_as_it_was(tmp_path):
    written = write_datalist(make_dataset(tmp_path, "a"), tmp_path / "list.json")
    assert load_datalist(tmp_path / "list.json") == written


def test_a_datalist_replaces_one_and_nothing_else(tmp_path):
    make_dataset(tmp_path, "a")
    write_datalist(tmp_path, tmp_path / "list.json")
    write_datalist(tmp_path, tmp_path / "list.json")
    for content in ('{"labels": {}}', "my notes", "[1]"):
        (tmp_path / "mine.json").write_text(content)
        with pytest.raises(InputError, match="which this program did not write"):
            write_datalist(tmp_path, tmp_path / "mine.json")
        assert (tmp_path / "mine.json").read_text() == content


@pytest.mark.parametrize("content", [None, "{", "[]", '{"training": []}'])
def test_what_is_no_datalist_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "list.json").write_text(content)
    with pytest.raises(InputError, match=r"list\.json: .*pneumobundle datalist"):
        load_datalist(tmp_path / "list.json")


def test_a_missing_label_is_an_error(tmp_path):
    (make_dataset(tmp_path, "a") / "labels/a.nii.gz").unlink()
    assert complaint(tmp_path).startswith(f"case a: {tmp_path}/images/a.nii.gz: has no label")


def test_a_label_without_an_image_is_an_error(tmp_path):
    (make_dataset(tmp_path, "a", "b") / "images/b.nii.gz").unlink()
    assert "labels/b.nii.gz: has no image" in complaint(tmp_path)


def test_a_label_of_another_size_is_to_be_resampled(tmp_path):
    write_volume(make_dataset(tmp_path, "a") / "labels/a.nii.gz", lungs()[:3])
    assert "size (6, 5, 3) against (6, 5, 4) of the image; resample it" in complaint(tmp_path)


def test_a_label_of_another_spacing_is_an_error(tmp_path):
    write_volume(make_dataset(tmp_path, "a") / "labels/a.nii.gz", lungs(), (0.8, 0.7, 6.0))
    assert "spacing (0.8, 0.7, 6.0) against (0.8, 0.7, 5.0) of the image; if its voxels fit" in complaint(tmp_path)


def test_other_label_codes_are_named(tmp_path):
    write_volume(make_dataset(tmp_path, "a") / "labels/a.nii.gz", lungs() * 127)
    assert "holds the codes 0, 125, 127, 254; expected only 0 background, 1 left lung" in complaint(tmp_path)


def test_an_empty_label_is_an_error(tmp_path):
    write_volume(make_dataset(tmp_path, "a") / "labels/a.nii.gz", lungs() * 0)
    assert "is empty" in complaint(tmp_path)


def test_codes_that_the_folder_names_otherwise_are_an_error(tmp_path):
    names = {"label_codes": {"0": "background", "1": "right lung", "2": "left lung"}}
    (make_dataset(tmp_path, "a") / "manifest.json").write_text(json.dumps(names))
    assert "calls label code 1 'right lung'; expected 0 background, 1 left lung" in complaint(tmp_path)


def test_intensities_in_doubt_are_an_error(tmp_path):
    write_volume(make_dataset(tmp_path, "a") / "images/a.nii.gz", chest() + np.int16(1024))
    assert "neither Hounsfield units" in complaint(tmp_path)


def test_a_compressed_file_that_ends_early_is_an_error(tmp_path):
    image = make_dataset(tmp_path, "a") / "images/a.nii.gz"
    image.write_bytes(image.read_bytes()[:-20])
    assert "case a" in complaint(tmp_path)
    assert "damaged or not readable to its end" in complaint(tmp_path)


def test_a_file_that_was_compressed_half_written_is_an_error(tmp_path):
    image = make_dataset(tmp_path, "a") / "images/a.nii.gz"
    image.write_bytes(gzip.compress(gzip.decompress(image.read_bytes())[:-40]))
    assert "ends after 552 of 592 bytes" in complaint(tmp_path)


def test_an_uncompressed_file_that_ends_early_is_an_error(tmp_path):
    image = write_volume(make_dataset(tmp_path, "a") / "images/b.nii", chest())
    image.write_bytes(image.read_bytes()[:-2])
    image.rename(tmp_path / "images/a.nii")
    (tmp_path / "images/a.nii.gz").unlink()
    assert "ends after 590 of 592 bytes" in complaint(tmp_path)


def test_what_is_no_image_is_an_error(tmp_path):
    (make_dataset(tmp_path, "a") / "labels/a.nii.gz").write_bytes(gzip.compress(b"no image"))
    assert "labels/a.nii.gz: not readable as a medical image" in complaint(tmp_path)


def test_all_bad_cases_are_told_one_a_line(tmp_path):
    make_dataset(tmp_path, "a", "b", "good")
    (tmp_path / "labels/a.nii.gz").unlink()
    write_volume(tmp_path / "labels/b.nii.gz", lungs() + np.uint8(3))
    first, *lines = complaint(tmp_path).splitlines()
    assert first == f"{tmp_path}: 2 problems were found."
    assert [line[:7] for line in lines] == ["case a:", "case b:"]


def one_lung_alone(folder: Path, *cases: str) -> Path:
    make_dataset(folder, *cases)
    for case in cases:
        write_volume(folder / f"labels/{case}.nii.gz", np.where(lungs() == 1, 0, lungs()).astype(np.uint8))
    return folder


def test_what_is_doubtful_is_logged_and_refuses_nothing(tmp_path, caplog):
    read_datalist(one_lung_alone(tmp_path, "a"))
    assert "labels the right lung (5 voxels), but no left lung" in caplog.text


def test_what_many_cases_have_is_logged_once(tmp_path, caplog):
    read_datalist(one_lung_alone(tmp_path, *"abcdefgh"))
    assert caplog.text.count("but no left lung") == 1
    assert "7 more findings like the last one; make check-data lists them." in caplog.text


def test_one_file_is_one_scan(tmp_path):
    image = write_volume(tmp_path / "a.nrrd", chest())
    assert scans(image) == [{"case": "a", "image": str(image)}]


def test_a_plain_folder_gives_its_images(tmp_path):
    for name in ("b.nii.gz", "a.mha"):
        write_volume(tmp_path / name, chest())
    assert [scan["case"] for scan in scans(tmp_path)] == ["a", "b"]


def test_scans_of_a_known_layout_need_no_labels(tmp_path):
    (make_dataset(tmp_path, "a", "b") / "labels/a.nii.gz").unlink()
    assert scans(tmp_path)[0] == {"case": "a", "image": str(tmp_path / "images/a.nii.gz")}


def test_scans_of_a_relative_path_are_absolute(tmp_path, monkeypatch):
    write_volume(tmp_path / "a.nii", chest())
    monkeypatch.chdir(tmp_path)
    assert scans("a.nii")[0]["image"] == str(tmp_path / "a.nii")


@pytest.mark.parametrize(
    ("name", "said"), [("absent.nii", "no such file"), ("notes.txt", "is no image file"), ("", "holds notes.txt; arr")]
)
def test_no_scan_is_an_error(tmp_path, name, said):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=said):
        scans(tmp_path / name)


def test_the_command_prints_a_table_and_writes_the_datalist(tmp_path, capsys):
    run_command("datalist", make_dataset(tmp_path, "a"), "--out", tmp_path / "list.json")
    header, row, counts = capsys.readouterr().out.splitlines()
    assert header.split()[:5] == ["case", "patient", "intensity", "size", "spacing"]
    assert row.split() == ["a", "a", "hu", "6x5x4", "0.8x0.7x5", "0.0", "0.0", "0.0"]
    assert counts == "1 cases of 1 patients: 1 in Hounsfield units, 0 in 0..255 grey, layout images-labels"
    assert load_datalist(tmp_path / "list.json")["training"][0]["case"] == "a"


def real_folder(name: str) -> Path:
    if not (SHARED / name).is_dir():
        pytest.skip(f"real scans are not in {SHARED / name}")
    return SHARED / name


@pytest.mark.realdata
def test_five_real_grey_scans_agree_with_their_manifest():
    entries = read_datalist(real_folder("covid5"))["training"]
    manifest = {case["case"]: case for case in json.loads((SHARED / "covid5/manifest.json").read_text())["cases"]}
    assert [entry["case"] for entry in entries] == sorted(manifest)
    for entry in entries:
        stated = manifest[entry["case"]]
        voxel_ml = np.prod(stated["spacing_mm"]) / 1000
        assert entry["intensity"] == "grey255"
        assert entry["size"] == stated["shape"]
        assert entry["image_sha256"] == stated["image_sha256"]
        assert entry["volume_ml"]["infection"] == pytest.approx(stated["label_voxels"]["3"] * voxel_ml, rel=1e-4)


@pytest.mark.realdata
def test_the_unlabelled_real_case_is_named():
    assert complaint(real_folder("extra")).startswith("case ricord_001012_ds2: ")


@pytest.mark.realdata
def test_the_unlabelled_real_case_can_be_segmented():
    assert "ricord_001012_ds2" in {scan["case"] for scan in scans(real_folder("extra"))}


def partial(folder: Path, label: np.ndarray, **told: object) -> Path:
    """A data set of the cases a and b, both with this label; `told` is its manifest."""
    make_dataset(folder, "a", "b")
    for case in ("a", "b"):
        write_volume(folder / "labels" / f"{case}.nii.gz", label)
    (folder / "manifest.json").write_text(json.dumps(told))
    return folder


def infection_alone() -> np.ndarray:
    return np.where(lungs() == 3, lungs(), 0)


def test_an_entry_says_what_its_label_annotates_where_that_is_not_everything(tmp_path):
    told = {"annotates": ["infection"], "cases": [{"case": "b", "annotates": ["right_lung", "left_lung", "infection"]}]}
    of_a, of_b = read_datalist(partial(tmp_path, infection_alone(), **told))["training"]
    assert of_a["annotates"] == ["infection"]
    assert "annotates" not in of_b
    assert of_a["volume_ml"] == {"infection": 0.003}
    assert of_b["volume_ml"] == {"left_lung": 0.0, "right_lung": 0.0, "lungs": 0.0, "infection": 0.003}


def test_a_label_does_not_hold_what_it_does_not_annotate(tmp_path):
    *_, last = complaint(partial(tmp_path, lungs(), annotates=["infection"])).splitlines()
    assert last.endswith(
        "b.nii.gz: holds 1 left lung, 2 right lung, but annotates infection alone; correct annotates in "
        "manifest.json, or relabel it."
    )


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("infection", "annotates is 'infection'; expected a list of structures, such as [\"infection\"]."),
        (["lung"], "annotates names 'lung'; expected some of left_lung, right_lung, lungs, infection."),
    ],
)
def test_a_manifest_that_annotates_something_else_is_refused(tmp_path, told, said):
    assert complaint(partial(tmp_path, lungs(), annotates=told)) == f"{tmp_path / 'manifest.json'}: {said}"


@pytest.mark.parametrize(
    ("codes", "structures", "harm"),
    [((3,), '["infection"]', "infection alone"), ((1, 2), '["left_lung", "right_lung"]', "lungs alone")],
)
def test_labels_of_one_structure_alone_are_asked_about_until_the_manifest_says(tmp_path, codes, structures, harm):
    held = np.where(np.isin(lungs(), codes), lungs(), 0)
    (asked,) = [one for one in checked_datalist(partial(tmp_path, held))[1] if one.check == "annotates"]
    assert asked.what.startswith(f"all 2 labels hold {harm}")
    assert f'write {{"annotates": {structures}}} into manifest.json' in asked.mend
    everything = ["left_lung", "right_lung", "infection"]
    for said in (json.loads(structures), everything):
        findings = checked_datalist(partial(tmp_path, held, annotates=said))[1]
        assert not [one for one in findings if one.check == "annotates"]


def test_infection_alone_beside_a_folder_that_has_lungs_is_an_error_until_the_manifest_says(tmp_path):
    whole, masks = partial(tmp_path / "whole", lungs()), partial(tmp_path / "masks", infection_alone())
    for file in sorted(masks.rglob("*.nii.gz")):
        file.rename(file.with_name(f"other_{file.name}"))
    asked = (
        "all 2 labels hold infection alone, beside others that hold lungs, which teaches networks of lungs that lungs "
        'are background; if that was not annotated, write {"annotates": ["infection"]} into masks/manifest.json'
    )
    # The scans are those of the other folder too, which is refused both times
    with pytest.raises(InputError, match=re.escape(asked)):
        checked_datalist([whole, masks])
    (masks / "manifest.json").write_text(json.dumps({"annotates": ["infection"]}))
    with pytest.raises(InputError) as refused:
        checked_datalist([whole, masks])
    assert "infection alone" not in str(refused.value)


def test_lungs_without_sides_are_no_masks_of_infection(tmp_path):
    datalist, findings = checked_datalist(partial(tmp_path, (lungs() == 1).astype(np.uint8), annotates=["lungs"]))
    assert [entry["volume_ml"] for entry in datalist["training"]] == [{"lungs": 0.028}] * 2
    assert not {"masks", "lungs", "no_infection"} & {one.check for one in findings}


def test_voxels_that_nobody_knows_are_counted_and_belong_to_no_structure(tmp_path):
    codes = lungs()
    codes[-1, -1] = 255
    datalist, findings = checked_datalist(partial(tmp_path, codes))
    assert (
        datalist["training"][0]["volume_ml"]
        == read_datalist(make_dataset(tmp_path / "whole", "a"))["training"][0]["volume_ml"]
    )
    (ignored, _) = [one.what for one in findings if one.check == "ignored"]
    assert ignored == "has 6 voxels (5 %) of code 255: they are left out of training and scores"


def foreign(folder: Path, **told: object) -> Path:
    """As lungmask and some sets of infection code them: 1 right, 2 left lung, 7 infection."""
    return partial(folder, np.choose(lungs(), [0, 2, 1, 7]).astype(np.uint8), **told)


CODES = {"1": "right_lung", "2": "left_lung", "7": "infection"}


def test_codes_of_another_meaning_are_read_as_the_manifest_says(tmp_path):
    entry, _ = read_datalist(foreign(tmp_path / "foreign", codes=CODES))["training"]
    own, _ = read_datalist(partial(tmp_path / "own", lungs()))["training"]
    assert entry["codes"] == CODES
    assert entry["volume_ml"] == own["volume_ml"]
    assert "codes" not in own


def test_a_code_that_the_manifest_does_not_name_is_refused(tmp_path):
    codes = {"1": "right_lung", "2": "left_lung"}
    assert "holds the code 7, which codes in manifest.json does not name; name it there, or relabel it." in complaint(
        foreign(tmp_path, codes=codes)
    )


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ({"1": "lesion"}, "codes calls 1 'lesion'; expected one of background, left_lung, right_lung, infection, "),
        (["infection"], "codes is ['infection']; expected a table such as "),
    ],
)
def test_a_table_of_codes_that_says_nothing_is_refused(tmp_path, codes, said):
    assert complaint(foreign(tmp_path, codes=codes)).startswith(f"{tmp_path / 'manifest.json'}: {said}")


def test_names_of_a_foreign_set_are_told_as_a_table_of_codes_to_write(tmp_path):
    told = complaint(partial(tmp_path, lungs(), label_codes={"1": "right lung", "2": "left lung", "3": "infection"}))
    assert (
        'in manifest.json what the codes are, {"codes": {"1": "right_lung", "2": "left_lung", "3": "infection"}}'
        in told
    )
