"""What a bundle would run that is not this project's own: its expressions, classes and files of code, and paths.

A configuration of MONAI's is code: what begins with `$` is evaluated, `_target_` is called, a logging.conf is evaluated
too, and a path may name another configuration. What `make bundle` writes consists of pieces that this project has.
Those alone are known here; what comes between, as numbers and names, is data.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.machinery import all_suffixes
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from pipeline.bundle_files.own_code import (
    FIND_ITSELF,
    NEEDED_IMPORTS,
    ON_PATH,
    OWN_CODE,
    PUBLISHED,
    TRAINED_MEMBERS,
    aliases_as_references,
    module_expression,
)
from pipeline.bundle_files.package import imported, is_own, module_of, relative_imports
from pipeline.core.atomic import read_json
from pipeline.core.configuration import BUNDLES, LOGGING
from pipeline.core.errors import InputError
from pipeline.core.project import ROOT, inner_name

PACKAGE = re.compile(r"\w+_code")
OF_THE_BUNDLE = re.compile(r"\$@bundle_root \+ '/(models/\w+\.pt|configs/\w+\.json)'")
MODULE = re.compile(re.escape(module_expression("P")).replace("P", r"\w+_code\.([\w.]+)"))
CODE_SUFFIXES = (*all_suffixes(), ".pth")
METADATA_FILE = "metadata.json"
TARGET = "_target_"
# Of other keys whose values decide what runs; of the last one, from where
DECIDING = ("_mode_", "_requires_", "_disabled_", "bundle_root")
# Of a plain text that may be a path, which may lead to other configurations
OF_PATHS = re.compile(r"[/\\]|\.(json|ya?ml|pt|ts|py)$")


def foreign_code(bundle: Path) -> Iterator[tuple[str, str]]:
    """Name of a file of a bundle, and what of it this project does not have; nothing where all is known.

    Raises InputError where a configuration cannot be read.
    """
    for file in sorted(path for path in bundle.rglob("*") if path.is_file()):
        name = file.relative_to(bundle)
        in_configs = name.parts[0] == "configs"
        if in_configs and file.suffix == ".json":
            yield from ((name.as_posix(), found) for found in _foreign_in(_content(file), name.name == METADATA_FILE))
        elif file.read_bytes() != LOGGING.read_bytes() if in_configs else _is_foreign_code(file, name):
            yield name.as_posix(), "its content"


def _content(file: Path) -> Any:
    try:
        return read_json(file)
    except (JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"MODEL has {file.name}, which is not readable as JSON ({error}); get it again.") from error


def _is_foreign_code(file: Path, name: Path) -> bool:
    return file.name.endswith(CODE_SUFFIXES) and not _is_own_file(file, name)


def _is_own_file(file: Path, name: Path) -> bool:
    """Whether a file of code is a copy of this project's, as `pipeline.bundle_files.package` writes it."""
    package, *inner = name.parts
    if not PACKAGE.fullmatch(package) or file.suffix != ".py":
        return False
    try:
        text = file.read_text(encoding="utf-8")
        if inner == ["__init__.py"]:
            # Nothing but what it says of itself
            return all(
                isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) for line in ast.parse(text).body
            )
        dotted = ".".join(Path(*inner).with_suffix("").parts).removesuffix(".__init__")
    except (SyntaxError, ValueError):
        return False
    module = module_of(dotted) if inner and is_own(dotted) else None
    return module is not None and module.file == ROOT.joinpath(*inner) and relative_imports(module) == text


def _foreign_in(content: Any, is_metadata: bool) -> Iterator[str]:
    """Pieces of a configuration that are not known."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            # `a::b` and `a#b` are b of a, and signs before them say how it is merged
            name = re.split("::|#", key)[-1].lstrip("+~")
            if (name == TARGET and not _is_known_target(value)) or (name in DECIDING and not _is_known(value)):
                yield f"{key} {value!r}"
            else:
                yield from _foreign_in(value, is_metadata)
    elif isinstance(content, list):
        for part in content:
            yield from _foreign_in(part, is_metadata)
    elif isinstance(content, str) and content.lstrip()[:1] in ("$", "%") and not _is_known(content):
        yield repr(content)
    elif isinstance(content, str) and not is_metadata and OF_PATHS.search(content) and not _is_known(content):
        yield f"the path {content!r}"


def _is_known(value: Any) -> bool:
    if not isinstance(value, str):
        return isinstance(value, bool | int)
    if value in _known() or OF_THE_BUNDLE.fullmatch(value):
        return True
    module = MODULE.fullmatch(value)
    return module is not None and is_own(module[1]) and module_of(module[1]) is not None


def _is_known_target(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    package, _, target = value.partition(".")
    return value in _known_targets() or (
        PACKAGE.fullmatch(package) is not None and is_own(target) and target in _known_targets()
    )


@cache
def _own_configurations() -> list[Any]:
    return [ConfigParser.load_config_file(str(file)) for file in sorted(BUNDLES.rglob("*.yaml"))]


@cache
def _known_targets() -> frozenset[str]:
    return frozenset(inner_name(target) or target for target in _targets(_own_configurations()))


def _targets(content: Any) -> Iterator[str]:
    if isinstance(content, Mapping):
        yield from (value for key, value in content.items() if key.endswith(TARGET))
    if isinstance(content, Mapping | list):
        for part in content.values() if isinstance(content, Mapping) else content:
            yield from _targets(part)


@cache
def _known() -> frozenset[str]:
    """Every text in this project's own configurations, also as `pipeline.bundle_files.own_code` rewrites it."""
    written = (PUBLISHED, FIND_ITSELF, NEEDED_IMPORTS, TRAINED_MEMBERS, f"@{OWN_CODE}::{ON_PATH}")
    texts = {text for content in (*_own_configurations(), *written) for text in _texts(content)}
    aliases = {alias: name for name, alias in map(imported, texts) if is_own(name)}
    expressions = {text for text in texts if text.startswith("$") and not imported(text)[0]}
    rewritten = {aliases_as_references(text, aliases) for text in expressions}
    # A member of an ensemble is trained by the same configuration under another name
    return frozenset(each for text in texts | rewritten for each in (text, text.replace("@network_def", "@member_def")))


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping | list | tuple):
        for part in content.values() if isinstance(content, Mapping) else content:
            yield from _texts(part)
