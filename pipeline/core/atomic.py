"""Files that are either whole or not there: write beside the target, then rename."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.core.shared_files import moved

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.(.+)")


@contextmanager
def replacing(target: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder, renamed onto the target when the block ends without an error.

    The temporary name keeps the target's suffixes, because SimpleITK chooses the format from them.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{uuid.uuid4().hex}.{target.name}")
    try:
        yield temporary
        moved(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: str | Path, beginning: str = "") -> None:
    """Remove what `replacing` left in a folder when its process was killed; nobody else may be writing there.

    Of targets whose names begin with `beginning` alone.
    """
    for file in Path(folder).glob(".*"):
        found = _TEMPORARY.fullmatch(file.name)
        if found and found[1].startswith(beginning):
            file.unlink(missing_ok=True)


def write_json(target: str | Path, content: Any) -> None:
    """Write readable JSON (indent 1, final newline) atomically; NaN is refused, since JSON has none."""
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    with replacing(target) as temporary:
        # The same bytes on every system
        temporary.write_text(text, encoding="utf-8", newline="\n")


def keep_json(target: str | Path, content: Any) -> Any:
    """Write JSON as `write_json` does unless the file is there; what is in the file then.

    Of several processes that come at once one writes, and all of them get what that one wrote.
    """
    target = Path(target)
    if not target.exists():
        mine = target.with_name(f".{uuid.uuid4().hex}.{target.name}")
        write_json(mine, content)
        try:
            # Unlike renaming, linking refuses a name that is taken
            os.link(mine, target)
        except OSError:
            # Where a file system has no links, two that come at once with different content are not told apart
            if not target.exists():
                moved(mine, target)
        finally:
            mine.unlink(missing_ok=True)
    return read_json(target)


def read_json(source: str | Path) -> Any:
    """The content of a JSON file in UTF-8, or in what editors of Windows write: with a byte-order mark, or UTF-16."""
    return json.loads(Path(source).read_bytes())


def write_csv(target: str | Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows of these columns atomically; None and nan become empty cells, numbers keep their digits."""
    with replacing(target) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow({name: "" if _undefined(row.get(name)) else row[name] for name in columns})


def _undefined(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
