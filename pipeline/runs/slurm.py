"""A run's units as jobs of a SLURM cluster: readable sbatch files in <run>/slurm, an array, and a job that reports.

A task of the array is a unit of `pipeline.runs.units`, or a shard of `pipeline.runs.shards`. It is warned before its
time limit, saves, puts itself back into the queue and goes on later as if nothing had happened. The report's job begins
when all tasks have ended well, and is removed by SLURM when one has failed.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.atomic import replacing, write_json
from pipeline.core.errors import InputError, breaks_lines
from pipeline.core.stop_signal import STOP_WITHIN, STOPPED_STATUS
from pipeline.runs.cluster import Cluster
from pipeline.runs.preflight import NEEDS_CUDA
from pipeline.runs.slurm_queue import FOLDER, JOBS, active_jobs, max_array_size
from pipeline.runs.units import Unit

logger = logging.getLogger(__name__)
FINISH = "finish"
WORK = Path(FOLDER, "work.json")
# Of the seconds that SLURM warns before the end, what is left for ending
ENDING_S = 30
# Command of this program that runs one unit
RUN_UNIT = "run-unit"


def submit(folder: Path, units: Sequence[Unit], of: int, cluster: Cluster, dry: bool = False) -> str:
    """Write the sbatch files of units and of the job that reports, and hand them to SLURM unless `dry`.

    `check_queue` comes before. `of` is how many units there are with those that are done. Gives what to tell the user.
    Raises InputError where SLURM refuses.
    """
    arrays = write_files(folder, units, cluster)
    counted = f"{len(units)} of {of} units are left to run"
    return hand_over(folder, counted, arrays, cluster, dry)


def check_queue(folder: Path, dry: bool) -> None:
    """Raise InputError where there is no SLURM, unless `dry`, and where jobs of the same run are in its queue.

    And for a folder whose name SLURM cannot use.
    """
    for what, path in {"OUT": folder, "the current folder": Path.cwd()}.items():
        # In a name with a backslash sbatch replaces no %a, and a line break ends a line of #SBATCH
        if "\\" in str(path) or breaks_lines(str(path)):
            raise InputError(f"{what} is {path}: LAUNCH=slurm takes no name with a backslash or a line break.")
    if not dry and shutil.which("sbatch") is None:
        raise InputError(
            f"LAUNCH=slurm needs SLURM, which this system ({platform.system()}) does not have (no sbatch); call it on "
            "a cluster's login node, or with DRY=1."
        )
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
    report = cluster.report("finish", str(folder / WORK))
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
        f'{shlex.join(cluster.task(RUN_UNIT))} "${{unit[@]}}" &',
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
        *(f"#SBATCH {_quoted(f'--{key}={value}')}" for key, value in asked.items()),
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        *(f"#SBATCH {option}" for option in _options(cluster.extra)),
        "",
        *first,
        *([cluster.setup.rstrip(), ""] if cluster.setup.strip() else []),
        "# As many threads as cores were given, and every line of the log at once",
        'export OMP_NUM_THREADS="${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}" PYTHONUNBUFFERED=1',
    ]


def folder_name(folder: Path) -> str:
    """A short name of a run: the last two parts of its path, with nothing that needs quotes."""
    return re.sub(r"[^\w.-]+", "_", "-".join(folder.absolute().parts[-2:]))


def _options(extra: str) -> list[str]:
    """Each with its value, where that is a word of its own, as in `-C gpu`."""
    options: list[str] = []
    for word in shlex.split(extra):
        if options and not word.startswith("-"):
            options[-1] += f" {_quoted(word)}"
        else:
            options.append(_quoted(word))
    return options


def _quoted(option: str) -> str:
    """A word as sbatch reads it: in its quotes, unlike in bash's single ones, a backslash stands for what follows."""
    if not re.search(r"[^\w.:,+=/@%-]", option, flags=re.ASCII):
        return option
    name, equals, value = option.partition("=") if option.startswith("--") else ("", "", option)
    escaped = re.sub(r'(["\\])', r"\\\1", value)
    return f'{name}{equals}"{escaped}"'


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
