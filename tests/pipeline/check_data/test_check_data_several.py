"""Checks of several folders: between them where patients are meant, one by one where codes are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commands import run_command
from defects import changed, patient, swapped, write_case

from pipeline.check_data.check import check_labelled
from pipeline.check_data.finding import ERROR, WARNING, Finding
from pipeline.check_data.repair import repair
from pipeline.core.errors import InputError
from pipeline.folders.several import list_all


@pytest.fixture
def folders(tmp_path) -> list[Path]:
    for place, case, seed in (("one", "a", 0), ("one", "b", 1), ("two", "c", 2)):
        write_case(tmp_path / place, case, *patient(seed))
    return [tmp_path / "one", tmp_path / "two"]


def serious(folders: list[Path]) -> dict[str, Finding]:
    _, findings = check_labelled(list_all(folders), folders[0].parent)
    return {finding.check: finding for finding in findings if finding.level in (ERROR, WARNING)}


def say(folder: Path, **manifest: object) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest))


def as_masks(folder: Path) -> None:
    """Labels of infection alone, by code 1, in place of the folder's own."""
    image, label = patient(2)
    write_case(folder, "c", image, changed(label, lambda codes: (codes == 3).astype(codes.dtype)))


def test_sound_folders_have_nothing_serious(folders):
    assert serious(folders) == {}


def test_the_same_scan_under_two_names_is_found_across_folders(folders):
    one, two = folders
    for kind in ("images", "labels"):
        shutil.copy(one / kind / "a.nii.gz", two / kind / "d.nii.gz")
    assert serious(folders)["duplicate"].sentence == (
        f"case d: {two}/images/d.nii.gz: holds the same voxels as case a, and they are named as two patients (a, d); "
        "remove one of them; REPAIR never leaves out a case."
    )


def test_a_patient_of_two_folders_is_told_and_counts_as_one(folders):
    one, two = folders
    say(one, cases=[{"case": "b", "patient": "7"}])
    say(two, cases=[{"case": "c", "patient": "7"}])
    assert serious(folders)["shared_patients"].sentence == (
        "1 patient(s) have cases in several folders, as manifests name them (7: b, c), and count as one each; where "
        "they are not, give them other names in one folder's manifest.json."
    )


def test_two_cases_of_a_patient_in_one_folder_are_nothing_to_tell(folders):
    say(folders[0], cases=[{"case": "a", "patient": "7"}, {"case": "b", "patient": "7"}])
    assert "shared_patients" not in serious(folders)


def test_visits_in_two_folders_are_told(folders):
    for place, case in zip(folders, ("p1_visit1", "p1_visit2"), strict=True):
        write_case(place, case, *patient(len(case) + int(case[-1])))
    assert serious(folders)["visits"].what.startswith("1 patient(s) may have several cases")


def test_names_of_codes_are_checked_folder_by_folder(folders):
    _, two = folders
    say(two, label_codes={"1": "right lung", "2": "left lung"})
    finding = serious(folders)["code_names"]
    assert (finding.file, finding.what.partition(";")[0]) == (
        two / "manifest.json",
        "calls label code 2 'left lung'",
    )


def test_masks_of_one_folder_are_found_beside_whole_labels_of_another(folders):
    _, two = folders
    as_masks(two)
    finding = serious(folders)["masks"]
    assert finding.sentence.startswith(f"{two}: the label holds code 1 alone, which is read as the left lung;")
    assert "say so in two/manifest.json" in finding.mend


def test_a_repaired_copy_has_all_folders_and_their_descriptions(folders, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("pipeline.check_data.folder.write_card", lambda *_: None)
    one, two = folders
    as_masks(two)
    say(two, label_codes={"1": "infection"})
    image, label = patient(1)
    write_case(one, "b", image, changed(label, swapped))
    with pytest.raises(SystemExit):
        run_command("check", one, two, "--out", tmp_path / "out", "--repair", tmp_path / "mended")
    copies = [tmp_path / "mended" / place.name for place in folders]
    # Of masks of infection it is asked whether lungs were not annotated
    assert serious(copies).keys() == {"annotates"}
    assert f"Its folders are {copies[0]} {copies[1]}." in capsys.readouterr().out


def test_a_copy_is_refused_within_any_folder(folders):
    with pytest.raises(InputError, match="lies within the data set"):
        repair(list_all(folders), folders[0].parent, [], folders[1] / "mended")


def test_findings_and_card_name_all_folders(folders, tmp_path, capsys):
    run_command("check", *folders, "--out", tmp_path / "out")
    found = json.loads((tmp_path / "out" / "findings.json").read_text())
    assert (found["dataset"], found["folders"]) == ("one + two", ["one", "two"])
    assert [case["image"] for case in found["cases"]][-1] == "two/images/c.nii.gz"
    card = (tmp_path / "out" / "card.html").read_text()
    assert "Data card of one + two" in card
    assert "What each folder holds" in card


def test_what_is_left_out_of_any_folder_is_told_once(folders, tmp_path, capsys):
    (folders[1] / "more").mkdir()
    shutil.copy(folders[0] / "images" / "a.nii.gz", folders[1] / "more" / "z.nii.gz")
    with pytest.raises(SystemExit):
        run_command("check", *folders, "--out", tmp_path / "out")
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("left out")]
    assert [line.partition(": 1 image")[0] for line in told] == ["left out: two/more/"]
