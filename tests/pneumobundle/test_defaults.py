"""What is meant where an option is not given."""

from types import SimpleNamespace

import pytest

from pneumobundle.run.defaults import network_of, usual


def given(**options):
    return SimpleNamespace(**{"network": None, "cascade": None, "data": None, "preset": None, **options})


@pytest.mark.parametrize(
    ("options", "network"),
    [
        ({}, "unet_3d"),
        ({"preset": "quick"}, "unet_3d"),
        ({"data": "scans"}, "pneumo_net"),
        ({"data": "scans", "preset": "quick"}, "pneumo_net"),
        ({"data": "scans", "preset": "paper"}, "unet_3d"),
        ({"data": "scans", "network": "anam_net"}, "anam_net"),
        ({"data": "scans", "cascade": "unet_3d>anam_net"}, "unet_3d>anam_net"),
    ],
)
def test_the_network_of_ones_own_scans_is_this_projects_own_unless_the_papers_training_is_asked_for(options, network):
    assert network_of(given(**options)) == network


def test_a_command_without_data_means_the_default_run_that_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert usual(given(), "cv") == "runs/unet_3d/cv"
    (tmp_path / "runs/pneumo_net/cv").mkdir(parents=True)
    assert usual(given(), "cv") == "runs/pneumo_net/cv"
    assert usual(given(network="unet_3d"), "cv") == "runs/unet_3d/cv"
    (tmp_path / "runs/unet_3d/cv").mkdir(parents=True)
    assert usual(given(), "cv") == "runs/unet_3d/cv"
    assert usual(given(data="scans"), "cv") == "runs/pneumo_net/cv"
