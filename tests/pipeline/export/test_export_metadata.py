"""metadata.json and the pages of a bundle, from a configuration and a run."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest
import torch

from pipeline.core.atomic import write_json
from pipeline.core.configuration import INFERENCE, TRAIN, merged
from pipeline.core.errors import InputError
from pipeline.core.run_files import ENSEMBLE_SCORES
from pipeline.export.build import configurations
from pipeline.export.documents import ENSEMBLE_UNMEASURED, SYNTHETIC, UNMEASURED, UNTRAINED, data_license, readme
from pipeline.export.metadata import bare_version, foreign_names, metadata, required_packages
from pipeline.export.source import ensemble_from_run, from_run, initial
from pipeline.training.checkpoint import FINISHED, MODEL

TRAINED = {"seconds": 60, "epochs": 2, "steps": 10, "peak_memory_mib": 500, "device": "cpu"}
SCORES = {"dice": {"mean": 0.91234, "median": 0.9, "std": 0.05, "cases": 2}, "hd95_mm": {"mean": None, "std": None}}


@pytest.fixture
def run(tmp_path):
    """The folder of a finished cross-validation of two phantoms in two folds, of which fold 1 has a model."""
    for name in (TRAIN, INFERENCE):
        write_json(tmp_path / f"{name}.json", merged(name, "small_covid_net", "demo", {"max_epochs": 7}, {}))
    cases = [
        {"case": name, "patient_id": name, "image": f"images/{name}.nii.gz"} for name in ("phantom_01", "phantom_02")
    ]
    write_json(tmp_path / "datalist.json", {"layout": "images-labels", "training": cases})
    summary = {"cases": 2, "patients": 2, "empty_rule": "Empty is empty", "structures": {"infection": SCORES}}
    write_json(tmp_path / "summary.json", summary)
    (tmp_path / "metrics.csv").write_text(
        "case,fold,structure,dice\nphantom_01,0,infection,0.5\nphantom_02,1,infection,0.75\n"
    )
    (tmp_path / "fold1").mkdir()
    torch.save({}, tmp_path / "fold1" / MODEL)
    return tmp_path


def test_a_version_has_no_build():
    assert version("torch").startswith(bare_version("torch"))
    assert "+" not in bare_version("torch")


def test_packages_are_named_as_they_are_installed():
    packages = required_packages({"ignite", "SimpleITK", "torch"})
    assert packages["pytorch-ignite"] == version("pytorch-ignite")
    assert "torch" not in packages


def test_packages_of_components_are_found_and_monai_s_short_names_are_none():
    content = {"a": [{"_target_": "batchgenerators.x.Y"}], "b": {"_target_": "DiceLoss"}, "c": {"_target_": "math.pi"}}
    assert foreign_names(content) == {"batchgenerators"}


@pytest.mark.parametrize(("network", "shape"), [("small_covid_net", [96, 96]), ("unet_3d", [48, 32, 32])])
def test_the_data_format_is_that_of_the_configuration(network, shape):
    tensor = metadata(initial(network, "demo", {}), set())["network_data_format"]["outputs"]["pred"]
    assert tensor["spatial_shape"] == shape
    assert list(tensor["channel_def"].values()) == ["background", "left lung", "right lung", "infection"]


def test_a_cascade_describes_both_networks_and_their_common_labels():
    told = metadata(initial("chs_net", "demo", {}), set())
    assert told["lungs_data_format"]["outputs"]["pred"]["num_channels"] == 2
    assert told["pred_classes"] == "0 background, 1 lungs, 2 infection"


def test_a_new_version_needs_a_line_of_the_changelog():
    with pytest.raises(InputError, match="CHANGES"):
        metadata(initial("unet_3d", "demo", {}), set(), "9.9.9")


def test_a_new_version_stands_in_the_changelog():
    told = metadata(initial("unet_3d", "demo", {}), set(), "9.9.9", "more data")
    assert told["changelog"][told["version"]] == "more data"


def test_the_first_fold_with_a_model_is_exported(run):
    assert from_run("small_covid_net", run).folds == (1,)


def test_a_fold_without_a_model_is_refused(run):
    with pytest.raises(InputError, match="instead of 0"):
        from_run("small_covid_net", run, 0)


def test_a_run_of_another_network_is_refused(run):
    with pytest.raises(InputError, match="a run of small_covid_net"):
        from_run("unet_3d", run)


def test_a_run_keeps_what_it_was_trained_with(run):
    assert from_run("small_covid_net", run).last.train["max_epochs"] == 7


def test_a_run_s_scores_are_in_its_metadata(run):
    assert metadata(from_run("small_covid_net", run), set())["eval_metrics"] == {"mean_dice_infection": 0.9123}


def test_the_page_has_the_run_s_scores_and_those_of_the_exported_fold(run):
    source = from_run("small_covid_net", run)
    page = readme(source, metadata(source, set()))
    assert "| infection | 0.912 ± 0.050 | - |" in page
    assert "| infection | 0.750 | 1 |" in page


def test_the_page_says_that_a_phantom_is_no_patient(run):
    source = from_run("small_covid_net", run)
    assert SYNTHETIC in readme(source, metadata(source, set()))


def test_the_page_of_initial_weights_says_so():
    source = initial("small_covid_net", "demo", {})
    assert UNTRAINED in readme(source, metadata(source, set()))


@pytest.fixture
def members(run):
    """The same run with two finished folds."""
    for fold in (0, 1):
        (run / f"fold{fold}").mkdir(exist_ok=True)
        torch.save({}, run / f"fold{fold}" / MODEL)
        write_json(run / f"fold{fold}" / FINISHED, TRAINED)
    return run


@pytest.fixture
def scored(members):
    """As a leave-one-patient-out run that had an external test set."""
    scores = [
        {"group": "external test set", "who": who, "patients": 3, "dice": {"infection": {"mean": mean, "std": 0.1}}}
        for who, mean in (("external test set, ensemble", 0.61), ("mean single member", 0.52))
    ]
    write_json(members / ENSEMBLE_SCORES, {"method": "mean", "members": ["fold0", "fold1"], "scores": scores})
    return members


def test_one_finished_fold_is_no_ensemble(run):
    write_json(run / "fold1" / FINISHED, TRAINED)
    with pytest.raises(InputError, match="one finished fold"):
        ensemble_from_run("small_covid_net", run)


def test_an_ensemble_has_a_name_of_its_own(members):
    single, ensemble = from_run("small_covid_net", members), ensemble_from_run("small_covid_net", members)
    assert ensemble.name != single.name


@pytest.mark.parametrize(("given", "method"), [("", "mean"), ("vote", "vote")])
def test_an_ensemble_agrees_as_its_run_did_unless_it_is_told_otherwise(scored, given, method):
    assert ensemble_from_run("small_covid_net", scored, given).last.inference["method"] == method


def test_a_member_s_own_network_is_part_of_the_ensemble(members):
    content = json.loads((members / "inference.json").read_text())
    content["network_def"]["features"] = 7
    write_json(members / "fold1" / "inference.json", content)
    assert [net.get("features") for net in ensemble_from_run("small_covid_net", members).last.networks] == [None, 7]


def test_an_ensemble_trains_a_fresh_member(members):
    train = configurations(ensemble_from_run("small_covid_net", members))[TRAIN]
    assert "networks" not in train["member_def"]
    assert "@member_def" in train["network"]


def test_an_ensemble_s_last_channel_is_the_disagreement(members):
    pred = metadata(ensemble_from_run("small_covid_net", members), set())["network_data_format"]["outputs"]["pred"]
    assert pred["num_channels"] == len(pred["channel_def"]) == 5


def test_scores_of_single_members_are_not_given_as_the_ensemble_s(members):
    source = ensemble_from_run("small_covid_net", members)
    described = metadata(source, set())
    assert described["eval_metrics"] == {"mean_dice_infection_single_member_out_of_fold": 0.9123}
    page = readme(source, described)
    assert ENSEMBLE_UNMEASURED in page
    assert UNMEASURED in page


def test_the_page_has_the_ensemble_s_scores_on_an_external_test_set(scored):
    source = ensemble_from_run("small_covid_net", scored)
    described = metadata(source, set())
    assert described["eval_metrics"]["mean_dice_infection_ensemble_external"] == 0.61
    assert "| external test set, ensemble | 3 | 0.610 ± 0.100 |" in readme(source, described)


def test_scores_of_another_method_are_not_the_ensemble_s(scored):
    source = ensemble_from_run("small_covid_net", scored, "vote")
    assert UNMEASURED in readme(source, metadata(source, set()))


def test_a_cascade_s_ensemble_has_a_file_a_fold_of_the_first_stage(tmp_path):
    for stage in ("lungs", "infection"):
        for name in (TRAIN, INFERENCE):
            write_json(tmp_path / stage / f"{name}.json", merged(name, "raiu_net", "demo", {}, {}, stage, "chs_net"))
        for fold in (0, 2):
            (tmp_path / stage / f"fold{fold}").mkdir()
            torch.save({}, tmp_path / stage / f"fold{fold}" / MODEL)
            write_json(tmp_path / stage / f"fold{fold}" / FINISHED, TRAINED)
    inference = configurations(ensemble_from_run("chs_net", tmp_path))[INFERENCE]
    assert inference["first_stage_model"] == [f"$@bundle_root + '/models/lungs_fold{fold}.pt'" for fold in (0, 2)]


@pytest.mark.parametrize(("layout", "told"), [("zenodo", "non-commercial"), ("nnunet", "NOT STATED")])
def test_the_terms_are_those_of_a_known_data_set_or_open(run, layout, told):
    datalist = json.loads((run / "datalist.json").read_text())
    datalist["training"][0]["image"] = "images/patient.nii.gz"
    write_json(run / "datalist.json", {**datalist, "layout": layout})
    assert told in data_license(from_run("small_covid_net", run))
