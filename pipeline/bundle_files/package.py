"""The code that a configuration uses, as a package of a bundle's own: found by its imports, copied, made relative.

Two bundles in one process that own a package of one name would share the first one's classes, so each has its own.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.core.project import ROOT, inner_name

# Of what is imported as this: the distribution is another one's optional part, which no import names
HIDDEN_IMPORTS = {"torch.utils.tensorboard": "tensorboard"}


@dataclass(frozen=True)
class Module:
    """A source file of this project.

    Args:
        name: dotted, such as `pipeline.losses.focal`; of a package that of its folder. No `pneumobundle` comes first;
            the name of that folder itself is empty.
        file: where it is.
    """

    name: str
    file: Path

    @cached_property
    def text(self) -> str:
        return self.file.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, str(self.file))

    @property
    def package(self) -> list[str]:
        """Parts of the name of the package that its relative imports start from."""
        parts = self.name.split(".") if self.name else []
        return parts if self.file.name == "__init__.py" else parts[:-1]

    def imports(self) -> Iterator[str]:
        """Dotted names of all that it imports, wherever it does, as far as they may be modules."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            if isinstance(node, ast.ImportFrom):
                name = self._absolute(node)
                yield from [name] if name else []
                yield from (f"{name}.{alias.name}".lstrip(".") for alias in node.names)

    def _absolute(self, node: ast.ImportFrom) -> str:
        """What an import is from; in a wheel those of this project are relative already."""
        above = self.package[: len(self.package) - node.level + 1] if node.level else []
        return ".".join([*above, *([node.module] if node.module else [])])

    def data_files(self) -> Iterator[Path]:
        """Files beside it that it reads, written as `Path(__file__).parent / "folder" / "file"`."""
        for node in ast.walk(self.tree):
            file = _beside(node, self.file)
            if file is not None and file.is_file():
                yield file


def _beside(node: ast.AST, file: Path) -> Path | None:
    """The path that an expression such as `Path(__file__).parent / "a"` means; None for any other expression."""
    if ast.unparse(node) == "Path(__file__).parent" if isinstance(node, ast.Attribute) else False:
        return file.parent
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant):
        left = _beside(node.left, file)
        return None if left is None else left / str(node.right.value)
    return None


def is_own(name: str) -> bool:
    return bool(inner_name(name))


def module_of(name: str, root: Path = ROOT) -> Module | None:
    """The module that a dotted name is of, which may end in names within it; None where it is none of this project."""
    parts = inner_name(name).split(".")
    for length in range(len(parts), 0, -1) if is_own(name) else ():
        path = root.joinpath(*parts[:length])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return Module(".".join(parts[:length]), file)
    return None


def closure(names: Iterable[str], root: Path = ROOT) -> list[Module]:
    """The modules of dotted names, all that they import of this project, and the packages that they are in, by name."""
    found: dict[str, Module] = {}
    waiting = list(names)
    while waiting:
        module = module_of(waiting.pop(), root)
        if module is None or module.name in found:
            continue
        found[module.name] = module
        waiting += filter(is_own, module.imports())
        waiting += [module.name.rpartition(".")[0]] if "." in module.name else []
    return [found[name] for name in sorted(found)]


def foreign_imports(modules: Iterable[Module]) -> set[str]:
    """First parts of the names of all that modules import from elsewhere, the standard library excepted."""
    names = {name for module in modules for name in module.imports() if not is_own(name)}
    hidden = {HIDDEN_IMPORTS[name] for name in names & HIDDEN_IMPORTS.keys()}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names | hidden


def write_package(modules: Iterable[Module], folder: Path, description: str) -> None:
    """Write modules and their data files into a folder as one package, in the folders that they are in here."""
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(f'"""{description}"""\n', encoding="utf-8", newline="\n")
    for module in modules:
        target = folder / module.file.relative_to(_root_of(module))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(relative_imports(module), encoding="utf-8", newline="\n")
        for data in module.data_files():
            copy = target.parent / data.relative_to(module.file.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(data.read_bytes())


def _root_of(module: Module) -> Path:
    return module.file.parents[len(module.package)]


def relative_imports(module: Module) -> str:
    """The text of a module whose imports of this project are relative, in the order that isort wants them."""
    lines = module.text.splitlines(keepends=True)
    for node in ast.walk(module.tree):
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        before, after = _rewritten(node, module)
        line = lines[node.lineno - 1]
        lines[node.lineno - 1] = line[: node.col_offset] + line[node.col_offset :].replace(before, after, 1)
    for block in _blocks_of_own_imports(module):
        first, last = block[0].lineno - 1, block[-1].end_lineno or block[-1].lineno
        texts = ["".join(lines[node.lineno - 1 : node.end_lineno]) for node in block]
        lines[first:last] = sorted(texts, key=_isort_key)
    return "".join(lines)


def _rewritten(node: ast.Import | ast.ImportFrom, module: Module) -> tuple[str, str]:
    """How an import begins, and how it has to begin in the package; both alike for what is imported from elsewhere."""
    if isinstance(node, ast.ImportFrom):
        name = node.module or ""
        same = node.level or not is_own(name)
        return f"from {name} ", f"from {name if same else _relative(name, module)} "
    owned = [alias for alias in node.names if is_own(alias.name)]
    if not owned:
        return "", ""
    own = owned[0]
    if len(node.names) > 1 or own.asname is None:
        raise ValueError(f"{module.file}, line {node.lineno}: expected `from a.b import c` or `import a.b as c`")
    package, _, name = own.name.rpartition(".")
    return f"import {own.name} ", f"from {_relative(package, module)} import {name} "


def _relative(name: str, module: Module) -> str:
    """A dotted name as a relative one from within a module."""
    wanted, here = name.split("."), module.package
    common = 0
    while common < min(len(wanted), len(here)) and wanted[common] == here[common]:
        common += 1
    return "." * (len(here) - common + 1) + ".".join(wanted[common:])


def _blocks_of_own_imports(module: Module) -> Iterator[list[ast.ImportFrom]]:
    """Imports of this project at the top of a file that stand line after line."""
    block: list[ast.ImportFrom] = []
    for node in module.tree.body:
        own = isinstance(node, ast.ImportFrom) and not node.level and is_own(node.module or "")
        follows = not block or node.lineno == (block[-1].end_lineno or 0) + 1
        if block and not (own and follows):
            yield block
            block = []
        if own and isinstance(node, ast.ImportFrom):
            block.append(node)
    if block:
        yield block


def _isort_key(line: str) -> tuple[int, str]:
    dots, name = re.match(r"from (\.+)(\S*)", line).groups()  # type: ignore[union-attr]
    return -len(dots), name


def names_in(content: Any) -> Iterator[str]:
    """Dotted names of this project in a configuration: targets of components and imports."""
    if isinstance(content, Mapping):
        target = content.get("_target_")
        if isinstance(target, str) and is_own(target):
            yield target
    if isinstance(content, str):
        yield from (name for name, _ in [imported(content)] if is_own(name))
    if isinstance(content, (Mapping, list)):
        for part in content.values() if isinstance(content, Mapping) else content:
            yield from names_in(part)


def imported(expression: str) -> tuple[str, str]:
    """The dotted name and the alias of an expression `$import a.b as c` of a configuration; empty for any other."""
    match = re.fullmatch(r"\$import ([\w.]+)(?: as (\w+))?", expression.strip())
    if match is None:
        return "", ""
    name, alias = match.groups()
    return name, alias or name
