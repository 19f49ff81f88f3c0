"""How a bundle's configuration finds its own code and weights, wherever it is.

MONAI puts a bundle's folder on Python's path only after `initialize`, and `load`, `ckpt_export` and `verify_net_in_out`
never do. Here every component of the bundle's own requires `own_code::on_path`, which does so, and `bundle_root` is
where the configuration was read from unless it is given.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from pipeline.bundle_files.package import imported, is_own
from pipeline.core.project import inner_name

OWN_CODE, ON_PATH = "own_code", "on_path"
NEEDED_IMPORTS = [f"$import {name}" for name in ("inspect", "os", "pathlib", "pkgutil", "sys")]
# MONAI tells a configuration nowhere which file it is from: the callers know, its workflow or its command, or the
# operator of MONAI Deploy, which has the bundle's folder or a file of its folder `models`.
FIND_ITSELF = {
    "workflow": "$next((call.frame.f_locals['self'].config_root_path for call in inspect.stack(0) "
    "if 'config_root_path' in getattr(call.frame.f_locals.get('self'), '__dict__', ())), None)",
    "command": "$next((os.path.dirname(monai.utils.ensure_tuple(call.frame.f_locals['config_file_'])[0]) "
    "for call in inspect.stack(0) if 'config_file_' in call.frame.f_locals), None)",
    "operator": "$next((os.path.dirname(path) if os.path.isfile(path) else os.path.join(path, 'configs') for path in "
    "[getattr(call.frame.f_locals.get('self'), '__dict__', {}).get('_bundle_path') for call in inspect.stack(0)] "
    "if path), None)",
    ON_PATH: "$@bundle_root in sys.path or sys.path.append(@bundle_root) is None",
}
CALLERS = " or ".join(f"@{OWN_CODE}::{caller}" for caller in ("workflow", "command", "operator"))
BUNDLE_ROOT = f"$str(pathlib.Path({CALLERS} or 'configs').resolve().parent)"
# What a bundle has instead of the values of a machine or a cross-validation
PUBLISHED = {
    "bundle_root": BUNDLE_ROOT,
    "dataset_dir": "data",
    "output_dir": "$@bundle_root + '/eval'",
    "cache_dir": "$@output_dir + '/cache'",
    "model_file": "$@bundle_root + '/models/model.pt'",
    "when_finished": "again",
    "found_dir": None,
    "probability_dir": None,
    "weights_path": None,
    "quicker": "",
}
# Members that a bundle's train.json made, in place of its own
TRAINED_MEMBERS = {
    "+imports": ["$import pneumobundle.pipeline.inference.ensemble as ensemble"],
    "member_files": None,
    "+initialize": ["$@member_files and ensemble.load_members(@network_def, @member_files)"],
}


def union(first: list[str], second: list[str]) -> list[str]:
    return list(dict.fromkeys([*first, *second]))


def standalone(content: Mapping[str, Any], package: str) -> dict[str, Any]:
    """A configuration whose own components are those of a package in its bundle, which it puts on the path itself."""
    pairs = [(imported(line), line) for line in content["imports"]]
    aliases = {alias: name for (name, alias), _ in pairs if is_own(name)}
    foreign = [line for (name, _), line in pairs if not is_own(name)]
    body = {name: _rewritten(value, package, aliases) for name, value in content.items() if name != "imports"}
    modules = {alias: module_expression(f"{package}.{inner_name(name)}") for alias, name in sorted(aliases.items())}
    return {"imports": union(NEEDED_IMPORTS, foreign), OWN_CODE: {**FIND_ITSELF, **modules}, **body}


def module_expression(name: str) -> str:
    """What stands for a module of a bundle's package in its expressions."""
    # MONAI takes any expression with the word import in it for a statement, and fails on its references
    return f"$@{OWN_CODE}::{ON_PATH} and pkgutil.resolve_name('{name}')"


def _rewritten(value: Any, package: str, aliases: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        parts = {name: _rewritten(part, package, aliases) for name, part in value.items()}
        target = parts.get("_target_")
        if isinstance(target, str) and is_own(target):
            if "_requires_" in parts:
                raise ValueError(f"{target} requires {parts['_requires_']} already; expected nothing")
            return {**parts, "_target_": f"{package}.{inner_name(target)}", "_requires_": f"@{OWN_CODE}::{ON_PATH}"}
        return parts
    if isinstance(value, list):
        return [_rewritten(part, package, aliases) for part in value]
    return aliases_as_references(value, aliases) if isinstance(value, str) and value.startswith("$") else value


def aliases_as_references(expression: str, aliases: Mapping[str, str]) -> str:
    """`$labels.f(@x)` as `$@own_code::labels.f(@x)` for those names that are aliases of modules."""
    # References are no Python: names of the same length stand in for them
    python = re.sub(r"@[\w:]*\w", lambda match: "_" * len(match.group()), expression[1:])
    # Offsets of ast count bytes
    written = expression[1:].encode()
    names = [node for node in ast.walk(ast.parse(python, mode="eval")) if isinstance(node, ast.Name)]
    for node in sorted(names, key=lambda node: -node.col_offset):
        if node.id in aliases:
            written = written[: node.col_offset] + f"@{OWN_CODE}::".encode() + written[node.col_offset :]
    return f"${written.decode()}"
