"""What a user gives to `make` reaches the program as it is, or is refused before anything runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from ast import literal_eval
from collections.abc import Callable

import pytest
from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser

from pipeline.core.project import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROGRAMS = re.findall(
    r"^([a-z-]+): \$\(READY\).*\n(?:.*\\\n)*?\t@\$\((?:PY\) -m (?!pytest|ruff)|BUNDLE_RUN)", MAKEFILE, re.M
)
ODD = [
    "O'Brien", "a b", "ä", "100%", "%j", "$b", "$(b)", "$$", "$x", "@x", "-x", "[x]", "(x)", "{y}", "a & b; c! | d",
    "`z`", 'q"q"', "b\\s", "end\\", "a,b", "1e3", "*", "~", 'all \' " $b `c` \\ (ä) [x] {y} ; & !',
]  # fmt: skip
# Target, variable, option of its program, and whether that is `monai.bundle`
GIVEN = [
    ("predict", "INPUT", "--input", False),
    ("predict", "OUT", "--output", False),
    ("predict", "MODEL", "--model", False),
    ("check-data", "REPAIR", "--repair", False),
    ("bundle", "RUN", "--run", False),
    ("zoo-pr", "BUNDLE", "--bundle", False),
    ("zoo-pr", "ZOO", "--zoo", False),
    ("cv", "DATA", "--dataset_dir", True),
    ("cv", "OUT", "--output_dir", True),
    ("lopo", "TEST", "--test_dir", True),
    ("semi", "UNLABELED", "--unlabelled_dir", True),
    ("semi", "SUPERVISED", "--supervised_dir", True),
    ("ensemble", "MODEL", "--models", True),
]


Make = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def make(tmp_path) -> Make:
    """Runs `make` with a Python that prints its arguments in place of running anything."""
    python, ready = tmp_path / "venv" / "bin" / "python", tmp_path / "venv" / ".ready"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    python.chmod(0o755)
    ready.touch()

    def run(target: str, environment: dict[str, str] | None = None, **given: str) -> subprocess.CompletedProcess[str]:
        data = {} if "DATA" in {**given, **(environment or {})} else {"DATA": "scans"}
        words = [f"{name}={value}" for name, value in {**data, **given}.items()]
        command = ["make", "-s", "-o", str(ready), target, f"VENV={tmp_path / 'venv'}", *words]
        own = {**os.environ, **(environment or {})}
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=own, check=False)

    return run


def option(done: subprocess.CompletedProcess[str], name: str) -> str:
    """The word that the program got after an option."""
    words = json.loads(done.stdout)
    return str(words[words.index(name) + 1])


def as_monai_reads(word: str) -> object:
    """What `python -m monai.bundle run` takes a word for, by fire and then by its configuration."""
    return ConfigParser({"given": DefaultParseValue(word)}).get_parsed_content("given")


def as_path(value: str) -> str:
    return f"./{value}" if value[0] in "-@%$" else value


@pytest.mark.parametrize(("target", "variable", "name", "monai"), GIVEN)
def test_a_program_gets_exactly_the_path_that_was_given(make, target, variable, name, monai):
    odd = [value for value in ODD if not (target in ("cv", "semi", "ensemble") and "@" in value and variable != "DATA")]
    read = as_monai_reads if monai else str
    got = [read(option(make(target, **{variable: value}), name)) for value in odd]
    assert got == [as_path(value) for value in odd]


def test_data_may_have_a_hash_too(make):
    assert as_monai_reads(option(make("cv", DATA="#1 a#b"), "--dataset_dir")) == "#1 a#b"
    assert option(make("predict", INPUT="#1 a#b"), "--input") == "#1 a#b"


def test_what_the_environment_gives_is_taken_as_it_is(make):
    assert option(make("predict", {"INPUT": "a$b 'c'"}), "--input") == "a$b 'c'"


def test_a_default_of_the_makefile_follows_what_is_given(make):
    assert option(make("predict", NETWORK="lungs>spots"), "--model") == "runs/lungs-spots/cv/fold0"


@pytest.mark.parametrize(("variable", "name"), [("OVERRIDES", "--overrides"), ("MEMBERS", "--members")])
def test_a_dictionary_is_passed_on_as_its_text(make, variable, name):
    text = "{'name': \"O'Brien's $x #1 @y 100%\", 3: '\\\\'}"
    assert as_monai_reads(option(make("lopo", **{variable: text}), name)) == text


@pytest.mark.parametrize("value", [*ODD, "#1 a#b"])
def test_settings_of_a_cluster_are_those_that_were_given(make, value):
    done = make("cv", PARTITION=value, EXTRA=value)
    settings = literal_eval(str(as_monai_reads(option(done, "--cluster"))))
    assert (settings["partition"], settings["extra"]) == (value, value)
    assert literal_eval(option(make("compare", ACCOUNT=value), "--cluster"))["account"] == value


@pytest.mark.parametrize("target", PROGRAMS)
def test_nothing_that_is_given_runs_in_the_shell(make, tmp_path, target):
    evil = f"'; touch {tmp_path}/ran; \" $(touch {tmp_path}/ran) `touch {tmp_path}/ran`"
    names = re.findall(r"[A-Z_]+", " ".join(re.findall(r"^(?:PATHS|TEXTS) :=((?:.*\\\n)*.*)", MAKEFILE, re.M)))
    assert "OUT" in names
    done = make(target, **dict.fromkeys(names, evil))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0] == "-m"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("target", "variable", "value"),
    [
        ("predict", "OUT", "a\nb"),
        ("cv", "OVERRIDES", "{\n}"),
        ("predict", "OUT", "run #2"),
        ("predict", "MODEL", "run #2/cv"),
        ("cv", "OUT", "run #2"),
        ("cv", "OUT", "me@here"),
        ("semi", "SUPERVISED", "run #2"),
    ],
)
def test_what_monai_or_make_cannot_take_is_refused_before_anything_runs(make, target, variable, value):
    done = make(target, **{variable: value})
    assert (done.returncode, done.stdout) == (2, "")
    assert f"*** {variable} " in done.stderr


def test_help_is_printed_with_any_network(make):
    assert "NETWORK=O'B\"$x` " in make("help", NETWORK="O'B\"$x`").stdout
