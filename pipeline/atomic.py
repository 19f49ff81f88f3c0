"""Files that are either whole or not there: write beside the target, then rename."""

from __future__ import annotations

import csv
import json
import math
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


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
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(target: str | Path, content: Any) -> None:
    """Write readable JSON (indent 1, final newline) atomically; NaN is refused, since JSON has none."""
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(source: str | Path) -> Any:
    """The content of a JSON file in UTF-8."""
    return json.loads(Path(source).read_text(encoding="utf-8"))


def write_csv(target: str | Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows of these columns atomically; None and nan become empty cells, numbers keep their digits."""
    with replacing(target) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow({name: "" if _undefined(row.get(name)) else row[name] for name in columns})


def _undefined(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
