"""What reading a bundle's files tells: each rule of the Model Zoo has a bundle that breaks it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pipeline.bundle_files.archive import LARGE_BYTES
from pipeline.core.errors import InputError
from pipeline.export.build import write_config
from pipeline.export.verify import CONFIG_KEYS, FAIL, NOTE, README_SECTIONS, read_findings, schema_file, verify
from pipeline.export.weights import write_weights

TENSOR = {
    "type": "image", "format": "hounsfield", "num_channels": 1, "spatial_shape": [8, 8], "dtype": "float32",
    "value_range": [],
}  # fmt: skip
METADATA = {
    "schema": "https://example.org/schema.json",
    "version": "0.1.0",
    "changelog": {"0.1.0": "first"},
    "monai_version": "1.6.1",
    "pytorch_version": "2.13.0",
    "numpy_version": "2.4.6",
    "required_packages_version": {"scipy": "1.17.1"},
    "task": "a task",
    "description": "a description",
    "authors": "authors",
    "copyright": "authors",
    "network_data_format": {"inputs": {"image": TENSOR}, "outputs": {"pred": TENSOR}},
}


def nested(keys):
    content = {}
    for key in keys:
        here = content
        for part in key.split("::"):
            here = here.setdefault(part, {})
    return content


@pytest.fixture
def bundle(tmp_path):
    """A folder that keeps all rules that can be read."""
    folder = tmp_path / "lung_ct_segmentation"
    write_config(folder / "configs" / "metadata.json", METADATA)
    for name, keys in CONFIG_KEYS.items():
        write_config(folder / "configs" / f"{name}.json", nested(keys))
    write_weights({"weight": torch.ones(2)}, folder / "models" / "model.pt")
    (folder / "docs").mkdir()
    (folder / "docs" / "README.md").write_text("".join(f"## {section}\n\ntext\n\n" for section in README_SECTIONS))
    (folder / "LICENSE").write_text("terms\n")
    return folder


def failed(bundle: Path) -> list[str]:
    return [str(finding) for finding in read_findings(bundle) if finding.outcome == FAIL]


def with_metadata(bundle: Path, **changes: object) -> None:
    write_config(bundle / "configs" / "metadata.json", {**METADATA, **changes})


def test_a_bundle_that_keeps_the_rules_has_no_failure(bundle):
    assert failed(bundle) == []


@pytest.mark.parametrize("name", ["LICENSE", "models/model.pt", "configs/inference.json"])
def test_a_required_file_that_is_missing_is_named(bundle, name):
    (bundle / name).unlink()
    assert any(name in line for line in failed(bundle))


def test_a_name_of_one_word_fails(bundle):
    assert any("<body>_<modality>_<task>" in line for line in failed(bundle.rename(bundle.with_name("segmentation"))))


def test_a_large_file_that_is_not_listed_fails(bundle):
    with (bundle / "models" / "model.ts").open("wb") as stream:
        stream.truncate(LARGE_BYTES + 1)
    assert any("over 25" in line for line in failed(bundle))


def test_a_large_file_without_an_address_is_noted(bundle):
    (bundle / "large_files.yml").write_text("large_files:\n- path: models/model.ts\n  url: ''\n")
    noted = [finding for finding in read_findings(bundle) if finding.outcome == NOTE]
    assert any("no URL" in finding.detail for finding in noted)


def test_a_listed_file_with_another_hash_fails(bundle):
    listed = "large_files:\n- {path: models/model.pt, url: u, hash_val: '0', hash_type: sha256}\n"
    (bundle / "large_files.yml").write_text(listed)
    assert any("another hash" in line for line in failed(bundle))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"version": "0.2.0"}, "no line for version 0.2.0"),
        ({"pytorch_version": "2.13.0+cpu"}, "plain version"),
        ({"required_packages_version": {"scipy": ">=1.15"}}, "plain version"),
        ({"task": ""}, "task is ''"),
        ({"network_data_format": {"inputs": {"image": {}}, "outputs": {"pred": TENSOR}}}, "image lacks type"),
    ],
)
def test_metadata_that_the_model_zoo_refuses_fails(bundle, changes, told):
    with_metadata(bundle, **changes)
    assert any(told in line for line in failed(bundle))


def test_a_missing_key_of_a_configuration_is_named(bundle):
    content = nested(CONFIG_KEYS["train"])
    del content["train"]["inferer"]
    write_config(bundle / "configs" / "train.json", content)
    assert any("train.json has no train::inferer" in line for line in failed(bundle))


@pytest.mark.parametrize("form", [{}, {"indent": 4, "ensure_ascii": False}])
def test_json_that_the_formatter_would_change_fails(bundle, form):
    text = json.dumps({**METADATA, "authors": "M\u00fcller"}, **form) + "\n"
    (bundle / "configs" / "metadata.json").write_text(text, encoding="utf-8")
    assert any("indented by 4" in line for line in failed(bundle))


@pytest.mark.parametrize("path", ["/home/somebody/data", str(Path.home() / "data"), r"C:\Users\somebody"])
def test_a_folder_of_a_person_fails(bundle, path):
    (bundle / "docs" / "data_license.txt").write_text(f"Read from {path}.\n")
    assert any("data_license.txt names" in line for line in failed(bundle))


def test_an_address_is_no_folder_of_a_person(bundle):
    (bundle / "docs" / "data_license.txt").write_text("https://example.org/home/somebody\n")
    assert failed(bundle) == []


def test_a_page_without_a_section_fails(bundle):
    (bundle / "docs" / "README.md").write_text("# A bundle\n")
    assert any("no section Performance" in line for line in failed(bundle))


def test_weights_that_are_no_plain_state_dict_fail(bundle):
    torch.save({"epoch": 3}, bundle / "models" / "model.pt")
    assert any("no plain state dict" in line for line in failed(bundle))


def test_weights_that_would_run_code_fail_and_run_nothing(bundle):
    torch.save(Path("x"), bundle / "models" / "model.pt")
    assert any("does not load with weights_only" in line for line in failed(bundle))


def test_code_under_the_name_of_others_fails(bundle):
    (bundle / "scripts").mkdir()
    (bundle / "scripts" / "network.py").write_text("")
    assert any("named scripts" in line for line in failed(bundle))


def test_a_folder_without_configurations_is_no_bundle(tmp_path):
    with pytest.raises(InputError, match="no folder configs"):
        verify(tmp_path)


def test_a_schema_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="SCHEMA"):
        schema_file(str(tmp_path / "none.json"))
