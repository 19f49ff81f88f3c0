"""Nothing in this project unpickles what is more than tensors and plain values."""

from __future__ import annotations

import ast

import pytest

from pipeline.core.project import ROOT

FILES = sorted(
    file for folder in ("pipeline", "transforms", "evaluation", "benchmarks") for file in (ROOT / folder).rglob("*.py")
)
# torch.load runs no code where it is told to load weights alone
UNSAFE = (
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "yaml.load",
    "yaml.unsafe_load",
    "joblib.load",
    "marshal.loads",
)


def calls(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), [ast.unparse(keyword) for keyword in node.keywords]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_a_file_loads_no_code(file):
    for name, keywords in calls(file):
        assert name not in UNSAFE
        assert "allow_pickle=True" not in keywords
        assert name != "torch.load" or "weights_only=True" in keywords


def test_the_rule_sees_the_files_that_load_weights():
    assert {file.name for file in FILES if any(name == "torch.load" for name, _ in calls(file))} >= {
        "checkpoint.py",
        "pretrained.py",
    }
