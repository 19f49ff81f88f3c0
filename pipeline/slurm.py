"""A run's units as jobs of a SLURM cluster: readable sbatch files in <run>/slurm, an array, and a job that reports.

A task of the array is a unit of `pipeline.units`, or a shard of `pipeline.shards`. It is warned before its time limit,
saves, puts itself back into the queue and goes on later as if nothing had happened. The report's job begins when all
tasks have ended well, and is removed by SLURM when one has failed.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from pipeline.atomic import read_json, replacing, write_json
from pipeline.configuration import COMMON, load
from pipeline.errors import InputError
from pipeline.preflight import NEEDS_CUDA, built_for_gpus
from pipeline.stop_signal import STOP_WITHIN, STOPPED_STATUS
from pipeline.units import Unit

logger = logging.getLogger(__name__)
FOLDER, FINISH, JOBS = "slurm", "finish", "jobs.json"
WORK = Path(FOLDER, "work.json")
DEFAULTS, SITE = COMMON / "cluster.yaml", Path("cluster.yaml")
# How much earlier than it was asked to SLURM may warn
EARLY_S = 60
# Of the seconds that SLURM warns before the end, what is left for ending
ENDING_S = 30
# SLURM's own default, where it does not tell
MAX_ARRAY_SIZE = 1001
# States from which no job comes back
OVER = (
    "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL", "DEADLINE", "PREEMPTED",
)  # fmt: skip


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

        Where GRES says nothing and this torch could not use any, they are processes on the job's cores.
        """
        if gpus == 1:
            return self
        if self.gres is None:
            return replace(self, gres=f"gpu:{gpus}") if built_for_gpus() else self
        found = re.search(r"gpu(?::[A-Za-z]\w*)?(?::(\d+))?", self.gres)
        if found and int(found[1] or 1) < gpus:
            raise InputError(f"GPUS is {gpus}, but GRES asks for {self.gres}; leave it out, or ask for gpu:{gpus}.")
        return self


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


def submit(folder: Path, units: Sequence[Unit], of: int, cluster: Cluster, dry: bool = False) -> str:
    """Write the sbatch files of units and of the job that reports, and hand them to SLURM unless `dry`.

    `of` is how many units there are with those that are done. Gives what to tell the user. Raises InputError where
    there is no SLURM, it refuses, or jobs of the same run are in its queue.
    """
    check_queue(folder, dry)
    arrays = write_files(folder, units, cluster)
    counted = f"{len(units)} of {of} units are left to run"
    return hand_over(folder, counted, arrays, cluster, dry)


def check_queue(folder: Path, dry: bool) -> None:
    """Raise InputError where there is no SLURM, unless `dry`, and where jobs of the same run are in its queue."""
    if not dry and shutil.which("sbatch") is None:
        raise InputError("LAUNCH=slurm: there is no sbatch here; call it on a cluster's login node, or with DRY=1.")
    if active := active_jobs(folder):
        raise InputError(f"{folder}: jobs {', '.join(active)} of this run are in the queue; `make cancel` them first.")


def hand_over(folder: Path, counted: str, arrays: Mapping[Path, Sequence[Unit]], cluster: Cluster, dry: bool) -> str:
    """Submit a run's files unless `dry`, and say so; `counted` is what is to be done."""
    counted = f"{counted}; {folder / FOLDER} has the sbatch files."
    if dry:
        commands = [*map(_command, arrays), _command(folder / FOLDER / f"{FINISH}.sbatch", _after(["IDS"], cluster))]
        return "\n".join([counted, "Nothing was submitted (DRY=1). By hand:", *map(shlex.join, commands)])
    ids = submit_files(folder, arrays, cluster)
    run, logs = shlex.quote(str(folder)), shlex.quote(str(folder / FOLDER))
    return "\n".join(
        [
            counted,
            f"Submitted: {', '.join([*(f'array {job}' for job in ids[:-1]), f'report {ids[-1]}'])}.",
            f"  make status RUN={run}    what is queued, running, done and failed",
            f"  make cancel RUN={run}    end all of it; the same command goes on from there",
            f"  squeue -j {','.join(ids)};  tail -f {logs}/*.log",
        ]
    )


def write_files(folder: Path, units: Sequence[Unit], cluster: Cluster) -> dict[Path, list[Unit]]:
    """The sbatch files of a run, in place of earlier ones; those of its arrays, and the units of each."""
    place = emptied(folder)
    size = max_array_size()
    arrays = {}
    for number, first in enumerate(range(0, len(units), size)):
        name = f"units_{number}" if len(units) > size else "units"
        arrays[place / f"{name}.sbatch"] = part = list(units[first : first + size])
        write_script(place / f"{name}.sbatch", units_script(folder, name, part, cluster))
    report = [sys.executable, "-m", "pipeline.launch", str(folder / WORK)]
    write_script(place / f"{FINISH}.sbatch", finish_script(folder, report, cluster))
    return arrays


def emptied(folder: Path) -> Path:
    """Where a run's sbatch files are, without earlier ones."""
    place = folder / FOLDER
    for stale in place.glob("*.sbatch"):
        stale.unlink()
    return place


def submit_files(folder: Path, arrays: Mapping[Path, Sequence[Unit]], cluster: Cluster) -> list[str]:
    """Submit what `write_files` wrote; the jobs' numbers, the report's last."""
    jobs: dict[str, Any] = {"arrays": []}
    for file, units in arrays.items():
        jobs["arrays"].append({"job": _sbatch(file), "units": [[unit.folder, unit.fold] for unit in units]})
        # At once: whoever is interrupted here can still cancel what is submitted
        write_json(folder / FOLDER / JOBS, jobs)
    ids = [array["job"] for array in jobs["arrays"]]
    jobs["finish"] = _sbatch(folder / FOLDER / f"{FINISH}.sbatch", _after(ids, cluster))
    write_json(folder / FOLDER / JOBS, jobs)
    return [*ids, jobs["finish"]]


def _after(ids: Sequence[str], cluster: Cluster) -> list[str]:
    """Options of the report's job, which begins when the others have ended well, or have ended."""
    when = "afterany" if cluster.report_anyway else "afterok"
    # Without the second one it would wait for ever when one of them has failed
    return [f"--dependency={when}:{':'.join(ids)}", "--kill-on-invalid-dep=yes"] if ids else []


def _command(file: Path, options: Sequence[str] = ()) -> list[str]:
    return ["sbatch", "--parsable", *options, str(file)]


def units_script(folder: Path, name: str, units: Sequence[Unit], cluster: Cluster) -> str:
    """The sbatch file of an array whose task n runs the n-th of units."""
    cases = [f"{place}) unit=({shlex.quote(unit.folder)} {unit.fold}) ;;" for place, unit in enumerate(units)]
    lines = [
        f"export {STOP_WITHIN}={max(0, cluster.warn_s - ENDING_S)}",
        "case $SLURM_ARRAY_TASK_ID in",
        *cases,
        "esac",
        "",
        f'{shlex.quote(sys.executable)} -m pipeline.run_unit "${{unit[@]}}" &',
    ]
    return array_script(folder, name, len(units), lines, cluster)


def array_script(
    folder: Path,
    name: str,
    tasks: int,
    lines: Sequence[str],
    cluster: Cluster,
    stop: str = "USR1",
    stopped: int = STOPPED_STATUS,
) -> str:
    """The sbatch file of an array of so many tasks, each of which runs `lines`; the last one starts a process with &.

    Before the time limit the process gets the signal `stop`, and the task goes back into the queue when it then ends
    with status `stopped`.
    """
    options = {
        "array": f"0-{tasks - 1}%{cluster.at_once}",
        "time": cluster.time,
        "gres": cluster.gres,
        "cpus-per-task": cluster.cpus,
        "mem": cluster.mem,
        "signal": f"B:USR1@{cluster.warn_s}",
        "output": f"{_pattern(folder / FOLDER / name)}_%a.log",
    }
    return "\n".join(
        [
            *_head(folder_name(folder), options, cluster, traps(stop)),
            *([f"export {NEEDS_CUDA}=1"] if "gpu" in (cluster.gres or "") else []),
            *lines,
            "pid=$!",
            "# A signal ends `wait` early; once the process is over it tells how that ended",
            'while kill -0 "$pid" 2>/dev/null; do wait "$pid"; done',
            'wait "$pid"; status=$?',
            f'if [ "$asked" = USR1 ] && [ $status = {stopped} ]; then',
            '  echo "$(date +%T) back into the queue"',
            '  scontrol requeue "$SLURM_JOB_ID" && sleep 60',
            "fi",
            "exit $status",
            "",
        ]
    )


def traps(stop: str) -> list[str]:
    """The first lines of an array's file: a signal to a script that has no traps yet ends it."""
    return [
        "# Before the time limit (USR1) the process saves what it has and ends; then this goes back into the queue,",
        "# and goes on from there. After TERM it just ends.",
        "asked= pid=",
        f"""trap 'asked=USR1; [ -z "$pid" ] || kill -{stop} "$pid"' USR1""",
        """trap 'asked=TERM; [ -z "$pid" ] || kill -TERM "$pid"' TERM""",
        "",
    ]


def finish_script(folder: Path, command: Sequence[str], cluster: Cluster) -> str:
    """The sbatch file of the job whose command sums up what the tasks did."""
    options = {
        "time": cluster.finish_time,
        "cpus-per-task": cluster.finish_cpus,
        "mem": cluster.finish_mem,
        "output": f"{_pattern(folder / FOLDER / FINISH)}.log",
    }
    return "\n".join([*_head(f"{folder_name(folder)}-report", options, cluster), f"exec {shlex.join(command)}", ""])


def _head(name: str, options: Mapping[str, Any], cluster: Cluster, first: Sequence[str] = ()) -> list[str]:
    """What both files begin with; `first` are the first lines that are run."""
    common = {"job-name": name, "partition": cluster.partition, "account": cluster.account, "chdir": os.getcwd()}
    asked = {key: value for key, value in {**common, **options}.items() if value is not None}
    return [
        "#!/bin/bash",
        *(f"#SBATCH --{key}={_quoted(str(value))}" for key, value in asked.items()),
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        *(f"#SBATCH {option}" for option in shlex.split(cluster.extra)),
        "",
        *first,
        *([cluster.setup.rstrip(), ""] if cluster.setup.strip() else []),
        "# As many threads as cores were given, and every line of the log at once",
        'export OMP_NUM_THREADS="${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}" PYTHONUNBUFFERED=1',
    ]


def folder_name(folder: Path) -> str:
    """A short name of a run: the last two parts of its path, with nothing that needs quotes."""
    return re.sub(r"[^\w.-]+", "_", "-".join(folder.absolute().parts[-2:]))


def _quoted(value: str) -> str:
    return f'"{value}"' if re.search(r"\s", value) else value


def _pattern(path: Path) -> str:
    """A path as the beginning of a file name pattern of sbatch, whose own signs are % and backslash."""
    return str(path).replace("%", "%%")


def write_script(file: Path, text: str) -> None:
    with replacing(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _sbatch(file: Path, options: Sequence[str] = ()) -> str:
    """Submit a file; the job's number."""
    command = _command(file, options)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise InputError(f"{shlex.join(command)}: sbatch refuses ({said[-1]}); `make cancel` ends what it has taken.")
    # With --parsable it is the number, or number;cluster
    return done.stdout.strip().partition(";")[0]


def max_array_size() -> int:
    """How many tasks an array may have here; SLURM's default where there is no cluster to ask."""
    told = _ask(["scontrol", "show", "config"]) or ""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", told, flags=re.MULTILINE)
    return int(found[1]) if found else MAX_ARRAY_SIZE


def jobs_of(folder: Path) -> dict[str, Any]:
    """What was submitted last for a run: its arrays with their units, and the job that reports."""
    file = folder / FOLDER / JOBS
    return read_json(file) if file.is_file() else {"arrays": []}


def job_ids(folder: Path) -> list[str]:
    jobs = jobs_of(folder)
    return [*(array["job"] for array in jobs["arrays"]), *([jobs["finish"]] if "finish" in jobs else [])]


def known_jobs(ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Job, such as `12_3` or `13` -> its state and SLURM's reason, of those jobs that SLURM still knows.

    By the queue, which keeps ended jobs for some minutes, and by accounting where there is any. Raises InputError where
    SLURM does not answer, which is not to be taken for an empty queue.
    """
    if not ids or shutil.which("squeue") is None:
        return {}
    listed = ",".join(ids)
    # Without accounting sacct fails
    told = _ask(["sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State", "--jobs", listed]) or ""
    past = {job: (state.partition(" ")[0], "") for job, _, state in (row.partition("|") for row in told.splitlines())}
    command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r", "--jobs", listed]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # It says so of jobs that it has forgotten
    if done.returncode and "Invalid job id" not in done.stderr:
        raise InputError(f"squeue does not answer ({done.stderr.strip()}); try again later.")
    rows = (line.split("|") for line in done.stdout.splitlines())
    return {**past, **{job: (state, reason) for job, state, reason in rows}}


def is_over(state: str) -> bool:
    """Whether a job in this state will not run any more."""
    return state in OVER


def active_jobs(folder: Path) -> list[str]:
    """The jobs of a run that are queued or running, arrays once."""
    known = known_jobs(job_ids(folder))
    return sorted({job.partition("_")[0] for job, (state, _) in known.items() if not is_over(state)})


def cancel(ids: Sequence[str]) -> None:
    """End jobs, waiting ones too."""
    done = subprocess.run(["scancel", *ids], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"scancel {' '.join(ids)} fails ({done.stderr.strip()}).")


def _ask(command: Sequence[str]) -> str | None:
    """What a SLURM command prints; None where there is none, or it fails."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None
