"""A workflow run as a process of ours: what MONAI warns of though it is meant so is not told."""

from __future__ import annotations

import json
import subprocess
import sys

from pipeline.core.project import ROOT


def test_configurations_of_two_folders_without_settings_for_logs_are_run_without_a_warning(tmp_path):
    contents = {"workflow": {"run": ["$print('ran', @number)"], "number": 1}, "overlay": {"number": 2}}
    files = []
    for name, content in contents.items():
        files.append(tmp_path / name / "settings.json")
        files[-1].parent.mkdir()
        files[-1].write_text(json.dumps(content))
    words = ["--config_file", str([*map(str, files)]), "--logging_file", "False"]
    ran = subprocess.run(
        [sys.executable, "-m", "pipeline.core.monai_command", "run", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "ran 2" in ran.stdout
    assert "onfig files" not in ran.stdout + ran.stderr
    assert "Logging file" not in ran.stdout + ran.stderr
