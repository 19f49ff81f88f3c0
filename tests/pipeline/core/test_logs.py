"""What a command's options ask for is what it says, and so do the processes that it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from pipeline.core import logs
from pipeline.core.bundle_process import run_bundle
from pipeline.core.project import ROOT

# Levels of this project, of MONAI and of others, a library's print and a result
SPEAKING = """
import logging
from pipeline.core import logs
logs.set_up({options})
own, monai = logging.getLogger("pipeline.scans.front"), logging.getLogger("monai.bundle.scripts")
own.debug("a detail"), own.info("a step"), own.warning("a doubt")
monai.info("a summary"), monai.warning("a warning"), logging.getLogger("PIL").info("a picture")
print("a print")
logs.result("a table", dice=0.5, path=__import__("pathlib").Path("a"), undefined=float("nan"))
"""
# A trivial bundle, run as cross-validation runs its two
BUNDLE = """
imports:
- $import logging
- $import pneumobundle.pipeline.core.errors as errors
initialize:
- $errors.report_plainly()
run:
- $logging.getLogger('pipeline.child').info('a step of the child')
- $logging.getLogger('pipeline.child').warning('a doubt of the child')
- $print('a print of the child')
"""


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python process of its own, started by no command."""
    kept = {name: value for name, value in os.environ.items() if name != logs.ENVIRONMENT}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True, check=False)


@cache
def said(options: str = "") -> str:
    ended = run(SPEAKING.format(options=options))
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


@pytest.fixture
def child_of(tmp_path, monkeypatch, capfd):
    """What the trivial bundle says in a process that this one starts after a command's options."""

    def started(asked: dict[str, Any] | None) -> str:
        monkeypatch.delenv(logs.ENVIRONMENT, raising=False)
        if asked is not None:
            monkeypatch.setenv(logs.ENVIRONMENT, json.dumps(asked))
        (tmp_path / "bundle.yaml").write_text(BUNDLE)
        run_bundle("a bundle", {"config_file": tmp_path / "bundle.yaml"})
        return capfd.readouterr().out

    return started


def events(text: str) -> list[dict[str, Any]]:
    """Every line of a text, which fails where one is no JSON."""
    return [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]


def without_times(text: str) -> list[str]:
    return [line.partition(" ")[2] if line[:2].isdigit() else line for line in text.splitlines()]


def test_a_command_says_its_own_steps_and_the_warnings_of_others():
    assert without_times(said()) == ["a step", "a doubt", "a warning", "a print", "a table"]


def test_quiet_leaves_warnings_and_results():
    assert without_times(said("quiet=True")) == ["a doubt", "a warning", "a print", "a table"]


def test_verbose_says_details_with_their_modules():
    lines = without_times(said("verbose=True"))
    assert lines[0] == "DEBUG pipeline.scans.front: a detail"
    assert "INFO monai.bundle.scripts: a summary" in lines
    assert not any("a picture" in line for line in lines)


def test_in_json_every_line_is_an_event():
    found = [(each["event"], each.get("message", each.get("text"))) for each in events(said("as_json=True"))]
    assert found == [
        ("log", "a step"),
        ("log", "a doubt"),
        ("log", "a warning"),
        ("printed", "a print"),
        ("result", None),
    ]


def test_a_result_in_json_is_its_facts():
    told = events(said("as_json=True"))[-1]
    assert (told["dice"], told["path"], told["undefined"]) == (0.5, "a", None)


def test_a_log_file_has_all_whatever_the_terminal_shows(tmp_path):
    said(f"quiet=True, log_file={str(tmp_path / 'logs' / 'a.log')!r}")
    lines = (tmp_path / "logs" / "a.log").read_text().splitlines()
    assert [line.split(maxsplit=2)[2] for line in lines] == [
        "INFO pipeline.scans.front: a step",
        "WARNING pipeline.scans.front: a doubt",
        "INFO monai.bundle.scripts: a summary",
        "WARNING monai.bundle.scripts: a warning",
    ]


def test_a_log_file_is_appended_to(tmp_path):
    (tmp_path / "a.log").write_text("before\n")
    said(f"log_file={str(tmp_path / 'a.log')!r}")
    assert (tmp_path / "a.log").read_text().startswith("before\n2")


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08 packed", b"n+1\0 voxels"])
def test_a_log_is_not_appended_to_what_is_no_text(tmp_path, content):
    (tmp_path / "scan").write_bytes(content)
    with pytest.raises(OSError, match="no text file"):
        logs.set_up(log_file=tmp_path / "scan")
    assert (tmp_path / "scan").read_bytes() == content


def test_monai_gives_none_of_its_loggers_a_handler_of_its_own():
    imports = "monai.bundle, monai.handlers, monai.inferers, monai.networks.utils, monai.data, monai.transforms"
    script = (
        f"import logging\nfrom pipeline.core import logs\nlogs.set_up()\nimport {imports}\n"
        "every = {name: logging.getLogger(name) for name in logging.root.manager.loggerDict}\n"
        "print({n for n, l in every.items() if n.startswith('monai') for h in l.handlers if h.name != logs.CONSOLE})"
    )
    assert run(script).stdout == "set()\n"


def test_imported_as_a_library_nothing_is_printed_and_no_handler_is_set():
    ended = run(
        "import logging, pipeline.core.errors, transforms, evaluation, pneumobundle\n"
        "[logging.getLogger(name + '.x').warning('a doubt') for name in ('pipeline', 'transforms', 'evaluation')]\n"
        "assert not logging.root.handlers and logging.root.level == logging.WARNING"
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_result_of_a_library_is_printed():
    assert run("from pipeline.core import logs\nlogs.result('a table', dice=0.5)").stdout == "a table\n"


def test_a_child_of_a_quiet_command_is_quiet_and_its_lines_are_in_the_log_file(child_of, tmp_path):
    said_by_it = child_of({"quiet": True, "log_file": str(tmp_path / "a.log")})
    assert without_times(said_by_it) == ["a doubt of the child", "a print of the child"]
    assert "INFO pipeline.child: a step of the child\n" in (tmp_path / "a.log").read_text()


def test_every_line_of_a_child_is_an_event_too(child_of):
    found = events(child_of({"as_json": True}))
    assert [(each["event"], each.get("logger")) for each in found] == [
        ("log", "pipeline.child"),
        ("log", "pipeline.child"),
        ("printed", None),
    ]


def test_without_a_command_a_child_logs_as_its_configuration_says(child_of):
    lines = without_times(child_of(None))
    assert lines[-3:] == ["a step of the child", "a doubt of the child", "a print of the child"]


def test_a_mistake_in_json_is_an_event_and_status_2(tmp_path):
    script = (
        "from pipeline.core import logs\nfrom pipeline.core.errors import InputError, report_plainly\n"
        f"report_plainly()\nlogs.set_up(as_json=True, log_file={str(tmp_path / 'a.log')!r})\n"
        "raise InputError('case a: is damaged; copy it again.')"
    )
    ended = run(script)
    assert (ended.returncode, ended.stderr) == (2, "")
    assert [(each["event"], each["message"]) for each in events(ended.stdout)] == [
        ("error", "case a: is damaged; copy it again.")
    ]
    assert (tmp_path / "a.log").read_text().endswith("ERROR pipeline.core.logs: case a: is damaged; copy it again.\n")


def test_the_log_file_has_the_traceback_of_a_defect(tmp_path):
    script = (
        "from pipeline.core import logs\nfrom pipeline.core.errors import report_plainly\nreport_plainly()\n"
        f"logs.set_up(log_file={str(tmp_path / 'a.log')!r})\nraise ValueError('a bug')"
    )
    assert run(script).returncode == 1
    text = (tmp_path / "a.log").read_text()
    assert "Traceback (most recent call last)" in text
    assert text.endswith("ValueError: a bug\n")


def test_a_process_that_was_not_forked_says_what_its_parent_was_asked_for():
    script = (
        "import multiprocessing, logging\nfrom pipeline.core import logs\n"
        "if __name__ == '__main__':\n    logs.set_up(as_json=True)\n"
        "    one = multiprocessing.get_context('spawn').Process(target=logs.result, args=('a table',))\n"
        "    one.start(), one.join()"
    )
    assert [each["text"] for each in events(run(script).stdout)] == ["a table"]


def test_set_up_without_options_obeys_the_environment():
    asked = json.dumps({"quiet": True})
    assert without_times(run(SPEAKING.format(options=""), **{logs.ENVIRONMENT: asked}).stdout)[0] == "a doubt"


def test_without_bars_the_settings_are_otherwise_as_before(monkeypatch):
    monkeypatch.setenv(logs.ENVIRONMENT, json.dumps({"verbose": True}))
    with logs.without_bars():
        assert logs.settings() == logs.Settings(verbose=True, bars=False)
    assert logs.settings() == logs.Settings(verbose=True)


def test_without_bars_leaves_no_settings_where_there_were_none(monkeypatch):
    monkeypatch.delenv(logs.ENVIRONMENT, raising=False)
    with logs.without_bars():
        assert not logs.settings().bars
    assert logs.ENVIRONMENT not in os.environ
