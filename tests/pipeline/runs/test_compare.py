"""Several networks cross-validated in turn and compared; training and inference are stood in for."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
from bundle_runs import Bundles
from commands import run_command
from slice_set_makers import write_cases

from pipeline.core.errors import InputError
from pipeline.runs.compare import Networks, outside_of
from pipeline.runs.cross_validation import CrossValidation


@pytest.fixture
def made(monkeypatch):
    bundles = Bundles()
    monkeypatch.setattr(CrossValidation, "bundle_run", lambda *arguments: bundles.run(*arguments))
    return bundles


@pytest.fixture
def networks(tmp_path):
    write_cases(tmp_path / "data")
    given = {"data_dir": str(tmp_path / "data"), "folds": 2, "preset": "demo", "output_dir": str(tmp_path / "out")}
    return partial(Networks, **given)


def test_networks_and_a_cascade_are_compared_on_one_page(networks, made, tmp_path):
    text = networks(["enet", "lednet", "enet>lednet"]).run()
    assert "Comparison of 3 networks" in text
    assert "enet>lednet" in (tmp_path / "out" / "comparison.csv").read_text()


def test_what_is_finished_is_not_run_again(networks, made):
    networks(["enet", "lednet"]).run()
    before = len(made.asked)
    networks(["enet", "lednet"]).run()
    assert len(made.asked) == before


def test_a_network_that_does_not_exist_is_refused_before_the_first_is_trained(networks, made):
    with pytest.raises(InputError, match="NETWORK is 'ennet'"):
        networks(["enet", "ennet"]).run()
    assert made.asked == []


@pytest.mark.parametrize(
    ("names", "said"), [(["enet"], "'enet'"), (["enet", "lednet", "enet"], "enet twice"), ([], "''")]
)
def test_fewer_than_two_different_networks_are_refused(networks, names, said):
    with pytest.raises(InputError, match=f"NETWORKS is {said}, expected at least two"):
        _ = networks(names).trainings


def test_a_network_to_test_against_has_to_be_one_of_them(networks):
    with pytest.raises(InputError, match="AGAINST is segnet, expected one of NETWORKS: enet, lednet"):
        _ = networks(["enet", "lednet"], against="segnet").trainings


def test_without_a_folder_the_networks_are_where_make_cv_has_them():
    trainings = Networks(["unet_3d", "unet_3d>anam_net"], data_dir="data", folds=5, preset="demo").trainings
    assert [each.output_dir for each in trainings.values()] == ["runs/unet_3d/cv", "runs/unet_3d-anam_net/cv"]


def test_the_command_says_where_the_page_is(networks, made, tmp_path, capsys):
    options = ["--data", str(tmp_path / "data"), "--folds", "2", "--preset", "demo", "--out", str(tmp_path / "out")]
    write_cases(tmp_path / "data")
    run_command("compare", "enet", "lednet", *options)
    assert f"The comparison is {tmp_path / 'out' / 'comparison.html'}." in capsys.readouterr().out


def reader(tmp_path: Path, *cases: int) -> Path:
    """Label files of a reader who agrees with the references of some cases."""
    folder = tmp_path / "reader"
    folder.mkdir()
    for case in cases:
        shutil.copy(tmp_path / "data" / "labels" / f"case_{case}.nii.gz", folder)
    (folder / "dataset.json").write_text(json.dumps({"labels": {"left lung": 1, "right lung": 2, "infection": 3}}))
    return folder


def test_a_reader_is_compared_with_networks_on_the_cases_that_both_have(networks, made, tmp_path):
    text = networks(["enet", "lednet"], outside={"somebody": str(reader(tmp_path, 0, 1, 3))}).run()
    assert "Comparison of 2 networks and 1 set of labels made elsewhere" in text
    assert "5 cases of 5 patients, the same 2 folds for all" in text
    assert "somebody: these label maps were made elsewhere. Nothing here tells whether what made them has seen" in text
    assert "somebody has labels of 3 of 5 cases" in text
    page = json.loads((tmp_path / "out" / "comparison.json").read_text())
    pairs = {(one["first"], one["second"]): one["cases"] for one in page["comparisons"]}
    assert {pairs[pair] for pair in pairs if "somebody" in pair} == {3}
    assert {pairs[pair] for pair in pairs if "somebody" not in pair} == {5}
    assert page["runs"]["somebody"]["cost"]["parameters"] is None
    assert page["runs"]["somebody"]["cost"]["case_s"] is None
    assert "somebody: its label maps were made elsewhere, and what they cost is not known." in text


def test_what_was_scored_before_stands_beside_one_network(networks, made, tmp_path):
    run_command("score", reader(tmp_path, 0, 1, 2, 3, 4), "--data", tmp_path / "data", "--out", tmp_path / "scored")
    before = (tmp_path / "scored" / "metrics.csv").stat().st_mtime_ns
    text = networks(["enet"], outside={"reader2": str(tmp_path / "scored")}, against="reader2").run()
    assert "Comparison of 1 network and 1 set of labels made elsewhere" in text
    assert "reader2 - enet" in text
    assert (tmp_path / "scored" / "metrics.csv").stat().st_mtime_ns == before


def test_labels_of_others_that_cannot_be_scored_are_refused_before_the_first_is_trained(networks, made, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no label file"):
        networks(["enet", "lednet"], outside={"nobody": str(tmp_path / "empty")}).run()
    assert made.asked == []


def test_labels_of_others_have_names_of_their_own(networks, tmp_path):
    with pytest.raises(InputError, match="WITH calls a folder enet, as one of NETWORKS is called"):
        _ = networks(["enet", "lednet"], outside={"enet": str(tmp_path)}).trainings


def test_names_and_folders_are_read_as_a_shell_would(tmp_path):
    (tmp_path / "our reader").mkdir()
    assert outside_of(f"a='{tmp_path}/our reader' b={tmp_path}") == {"a": f"{tmp_path}/our reader", "b": str(tmp_path)}


@pytest.mark.parametrize("text", ["folder", "=folder", "a=", "a=. a=.", "a='.", "a=nowhere"])
def test_what_names_no_folder_is_refused(text):
    with pytest.raises(InputError, match="WITH"):
        outside_of(text)
