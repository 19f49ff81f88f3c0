"""A bundle that somebody gave is told, compared with its checksum file, and refused where it differs."""

from __future__ import annotations

import importlib
import sys
import zipfile

import pytest

from pipeline.bundle_files.archive import bundle_sha256, checksum_file, zip_bundle
from pipeline.bundle_files.bundle_source import is_bundle, opened, source_of
from pipeline.core.errors import InputError
from pipeline.inference import chosen_model
from pipeline.inference.chosen_model import open_model


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "a_ct_bundle"
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "inference.json").write_text("{}")
    return folder


def write_bundle(folder, version: str) -> None:
    (folder / "a_ct_bundle_code").mkdir(parents=True)
    (folder / "a_ct_bundle_code" / "__init__.py").write_text(f"VERSION = {version!r}")
    (folder / "a_ct_bundle_code" / "late.py").write_text("")
    (folder / "configs").mkdir()
    (folder / "configs" / "inference.json").write_text("{}")


@pytest.fixture
def runs(monkeypatch):
    """The configurations that would have been run, and with what."""
    asked = []

    class Noted:
        def __init__(self, configuration, **own):
            asked.append(("/".join(configuration.parts[-3:]), own))

        def setting(self, name):
            return "lungs_infection" if name == "label_map" else None

        def close(self):
            pass

    monkeypatch.setattr(chosen_model, "Segmenter", Noted)
    return asked


def test_a_fold_of_a_run_is_no_bundle(tmp_path):
    assert not is_bundle(tmp_path)


def test_predicting_with_a_bundle_runs_its_own_configuration(bundle, runs):
    with open_model(bundle):
        assert runs == [("a_ct_bundle/configs/inference.json", {})]


def test_a_result_of_a_bundle_names_it_by_its_hash(bundle, runs):
    with open_model(bundle, mode="") as model:
        assert model.facts["sha256"] == bundle_sha256(bundle)


def test_what_runs_is_a_copy_without_what_is_not_hashed(bundle):
    (bundle / "__pycache__").mkdir()
    (bundle / "__pycache__" / "code.pyc").write_text("")
    with opened(bundle) as copy:
        assert [path.name for path in copy.rglob("*")] == ["configs", "inference.json"]


def test_bundles_of_one_name_each_run_their_own_code(tmp_path):
    told = []
    for version in ("first", "second"):
        write_bundle(tmp_path / version / "a_ct_bundle", version)
        with opened(tmp_path / version / "a_ct_bundle", trusted=True) as copy:
            sys.path.append(str(copy))
            told.append(importlib.import_module("a_ct_bundle_code").VERSION)
    assert told == ["first", "second"]


def test_what_a_bundle_was_imported_from_is_not_looked_into_later(bundle):
    with opened(bundle) as copy:
        sys.path.append(str(copy))
    assert str(copy) not in sys.path


def test_the_source_and_the_hash_are_for_the_caller_to_tell(bundle, capsys):
    with opened(bundle):
        assert capsys.readouterr().out == ""
    assert str(bundle) in source_of(bundle)
    assert bundle_sha256(bundle) in source_of(bundle)


def test_a_bundle_without_a_checksum_file_is_said_to_be_so(bundle):
    assert "no checksum file" in source_of(bundle)


def test_two_bundles_of_one_name_with_other_code_are_not_open_at_a_time(tmp_path):
    folders = [tmp_path / version / "a_ct_bundle" for version in ("first", "second")]
    for folder in folders:
        write_bundle(folder, folder.parent.name)
    with (
        opened(folders[0], trusted=True),
        pytest.raises(InputError, match="close that model first"),
        opened(folders[1], trusted=True),
    ):
        pass


def test_what_two_bundles_share_is_found_in_the_one_that_is_left(tmp_path):
    folders = [tmp_path / number / "a_ct_bundle" for number in ("1", "2")]
    for folder in folders:
        write_bundle(folder, "same")
    first = opened(folders[0], trusted=True)
    sys.path.append(str(first.__enter__()))
    importlib.import_module("a_ct_bundle_code")
    with opened(folders[1], trusted=True) as copy:
        sys.path.append(str(copy))
        first.__exit__(None, None, None)
        assert importlib.import_module("a_ct_bundle_code.late").__file__ == str(copy / "a_ct_bundle_code" / "late.py")
    assert not [name for name in sys.modules if name.startswith("a_ct_bundle_code")]


def test_a_zip_file_is_unpacked_for_as_long_as_it_is_used(bundle):
    archive = zip_bundle(bundle, "0.1.0")
    with opened(archive) as folder:
        assert (folder / "configs" / "inference.json").read_text() == "{}"
    assert not folder.exists()


def test_a_changed_folder_is_not_run(bundle, runs):
    zip_bundle(bundle, "0.1.0")
    (bundle / "configs" / "inference.json").write_text('{"run": "$1"}')
    with pytest.raises(InputError, match=r"configs/inference\.json"), open_model(bundle):
        pass
    assert runs == []


def test_a_changed_zip_file_is_not_run(bundle, runs):
    archive = zip_bundle(bundle, "0.1.0")
    checksum_file(archive).write_text(f"{'0' * 64}  {archive.name}\n")
    with pytest.raises(InputError, match=archive.name), open_model(archive):
        pass
    assert runs == []


def test_a_zip_file_that_writes_beside_its_folder_is_refused(tmp_path):
    archive = tmp_path / "bad.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("../escaped.txt", "")
    with pytest.raises(InputError, match="a path outside of it"), opened(archive):
        pass


@pytest.mark.parametrize(("content", "told"), [(b"no zip", "not a readable zip file"), (None, "does not exist")])
def test_what_is_no_zip_file_is_told_in_a_sentence(tmp_path, content, told):
    archive = tmp_path / "bad.zip"
    if content is not None:
        archive.write_bytes(content)
    with pytest.raises(InputError, match=told), opened(archive):
        pass


def test_a_zip_file_without_a_bundle_is_refused(tmp_path):
    archive = tmp_path / "other.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("a/b.txt", "")
    with pytest.raises(InputError, match="holds no bundle"), opened(archive):
        pass
