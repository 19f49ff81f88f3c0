"""A hook of mkdocs: pages of the site that lie outside `docs/`, and links that are right on GitHub and in the site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

OUTSIDE = ("CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md", "models/chest_ct_starter/README.md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside, under the paths that they have in the project."""
    from mkdocs.structure.files import File

    for name in OUTSIDE:
        files.append(File.generated(config, name, abs_src_path=str(Path(config.config_file_path).parent / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The site has the pages of `docs/` at its top: links between them and the others are one folder shorter."""
    if page.file.src_uri in OUTSIDE:
        return markdown.replace("](docs/", "](").replace("](../docs/", "](../")
    return markdown.replace("](../", "](")
