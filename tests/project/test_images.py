"""Dockerfile, apptainer.def and CITATION.cff say what the project says; building is for tools/try_image_steps.sh."""

from __future__ import annotations

import configparser
import os
import re
import subprocess

import yaml

from pipeline.core.project import ROOT

DOCKERFILE, DEFINITION = ((ROOT / name).read_text(encoding="utf-8") for name in ("Dockerfile", "apptainer.def"))


def found(pattern: str, text: str) -> str:
    return re.findall(pattern, text, flags=re.MULTILINE)[0]


def test_both_images_have_one_base_of_a_full_version():
    base = found(r"^ARG BASE=(.*)$", DOCKERFILE)
    assert found(r"^From: (.*)$", DEFINITION) == base
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base)


def test_both_images_are_made_of_the_same_files():
    copied = found(r"^COPY (tools/.*) /build/$", DOCKERFILE).split()
    section = found(r"^%files\n((?: +.*\n)+)", DEFINITION)
    assert sorted(copied) == sorted(re.findall(r"^ +(\S+) /build/$", section, flags=re.MULTILINE))
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[1] == "*"
    assert sorted(line[1:] for line in ignored[2:]) == sorted(copied)


def test_both_wait_for_threads_as_the_program_does():
    for name in ("GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        value = found(rf"^ *{name}=(\d+)", DOCKERFILE)
        assert f'{name}="${{{name}:-{value}}}"' in DEFINITION


def test_where_nothing_builds_images_three_that_do_are_named(tmp_path):
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    command, environment = ["/bin/bash", "tools/image.sh"], {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: neither docker (with its daemon running), podman nor apptainer works here")


def test_the_citation_names_this_version_and_licence():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == settings["metadata"]["version"]
    licences = settings["metadata"]["license"]
    # What is cited is the code; wheel and images hold the starter model's weights too
    assert citation["license"] == licences.partition(" AND ")[0]
    assert found(r'licenses="(.*)"', DOCKERFILE) == licences
