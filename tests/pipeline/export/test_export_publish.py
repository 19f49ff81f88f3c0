"""Into a clone of the Model Zoo, and to the Hugging Face hub."""

from __future__ import annotations

import ast
import json

import pytest

from pipeline.bundle_files.archive import zip_bundle
from pipeline.core.errors import InputError
from pipeline.export import push as pushing
from pipeline.export.build import write_config
from pipeline.export.push import push
from pipeline.export.zoo import lay_into, unit_test

TRAIN = {
    "slice_size": [512, 500],
    "patch_size": [160, 160, 80],
    "spacing_mm": [0, 0, 2.7],
    "max_epochs": 100,
    "label_map": "infection",
}


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "lung_ct_segmentation"
    write_config(folder / "configs" / "metadata.json", {"version": "0.1.0"})
    write_config(folder / "configs" / "train.json", TRAIN)
    (folder / "docs").mkdir()
    (folder / "docs" / "README.md").write_text("# Lungs\n")
    return folder


@pytest.fixture
def zoo(tmp_path):
    for name in ("models", "ci/unit_tests"):
        (tmp_path / "zoo" / name).mkdir(parents=True)
    return tmp_path / "zoo"


class Hub:
    """Stands in for huggingface_hub: notes what it is asked for, and reaches nothing."""

    def __init__(self):
        self.asked = []

    def HfApi(self, token):  # noqa: N802 - the name is the hub's
        return self

    def create_repo(self, **arguments):
        self.asked.append(("create_repo", arguments))

    def upload_folder(self, repo_id, folder_path):
        self.asked.append(("upload_folder", repo_id))
        return f"https://hub/{repo_id}"

    def create_tag(self, **arguments):
        self.asked.append(("create_tag", arguments))


@pytest.fixture
def hub(monkeypatch):
    stand_in = Hub()
    monkeypatch.setattr("monai.bundle.scripts.huggingface_hub", stand_in)
    monkeypatch.setattr("monai.bundle.scripts._add_model_card_metadata", lambda path: None)
    monkeypatch.setattr(pushing, "optional_import", lambda name: (stand_in, True))
    return stand_in


def test_a_clone_gets_the_bundle_and_a_test_that_is_named_after_it(bundle, zoo):
    target, test = lay_into(bundle, zoo)
    assert (target / "configs" / "train.json").read_bytes() == (bundle / "configs" / "train.json").read_bytes()
    assert test == zoo / "ci" / "unit_tests" / "test_lung_ct_segmentation.py"


def test_a_file_that_can_be_downloaded_is_not_copied_into_the_clone(bundle, zoo):
    (bundle / "model.pt").write_text("")
    (bundle / "large_files.yml").write_text("large_files:\n- {path: model.pt, url: 'https://example.org/model.pt'}\n")
    target, _ = lay_into(bundle, zoo)
    assert not (target / "model.pt").exists()


def test_a_large_file_that_nobody_can_download_is_refused(bundle, zoo):
    (bundle / "large_files.yml").write_text("large_files:\n- {path: model.pt, url: ''}\n")
    with pytest.raises(InputError, match=r"model\.pt"):
        lay_into(bundle, zoo)


def test_a_version_that_the_zoo_has_is_refused(bundle, zoo):
    (zoo / "models" / "model_info.json").write_text(json.dumps({"lung_ct_segmentation_v0.1.0": {}}))
    with pytest.raises(InputError, match="VERSION"):
        lay_into(bundle, zoo)


def test_a_folder_that_is_no_clone_is_refused(bundle, tmp_path):
    with pytest.raises(InputError, match="ZOO"):
        lay_into(bundle, tmp_path)


def test_the_test_is_python_with_small_numbers(bundle):
    tree = ast.parse(unit_test("lung_ct_segmentation", TRAIN))
    (small,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "SMALL"
    ]
    assert small == {"max_epochs": 1, "patch_size": [64, 64, 32], "slice_size": [64, 64]}


def test_publishing_uploads_the_folder_and_tags_its_version(bundle, hub):
    assert push(bundle, "user/lung") == "https://hub/user/lung"
    assert hub.asked == [
        ("create_repo", {"repo_id": "user/lung", "private": True, "exist_ok": True}),
        ("upload_folder", "user/lung"),
        ("create_tag", {"repo_id": "user/lung", "tag": "0.1.0", "exist_ok": True}),
    ]


def test_publishing_leaves_the_bundle_as_it_is(bundle, hub):
    push(bundle, "user/lung")
    assert not (bundle / "README.md").exists()


def test_a_bundle_that_was_changed_since_its_export_is_not_published(bundle, hub):
    zip_bundle(bundle, "0.1.0")
    (bundle / "docs" / "README.md").write_text("# Other\n")
    with pytest.raises(InputError, match=r"README\.md"):
        push(bundle, "user/lung")
    assert hub.asked == []


def test_a_name_that_is_no_repository_is_refused(bundle, hub):
    with pytest.raises(InputError, match="user/lung_ct_segmentation"):
        push(bundle, "lung")


def test_a_missing_package_is_told_in_a_sentence(bundle, monkeypatch):
    monkeypatch.setattr(pushing, "optional_import", lambda name: (None, False))
    with pytest.raises(InputError, match="pip install huggingface_hub"):
        push(bundle, "user/lung")
