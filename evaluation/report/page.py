"""One self-contained HTML file from sections; it asks nothing of the network and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
STYLE, SCRIPTS = "report.css", ("sort.js", "viewer.js", "print.js")


class Section(NamedTuple):
    """A part of a page; `anchor` is its address in the page."""

    anchor: str
    title: str
    body: Markup


class KeyNumber(NamedTuple):
    """What is said first: `infection Dice`, `0.480 ± 0.134`, and what it is over."""

    name: str
    value: str
    note: str


@cache
def _environment() -> Environment:
    # Names of cases and folders are others' words: everything but Markup is escaped
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def part(name: str, **values: Any) -> Markup:
    """A piece of a page: the macro of parts.html of that name, called with the values."""
    module = _environment().get_template("parts.html").module
    return Markup(getattr(module, name)(**values))


def paragraph(text: str) -> Markup:
    return Markup("<p>{}</p>").format(text)


def note(text: str) -> Markup:
    """A sentence on how the numbers above came about."""
    return Markup('<p class="note">{}</p>').format(text)


def program() -> str:
    """What wrote a page, with its version where it is installed."""
    try:
        return f"PneumoBundle {version('pneumobundle')}"
    except PackageNotFoundError:
        return "PneumoBundle"


def document(
    title: str,
    subtitle: str,
    sections: Sequence[Section],
    key_numbers: Sequence[KeyNumber] = (),
    remarks: Sequence[str] = (),
    footer: str = "",
) -> str:
    """The whole page as text."""
    scripts = [Markup((TEMPLATES / name).read_text(encoding="utf-8")) for name in SCRIPTS]
    style = Markup((TEMPLATES / STYLE).read_text(encoding="utf-8"))
    values: Mapping[str, Any] = {
        "policy": content_policy(style, scripts),
        "style": style,
        "scripts": scripts,
        "title": title,
        "subtitle": subtitle,
        "sections": sections,
        "key_numbers": key_numbers,
        "remarks": remarks,
        "footer": footer,
    }
    return _environment().get_template("page.html").render(values)


def content_policy(style: str, scripts: Sequence[str]) -> str:
    """A browser that keeps it loads nothing from anywhere and runs these scripts alone, whatever a name contains."""
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return f"default-src 'none'; img-src data:; style-src 'sha256-{_digest(style)}'; script-src {allowed}"


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
