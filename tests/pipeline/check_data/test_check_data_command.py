"""The command: exit status, table, findings.json and the data card."""

from __future__ import annotations

import html
import json
from pathlib import Path

import numpy as np
import pytest
from commands import run_command
from defects import changed, patient, swapped, write_case
from dicom_makers import classic, write

from pipeline.check_data.finding import ERROR, WARNING
from pipeline.core.errors import InputError
from pipeline.phantom.dataset import write_phantom


def run(folder: Path, *arguments: str) -> tuple[int, dict]:
    """The exit status and the content of findings.json."""
    out = folder.parent / "out"
    status = 0
    try:
        run_command("check", folder, "--out", out, *arguments)
    except SystemExit as ended:
        status = int(ended.code or 0)
    return status, json.loads((out / "findings.json").read_text())


@pytest.fixture
def data(tmp_path) -> Path:
    write_case(tmp_path / "data", "a", *patient())
    write_case(tmp_path / "data", "b", *patient(1))
    return tmp_path / "data"


def break_a(data: Path) -> None:
    image, label = patient()
    write_case(data, "a", image, changed(label, swapped))


def test_a_clean_data_set_ends_with_status_0(data):
    status, found = run(data)
    assert (status, found["findings"]) == (0, [])


def test_an_error_ends_with_status_1(data):
    break_a(data)
    status, found = run(data)
    assert (status, found["counts"][ERROR]) == (1, 1)


def test_a_finding_tells_case_file_what_and_what_to_do(data, capsys):
    break_a(data)
    _, found = run(data)
    (finding,) = found["findings"]
    assert {key: finding[key] for key in ("level", "case", "check", "file")} == {
        "level": "error", "case": "a", "check": "sides", "file": "labels/a.nii.gz",
    }  # fmt: skip
    assert "error    case a: labels/a.nii.gz: left and right are swapped" in capsys.readouterr().out


def test_the_card_is_one_file_that_loads_nothing(data):
    run(data)
    page = html.unescape((data.parent / "out/card.html").read_text())
    assert "default-src 'none'" in page
    assert page.count('<svg class="slice"') == 2


def test_names_of_cases_are_escaped_in_the_card(tmp_path):
    write_case(tmp_path / "data", "<script>x", *patient())
    run(tmp_path / "data")
    assert "<script>x" not in (tmp_path / "out/card.html").read_text()


def test_repair_is_asked_for_by_name(data, tmp_path):
    break_a(data)
    run(data, "--repair", str(tmp_path / "mended"))
    assert run(tmp_path / "mended")[0] == 0


def test_scans_without_labels_are_checked(tmp_path):
    write_case(tmp_path / "data", "a", patient()[0], None)
    status, found = run(tmp_path / "data")
    assert (status, [case["case"] for case in found["cases"]]) == (0, ["a"])


def test_a_plain_folder_of_scans_is_checked(tmp_path):
    write_case(tmp_path / "data", "a", patient()[0], None)
    assert run(tmp_path / "data/images")[0] == 0


def test_an_unreadable_case_is_in_the_table_and_not_in_the_montage(data):
    (data / "images/a.nii.gz").write_bytes(b"nothing")
    status, found = run(data)
    assert (status, [finding["check"] for finding in found["findings"]]) == (1, ["file"])


def test_a_dicom_folder_is_to_be_converted(tmp_path):
    (tmp_path / "series").mkdir()
    (tmp_path / "series/1.dcm").touch()
    with pytest.raises(InputError, match=r"DICOM files, which make predict reads; .* convert each series"):
        run_command("check", tmp_path)


def test_the_phantom_has_neither_errors_nor_warnings(tmp_path):
    write_phantom(tmp_path / "data", coarsening=2.0)
    _, found = run(tmp_path / "data")
    assert [one for one in found["findings"] if one["level"] in (ERROR, WARNING)] == []


def test_what_is_alike_in_many_cases_is_one_line_and_each_is_in_the_json(tmp_path, capsys):
    image, label = patient()
    for number in range(5):
        write_case(tmp_path / "data", f"case{number}", changed(image, lambda hu: hu.clip(-1000, 200)), label)
    _, found = run(tmp_path / "data")
    lines = [line for line in capsys.readouterr().out.splitlines() if "a window was applied" in line]
    assert len(lines) == 1
    assert lines[0].startswith(
        "warning  5 cases (case0, case1, case2 and 2 more), the first: has nothing denser than 200"
    )
    assert sum(finding["check"] == "window" for finding in found["findings"]) == 5


def test_codes_that_are_off_by_rounding_are_read_with_a_note(data):
    image, label = patient()
    rounded = changed(label, lambda codes: codes + np.float32(1e-7) * (codes == 1))
    write_case(data, "a", image, rounded)
    status, found = run(data)
    assert status == 0
    assert [finding["case"] for finding in found["findings"] if finding["check"] == "rounding"] == ["a"]


def test_codes_that_are_no_whole_numbers_are_an_error(data):
    image, label = patient()
    write_case(data, "a", image, changed(label, lambda codes: codes.astype(np.float32) * 1.1))
    assert run(data)[0] == 1


def test_dicom_files_without_an_ending_are_told_as_dicom(tmp_path):
    write(classic(patient()[0])[:2], tmp_path / "disk")
    for number, file in enumerate(sorted((tmp_path / "disk").iterdir())):
        file.rename(file.with_name(f"CT.{number}"))
    with pytest.raises(InputError, match="holds DICOM files, which make predict reads"):
        run_command("check", tmp_path)
