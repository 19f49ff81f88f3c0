"""Defects of DICOM files that `make fuzz` found: each is left out with its reason, which has no patient's name."""

from __future__ import annotations

import pytest
from conftest import chest
from dicom_makers import PATIENT_NAME, classic, write

from pipeline.scans.dicom.series import find_series


@pytest.mark.parametrize(
    ("element", "name"),
    [(b"\x08\x00\x60\x00CS\x02\x00", "Modality"), (b"\x08\x00\x16\x00UI\x1a\x00", "SOPClassUID")],
    ids=["modality", "class"],
)
def test_a_value_that_swallows_the_patient_s_name_is_no_value(tmp_path, caplog, element, name):
    (file,) = write(classic(chest()[0])[:1], tmp_path)
    content = file.read_bytes()
    assert content.count(element) == 1
    # To the end of the name and what fills it up to an even length
    length = content.index(PATIENT_NAME.encode()) + len(PATIENT_NAME) + 1 - content.index(element) - len(element)
    file.write_bytes(content.replace(element, element[:-2] + length.to_bytes(2, "little")))
    assert find_series(tmp_path) == []
    assert f"left out: its {name} is too long or no text" in caplog.text
    assert PATIENT_NAME not in caplog.text
