"""Several networks cross-validated in turn and compared; training and inference are stood in for."""

from __future__ import annotations

from functools import partial

import pytest
from bundle_runs import Bundles
from commands import run_command
from slice_set_makers import write_cases

from pipeline.core.errors import InputError
from pipeline.runs.compare import Networks
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
