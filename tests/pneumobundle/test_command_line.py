"""The command: what it tells of itself, what it refuses, and how it ends."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from commands import run_command

from pipeline.core.configuration import cascades, networks, optional_networks, presets
from pipeline.core.errors import InputError
from pipeline.core.project import program
from pneumobundle import options
from pneumobundle.command_line import command_group, main
from pneumobundle.commands import COMMANDS, GROUPS, OTHER_NAMES
from pneumobundle.make_help import one, variables
from pneumobundle.run.defaults import folder_for_training, folders, preset_of, side_by_side

SHOWN = [command for command in COMMANDS if command.runs and not command.hidden]


def told(*words: str) -> str:
    """What is printed, its line breaks left out."""
    done = CliRunner().invoke(command_group(), words, prog_name="pneumobundle", standalone_mode=False)
    return " ".join(done.output.split())


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    return " ".join(capsys.readouterr().err.split())


def test_the_table_is_of_one_piece():
    named = {word.partition("=")[0] for command in COMMANDS for word in command.options.split()}
    assert named - options.OPTIONS.keys() == set()
    assert len({command.name for command in COMMANDS}) == len(COMMANDS)
    assert {command.group for command in COMMANDS} == {*GROUPS}


def test_the_help_names_every_command_and_what_it_does():
    text = told("--help")
    assert all(f"{command.name} " in text and command.what in text for command in SHOWN)


@pytest.mark.parametrize("command", SHOWN, ids=lambda command: command.name)
def test_the_help_of_a_command_has_its_options_and_two_examples(command):
    text = told(command.name, "--help")
    assert all(
        f"--{option.name}" in text or f"--no-{option.name}" in text
        for option in command.every_option
        if not option.hidden
    )
    assert len(command.examples) == 2
    assert all(f"pneumobundle {words}" in text and what in text for words, what in command.examples)


@pytest.mark.parametrize("command", SHOWN, ids=lambda command: command.name)
def test_the_examples_of_a_command_can_be_given(command):
    for words, _ in command.examples:
        name, *rest = shlex.split(words)
        chosen = command_group().main([name, *rest], prog_name="pneumobundle", standalone_mode=False)
        assert callable(chosen)


def test_a_name_of_a_make_target_is_a_command_too():
    assert OTHER_NAMES["check-data"] == "check"
    assert told("check-data", "--help").partition("What:")[2] == told("check", "--help").partition("What:")[2] != ""


def test_neither_help_nor_a_refusal_loads_torch():
    code = "import sys; from pneumobundle.command_line import main\ntry: main({words})\nexcept SystemExit: pass\n"
    code += "print([name for name in ('torch', 'monai', 'numpy', 'SimpleITK') if name in sys.modules], file=sys.stderr)"
    for words in (["cv", "--help"], ["--version"], ["cv", "--network", "anamnet"]):
        done = subprocess.run(
            [sys.executable, "-c", code.format(words=words)], capture_output=True, text=True, check=True
        )
        assert done.stderr.splitlines()[-1] == "[]"


def test_the_version_names_what_it_stands_on():
    text = told("--version")
    assert all(name in text for name in ("pneumobundle 0.", "torch 2", "monai 1", "Python 3"))


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("predcit",), "predict"),
        (("cv", "--netwrok", "unet_3d"), "--network"),
        (("cv", "--network", "anamnet"), "did you mean anam_net"),
        (("cv", "--network", "unet_3d>anamnet"), "did you mean anam_net"),
        (("cv", "--preset", "quik"), "did you mean quick"),
        (("compare", "unet_3d", "anamnet"), "did you mean anam_net"),
        (("predict", "--mode", "hole"), "did you mean whole"),
        (("cv", "--launch", "slrum"), "did you mean slurm"),
        (("cv", "--folds", "five"), "'five' is not a valid integer"),
        (("verify",), "BUNDLE is needed: folder of an exported bundle"),
        (("predict", "a.nii.gz", "--input", "b.nii.gz"), "INPUT is given twice"),
        (("predict", "--out", "a\nb"), "OUT has a line break"),
    ],
)
def test_what_is_misspelt_or_missing_is_told_with_the_nearest_name(capsys, words, meant):
    assert meant in refused(capsys, *words)


@pytest.mark.parametrize("folder", ["run #2", "me@here"])
def test_a_folder_with_a_sign_of_monai_is_refused_before_anything_runs(folder):
    with pytest.raises(InputError, match="choose a folder without"):
        folder_for_training("OUT", folder)


def test_the_names_that_are_known_without_torch_are_those_of_the_configuration():
    assert options.networks() == sorted([*networks(), *optional_networks(), *cascades()])
    assert options.OPTIONS["preset"].known() == presets()


@pytest.mark.parametrize(
    ("data", "preset", "jobs", "expected"),
    [
        (None, None, None, ("demo", 0)),
        ("scans", None, None, ("paper", 1)),
        ("scans", "quick", None, ("quick", 1)),
        (None, None, 3, ("demo", 3)),
    ],
)
def test_the_demo_is_of_the_synthetic_chests_and_runs_side_by_side(data, preset, jobs, expected):
    given = SimpleNamespace(data=data, preset=preset, jobs=jobs)
    assert (preset_of(given), side_by_side(given)) == expected


def test_make_help_shows_the_examples_as_make_takes_them():
    cv, predict = (next(each for each in COMMANDS if each.name == name) for name in ("cv", "predict"))
    assert variables(cv.examples[0][0], cv) == " FOLDS=5"
    assert " PAGES=0 LAUNCH=slurm SHARDS=8" in variables(predict.examples[1][0], predict)
    assert "  make cv FOLDS=5" in list(one("cv", cv))


def test_the_help_of_predict_says_what_segments_where_no_model_is_given():
    (predict,) = [each for each in COMMANDS if each.name == "predict"]
    in_make = " ".join(" ".join(one("predict", predict)).split())
    for text in (told("predict", "--help"), in_make):
        assert "the starter model that comes with the program where none is: research only" in text


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_is_told_how_to_complete(shell, capsys):
    main(["completion", shell])
    assert "_PNEUMOBUNDLE_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("cv --net", "--network"),
        ("cv --network ana", "anam_net"),
        ("predict --mode wh", "whole"),
        ("cv --preset q", "quick"),
        ("sta", "status"),
    ],
)
def test_names_and_values_are_completed(words, completed):
    last = len(words.split())
    own = {
        **os.environ,
        "_PNEUMOBUNDLE_COMPLETE": "bash_complete",
        "COMP_WORDS": f"pneumobundle {words}",
        "COMP_CWORD": str(last),
    }
    done = subprocess.run(program(), env=own, capture_output=True, text=True, check=False)
    assert completed in [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_a_mistake_of_a_command_is_one_line_and_status_2(tmp_path):
    done = subprocess.run(program("status", str(tmp_path)), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"error: RUN is {tmp_path}")


def test_words_without_a_name_are_the_option_that_they_are_for(tmp_path: Path, capsys):
    (tmp_path / "a.nii.gz").write_bytes(b"no scan")
    run_command("scans", tmp_path / "a.nii.gz")
    by_word = capsys.readouterr().out
    run_command("scans", "--input", tmp_path / "a.nii.gz")
    assert by_word == capsys.readouterr().out != ""


@pytest.mark.parametrize(
    ("words", "data"),
    [
        (["check", "a", "my scans"], "a 'my scans'"),
        (["check", "--data", "a", "my scans"], "a 'my scans'"),
        (["check", "a b"], "a b"),
        (["cv", "--folds", "2", "--data", "a", "b", "--seed", "1"], "a b"),
        (["cv", "--data", "a b"], "a b"),
        (["cv", "--data=a"], "a"),
        (["compare", "--data", "a", "enet", "unet_3d"], "a"),
    ],
)
def test_several_folders_are_one_text(words, data, monkeypatch):
    asked = []
    monkeypatch.setattr("pneumobundle.command_line.work", lambda _, given: asked.append(given.data))
    main(words)
    assert asked == [data]


def test_several_folders_are_each_a_path_that_no_program_takes_for_an_option():
    assert folders("b -x") == ["./-x", "b"]


def test_several_folders_are_refused_where_one_is_meant():
    with pytest.raises(InputError, match="DATA names 2 folders, a and b; expected one; give the folder that is meant"):
        run_command("experiment", "--data", "b", "a")


def test_an_export_tells_what_it_found(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr("pneumobundle.run.sharing.export_model", lambda *given: asked.append(given) or "the table")
    run_command("export", "--network", "anam_net", "--data", "scans", "--format", "onnx")
    assert capsys.readouterr().out == "the table\n"
    assert asked == [("anam_net", None, "demo", None, Path("scans"), ["onnx"], None)]
