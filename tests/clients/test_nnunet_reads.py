"""nnU-Net itself reads what `make nnunet` writes, in an environment that tools/clients_for_tests.sh makes."""

from __future__ import annotations

import json
import subprocess

import pytest
from client_bundles import programs_of, without_project
from commands import run_command

from pipeline.phantom.dataset import write_phantom

pytestmark = pytest.mark.clients
# The folds that a training would use, and the labels that it learns
ASKS = """
import json, sys, torch
from pathlib import Path
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
folder = Path(sys.argv[1])
plans, dataset = (json.loads((folder / name).read_text()) for name in ("nnUNetPlans.json", "dataset.json"))
found = []
for fold in range(2):
    trainer = nnUNetTrainer({**plans, "continue_training": False}, "3d_fullres", fold, dataset, torch.device("cpu"))
    found.append(trainer.do_split())
labels = trainer.label_manager
print(json.dumps({"folds": found, "foreground": labels.foreground_labels, "ignore": labels.ignore_label}, default=int))
"""


def test_nnunet_accepts_the_data_set_and_uses_our_folds(tmp_path):
    programs = programs_of("nnunet")
    write_phantom(tmp_path / "data", patients=4, coarsening=3.0)
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    manifest["cases"][0]["annotates"] = ["lungs", "infection"]
    (tmp_path / "data" / "manifest.json").write_text(json.dumps(manifest))
    run_command("nnunet", tmp_path / "data", "--folds", 2, "--out", tmp_path / "out")
    places = {name: str(tmp_path / "out" / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    environment = {**without_project(programs), **places}
    planning = ["nnUNetv2_plan_and_preprocess", "-d", "500", "-c", "3d_fullres", "--verify_dataset_integrity"]
    planning += ["-np", "1", "-npfp", "1"]
    done = subprocess.run(
        [programs / planning[0], *planning[1:]], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mismatch" not in done.stdout
    assert "Unexpected labels" not in done.stdout
    folder = tmp_path / "out" / "nnUNet_preprocessed" / "Dataset500_data"
    asked = subprocess.run(
        [programs / "python", "-c", ASKS, folder], env=environment, capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stdout + asked.stderr
    told = json.loads(asked.stdout.splitlines()[-1])
    ours = json.loads((tmp_path / "out" / "folds.json").read_text())["folds"]
    assert [held_out for _, held_out in told["folds"]] == [fold["test"] for fold in ours]
    assert (told["foreground"], told["ignore"]) == ([1, 2, 3], 4)
