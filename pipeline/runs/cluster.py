"""What LAUNCH=slurm asks a cluster for."""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from pipeline.core.configuration import COMMON, load
from pipeline.core.errors import InputError, breaks_lines
from pipeline.core.project import PROJECT, program
from pipeline.runs.preflight import built_for_gpus

DEFAULTS, SITE = COMMON / "cluster.yaml", Path("cluster.yaml")
# How much earlier than it was asked to SLURM may warn
EARLY_S = 60
# Each of one line, or it would end the one that it stands in
LINES = (
    "partition",
    "account",
    "gres",
    "time",
    "mem",
    "extra",
    "container",
    "container_run",
    "finish_time",
    "finish_mem",
)


@dataclass(frozen=True)
class Cluster:
    """What to ask a cluster for; `bundles/common/cluster.yaml` says what each is, and has the defaults."""

    partition: str | None
    account: str | None
    gres: str | None
    time: str
    cpus: int
    mem: str
    at_once: int
    warn_s: int
    extra: str
    setup: str
    container: str | None
    container_run: str
    finish_time: str
    finish_cpus: int
    finish_mem: str
    report_anyway: bool

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Cluster:
        """The defaults, the site's file, then what is given and not empty; InputError for keys and values unknown.

        `file` among the given ones names the site's file.
        """
        chosen = {key: value for key, value in given.items() if value not in ("", None)}
        site = Path(chosen.pop("file", SITE))
        if not site.is_file() and site != SITE:
            raise InputError(f"CLUSTER is {site}: there is no such file.")
        known = [field.name for field in fields(cls)]
        settings: dict[str, Any] = load([DEFAULTS])
        for source, more in ((str(site), load([site]) if site.is_file() else {}), ("command line", chosen)):
            if unknown := sorted(more.keys() - known):
                raise InputError(f"{source}: {unknown[0]!r} is no setting of a cluster; known: {', '.join(known)}.")
            settings |= more
        for name in ("time", "finish_time"):
            if not isinstance(settings[name], str):
                raise InputError(f"{site}: {name} is {settings[name]!r}, expected text: put it in quotes, '24:00:00'.")
        for name in LINES:
            if breaks_lines(str(settings[name])):
                raise InputError(f"{name.upper()} is {settings[name]}, expected text of one line.")
        for name in ("extra", "container_run"):
            try:
                shlex.split(settings[name])
            except ValueError as error:
                raise InputError(
                    f"{name.upper()} is {settings[name]}, in which a quote has no end; close it."
                ) from error
        if settings["container"]:
            settings["container"] = image_at(settings["container"])
        for name in ("cpus", "mem"):
            if settings[f"finish_{name}"] is None:
                settings[f"finish_{name}"] = settings[name]
        for name in ("cpus", "finish_cpus", "at_once", "warn_s"):
            if not str(settings[name]).isdigit() or int(settings[name]) < 1:
                raise InputError(f"{name.upper()} is {settings[name]!r}, expected a whole number from 1 on.")
            settings[name] = int(settings[name])
        limit_s = seconds_of(settings["time"])
        if limit_s is not None and limit_s <= settings["warn_s"] + EARLY_S:
            raise InputError(
                f"TIME is {settings['time']}, but a training saves and stops {settings['warn_s']} s before its end "
                f"(warn_s of cluster.yaml), or {EARLY_S} s earlier still, as SLURM may be; give more."
            )
        settings["report_anyway"] = settings["report_anyway"] not in (False, "0")
        return cls(**settings)

    def with_gpus(self, gpus: int) -> Cluster:
        """The same, asking for as many GPUs as train a fold together; InputError where fewer were asked for.

        Where GRES says nothing and this torch could not use any, they are processes on the job's cores. The torch of a
        container is not known here: there GPUS are GPUs.
        """
        if gpus == 1:
            return self
        if self.gres is None:
            return replace(self, gres=f"gpu:{gpus}") if self.container or built_for_gpus() else self
        found = re.search(r"gpu(?::[A-Za-z]\w*)?(?::(\d+))?", self.gres)
        if found and int(found[1] or 1) < gpus:
            raise InputError(f"GPUS is {gpus}, but GRES asks for {self.gres}; leave it out, or ask for gpu:{gpus}.")
        return self

    def with_folders(self, folders: Iterable[str | Path]) -> Cluster:
        """The same, whose container sees the current folder and these, by their names and where links lead to.

        InputError for a name that a container cannot be told.
        """
        if not self.container:
            return self
        seen = {Path(find(folder)) for folder in (Path.cwd(), *folders) for find in (os.path.abspath, os.path.realpath)}
        outermost = sorted(path for path in seen if not seen.intersection(path.parents))
        for path in outermost:
            if re.search("[:,]", str(path)):
                raise InputError(f"CONTAINER cannot be shown {path}: a name with : or , is none of --bind; rename it.")
        binds = [f"--bind={path}" for path in outermost]
        return replace(self, container_run=f"{self.container_run} {shlex.join(binds)}")

    def task(self, *words: str) -> list[str]:
        """What a task runs for a command of this program: this Python, or the image's."""
        # NVIDIA's, unless the site has said that they are AMD's
        gpus = ["--nv"] if self.gres and "gpu" in self.gres and "--rocm" not in self.container_run else []
        return self._in_container(gpus, words) if self.container else program(*words)

    def report(self, *words: str) -> list[str]:
        """The same, of the job that reports, which has no GPU."""
        return self._in_container([], words) if self.container else program(*words)

    def _in_container(self, options: Iterable[str], words: Iterable[str]) -> list[str]:
        return [*shlex.split(self.container_run), *options, str(self.container), PROJECT, *words]


def image_at(container: str) -> str:
    """An image's absolute path, or its address; InputError where there is none."""
    if "://" in container:
        return container
    if not Path(container).exists():
        raise InputError(f"CONTAINER is {container}: there is no such image; docs/containers.md says how to make one.")
    return os.path.abspath(container)


def bytes_of(size: str) -> float:
    """Of a size as SLURM reads it, `16G`, `1200M`, or MiB where no unit is given; no limit for any other, such as 0."""
    found = re.fullmatch(r"(\d+)([KMGT]?)B?", str(size), flags=re.IGNORECASE)
    if found is None or int(found[1]) == 0:
        return math.inf
    return int(found[1]) * 1024 ** ("KMGT".index(found[2].upper() or "M") + 1)


def seconds_of(limit: str) -> int | None:
    """Seconds of a time limit as SLURM reads them: `30` minutes, `1:30` of these, `1:00:00`, `2-12` days and hours.

    None for any other text, which SLURM may know.
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", limit)
    if found is None:
        return None
    days, *parts = (None if part is None else int(part) for part in found.groups())
    given = [part for part in parts if part is not None]
    # With days the first of the others is hours; without, it depends on how many there are
    units = (3600, 60, 1) if days is not None or len(given) == 3 else (60, 1)
    return (days or 0) * 86400 + sum(part * unit for part, unit in zip(given, units, strict=False))
