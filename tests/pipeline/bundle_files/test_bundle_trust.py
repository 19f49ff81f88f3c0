"""A bundle runs nothing that this project does not have itself, unless the user says that it is to be trusted."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest

from pipeline.bundle_files import bundle_source
from pipeline.bundle_files.bundle_source import opened
from pipeline.bundle_files.foreign_code import foreign_code
from pipeline.bundle_files.own_code import standalone
from pipeline.bundle_files.package import closure, names_in, write_package
from pipeline.core.configuration import LOGGING, networks
from pipeline.core.errors import InputError
from pipeline.export.build import configurations
from pipeline.export.source import initial

PLANTED = "$__import__('pathlib').Path('was_here').touch()"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All of a bundle that can run; without weights."""
    source, folder = initial("small_covid_net", "demo", {}), tmp_path_factory.mktemp("bundles") / "a_ct_bundle"
    (folder / "configs").mkdir(parents=True)
    contents = configurations(source)
    for name, content in contents.items():
        (folder / "configs" / f"{name}.json").write_text(json.dumps(standalone(content, source.package)))
    modules = closure(name for content in contents.values() for name in names_in(content))
    write_package(modules, folder / source.package, "The code of a bundle.")
    shutil.copyfile(LOGGING, folder / "configs" / LOGGING.name)
    return folder


@pytest.fixture
def bundle(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / whole.name)


def change(bundle: Path, **changes: object) -> None:
    file = bundle / "configs" / "inference.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def refusal(bundle: Path) -> str:
    with pytest.raises(InputError, match="give TRUST=1") as caught, opened(bundle):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_bundle_of_this_project_needs_no_trust(bundle):
    with opened(bundle) as folder:
        assert (folder / "configs" / "inference.json").is_file()


@pytest.mark.parametrize("network", [*networks(), "chs_net", "inf_net_multiclass", "unet_3d>anam_net"])
def test_no_network_of_this_project_needs_trust(network, tmp_path):
    source = initial(network, "demo", {})
    (tmp_path / "configs").mkdir()
    for name, content in configurations(source).items():
        (tmp_path / "configs" / f"{name}.json").write_text(json.dumps(standalone(content, source.package)))
    assert list(foreign_code(tmp_path)) == []


def test_other_numbers_and_names_need_no_trust(bundle):
    change(bundle, spacing_mm=[1, 1, 1], preset="mine", overlap=0.25, window_hu=[-1000, 400])
    assert list(foreign_code(bundle)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"run": [PLANTED]},
        {"imports": ["$import subprocess"]},
        {"more": {"deep": [{"below": PLANTED}]}},
        {"more": {"_target_": "os.system", "command": "touch was_here"}},
        {"more": {"_target_": "@other"}, "other": "os.system"},
        {"more": {}, "more::_target_": "os.system"},
        {"more": {}, "+more#_target_": "os.system"},
        {"more": {"_target_": ["os.system"]}},
        {"bundle_root": "."},
        {"more": {"_target_": "a_code.subprocess.run", "args": ["touch"]}},
        {"more": {"_target_": "Compose", "_mode_": "debug"}},
        {"more": {"_target_": "Compose", "_requires_": PLANTED}},
        {"more": {"_target_": "Compose", "_disabled_": PLANTED}},
        {"more": "%docs/other.json::run"},
        {"more": f" {PLANTED}"},
        {"first_stage_configuration": "elsewhere/other.json"},
        {"first_stage_model": "elsewhere/fold0/model.pt"},
        {"more": "$@own_code::on_path and pkgutil.resolve_name('a_code.os')"},
        {"more": "$@bundle_root + '/models/../../x.pt'"},
    ],
    ids=lambda changes: re.sub(r"\W+", "_", str(changes))[:60],
)
def test_what_is_not_this_projects_is_told_and_not_run(bundle, changes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    change(bundle, **changes)
    assert "whose configs/inference.json has what this version of the project does not" in refusal(bundle)
    assert not Path("was_here").exists()


def test_a_long_expression_is_told_by_its_beginning(bundle):
    change(bundle, run=["$" + "1 + " * 1000 + "1"])
    assert len(refusal(bundle).replace(str(bundle), "")) < 400


def test_a_logging_configuration_is_code(bundle):
    planted = LOGGING.read_text().replace("(sys.stdout,)", f"({PLANTED[1:]} or sys.stdout,)")
    (bundle / "configs" / "logging.conf").write_text(planted)
    assert "configs/logging.conf" in refusal(bundle)


def test_metadata_may_name_web_pages_and_no_code(bundle):
    metadata = bundle / "configs" / "metadata.json"
    metadata.write_text('{"homepage": "https://monai.io/x.json"}')
    assert list(foreign_code(bundle)) == []
    metadata.write_text(json.dumps({"homepage": PLANTED}))
    assert "metadata.json" in refusal(bundle)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("small_covid_net.py", "import os\n"),
        ("__init__.py", "import os\n"),
        ("__init__.py", '"""Says this."""\nprint()\n'),
        ("pipeline/new.py", "import os\n"),
        ("pipeline/core/labels.py", ""),
        ("fast.so", ""),
        ("a.pth", "import os"),
        ("../torch.py", "import os\n"),
        ("../docs/x.cpython-311-x86_64-linux-gnu.so", ""),
        ("pipeline/../../../outside.py", None),
    ],
)
def test_other_code_than_this_projects_is_told(bundle, name, text):
    package = next(bundle.glob("*_code"))
    if text is None:
        (package / "link.py").symlink_to(LOGGING)
    else:
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text(text)
    assert " its content; it would run" in refusal(bundle)


def test_a_configuration_that_is_no_json_is_refused_in_a_sentence(bundle):
    (bundle / "configs" / "inference.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"MODEL has inference\.json, which is not readable as JSON"), opened(bundle):
        pass


def test_a_trusted_bundle_is_opened_with_a_warning(bundle, caplog):
    change(bundle, run=[PLANTED])
    with opened(bundle, trusted=True) as folder:
        assert folder.is_dir()
    assert "runs code that this version of the project does not have" in caplog.text


def test_a_zip_file_that_unpacks_to_far_more_is_refused(tmp_path):
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as content:
        entry = zipfile.ZipInfo("a/configs/inference.json")
        content.writestr(entry, "{}", zipfile.ZIP_DEFLATED)
        content.infolist()[0].file_size = 1 << 40
    with pytest.raises(InputError, match="which no scans do"), opened(archive):
        pass


def test_nothing_of_a_refused_bundle_stays(bundle, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    change(bundle, run=[PLANTED])
    assert refusal(bundle)
    assert list(scratch.iterdir()) == []
    assert bundle_source.is_bundle(bundle)
