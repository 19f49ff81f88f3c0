"""Cases as other programs name them become entries of the datalist."""

from __future__ import annotations

import pytest

from pipeline.core.errors import InputError
from pipeline.data.plain_cases import as_read, completed
from pipeline.scans.scan import file_sha256


@pytest.fixture
def case(tmp_path):
    """Makes the files of a case in a folder; what a program says of it."""

    def made(folder: str, name: str = "image") -> dict[str, str]:
        place = tmp_path / folder
        place.mkdir()
        files = {"image": place / f"{name}.nii.gz", "label": place / "label.nii.gz"}
        for key, file in files.items():
            file.write_text(f"{key} of {folder}")
        return {key: str(file) for key, file in files.items()}

    return made


def test_a_case_gets_a_name_and_the_hashes_of_its_files(case):
    given = case("a", "chest")
    (found,) = completed([given])
    assert found == {
        **given,
        "case": "chest",
        "image_sha256": file_sha256(given["image"]),
        "label_sha256": file_sha256(given["label"]),
    }


def test_cases_of_one_file_name_are_told_apart_by_their_folders(case):
    assert [found["case"] for found in completed([case("a"), case("b"), case("c", "other")])] == [
        "a_image",
        "b_image",
        "other",
    ]


def test_an_entry_of_a_datalist_stays_as_it_is_wherever_its_files_are():
    entry = {"case": "a", "image": "gone.nii.gz", "label": "gone too", "image_sha256": "1", "label_sha256": "2"}
    assert completed([entry]) == [entry]


def test_a_missing_file_is_named(case, tmp_path):
    given = {**case("a", "chest"), "label": str(tmp_path / "none.nii.gz")}
    with pytest.raises(InputError, match=r"^case chest: there is no .*none\.nii\.gz"):
        completed([given])


def test_a_case_without_a_label_is_named():
    with pytest.raises(InputError, match=r"^a case has no label: "):
        completed([{"image": "a.nii.gz"}])


def test_a_training_reads_texts_alone_of_an_entry():
    entry = {"case": "a", "image": "a.nii.gz", "label": "b.nii.gz", "image_sha256": "1", "label_sha256": "2"}
    assert as_read([{**entry, "spacing_mm": [1.0, 1.0, 2.0], "volume_ml": {"lungs": 1.5}}]) == [entry]


def test_a_training_reads_which_slices_of_a_pseudo_label_count():
    assert as_read([{"case": "a", "slices": [3, 5], "round": 1}]) == [{"case": "a", "slices": [3, 5]}]
