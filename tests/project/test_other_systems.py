"""What Windows and macOS do not have is done in another way or refused by name; shown by hiding it from a process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from other_system import run_elsewhere, run_here

from pipeline.core import machine, processes, shared_files, windows
from pipeline.core.atomic import write_json
from pipeline.core.bundle_process import _send
from pipeline.core.errors import InputError
from pipeline.core.processes import process_began
from pipeline.runs import status
from pipeline.runs.units import lives
from pipeline.training.checkpoint import read_state

IMPORTED = """
import json, other_system
print(json.dumps(other_system.failures("pipeline", "evaluation", "transforms", "pneumobundle")))
"""
WORKED = """
import json, os, sys
from pathlib import Path
from pipeline.core import claims, machine, stop_signal
from pipeline.core.atomic import keep_json, read_json, write_json
from pipeline.core.errors import InputError
from pipeline.core.processes import process_began
from pipeline.runs.slurm import check_queue
place = Path(sys.argv[1])
told = {
    "peak": machine.peak_memory_mib(),
    "now": machine.memory_in_words(),
    "unlimited": machine.memory_left_mib() == float("inf"),
    "keeps": machine.keep_allocations(),
    "cores": machine.cores() == os.cpu_count(),
    "signals": [number.name for number in stop_signal.SIGNALS],
    "began": process_began(os.getpid()),
    "nobody": process_began(2**22 - 1),
}
machine.forget_peak_memory()
machine.give_memory_back()
with claims.Claims(place / "claims").held("case") as mine, claims.Claims(place / "claims").held("case") as other:
    told["claims"] = [mine, other]
write_json(place / "a.json", 1)
write_json(place / "a.json", 2)
told["replaced"], told["kept"] = read_json(place / "a.json"), keep_json(place / "a.json", 3)
os.environ["PATH"] = ""
try:
    check_queue(place, False)
except InputError as error:
    told["slurm"] = str(error)
print(json.dumps(told))
"""
TRAINED = """
import sys
from pathlib import Path
from pipeline.core.claims import Claims
from pipeline.phantom.dataset import write_phantom
from conftest import tiny_overrides
from trainings import workflow
if __name__ == "__main__":
    place, workers = Path(sys.argv[1]), int(sys.argv[2])
    write_phantom(place / "phantom", patients=3, coarsening=3.0)
    tiny = {**tiny_overrides(features=[4, 8, 8]), "num_workers": workers, "val_interval": 0}
    ready = workflow(tiny, place, place / "cv", max_epochs=1)
    ready.run()
    ready.finalize()
"""


def told_by(program: str, *arguments: object):
    """What such a program prints."""
    done = run_elsewhere(program, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def worked(tmp_path_factory) -> dict:
    return told_by(WORKED, tmp_path_factory.mktemp("elsewhere"))


def test_every_module_can_be_imported_without_what_only_posix_has():
    assert told_by(IMPORTED) == []


def test_memory_that_nobody_tells_of_is_unknown_and_not_a_number(worked):
    assert (worked["peak"], worked["now"], worked["unlimited"]) == (None, "memory unknown", True)


def test_a_case_is_claimed_once(worked):
    assert worked["claims"] == [1, 0]


def test_files_are_replaced_and_kept(worked):
    assert (worked["replaced"], worked["kept"]) == (2, 2)


def test_processes_are_told_apart_by_when_they_began(worked):
    assert worked["began"]
    assert worked["nobody"] is None


def test_trainings_are_stopped_by_the_signals_that_there_are(worked):
    assert worked["signals"] == ["SIGTERM"]


def test_all_cores_count_where_nobody_says_which_are_ours(worked):
    assert worked["cores"] is True


def test_the_allocator_is_left_as_it_is(worked):
    assert worked["keeps"] is False


def test_slurm_is_refused_by_name(worked):
    assert worked["slurm"].startswith("LAUNCH=slurm needs SLURM, which this system (")


def finished(folder: Path) -> dict:
    """What a training in a folder ended with; its weights can be read."""
    assert read_state(folder / "cv" / "fold0" / "model.pt")
    return json.loads((folder / "cv" / "fold0" / "training.json").read_text(encoding="utf-8"))


def test_a_network_trains_where_nobody_tells_its_memory(tmp_path):
    done = run_elsewhere(TRAINED, tmp_path, 0)
    assert done.returncode == 0, done.stderr
    assert (finished(tmp_path)["epochs"], finished(tmp_path)["peak_memory_mib"]) == (1, None)


def test_a_network_trains_with_loaders_that_are_spawned_as_windows_and_macos_do(tmp_path):
    spawn = "import multiprocessing\nmultiprocessing.set_start_method('spawn', force=True)\n"
    done = run_here(["-c", spawn + TRAINED, str(tmp_path), "1"])
    assert done.returncode == 0, done.stderr
    assert finished(tmp_path)["epochs"] == 1


def test_ps_and_proc_agree_on_who_lives(monkeypatch):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        monkeypatch.setattr(processes, "PROC", Path("/nowhere"))
        began = process_began(child.pid)
        child.communicate(b"\n")
    assert began
    assert process_began(child.pid) is None


def test_a_record_of_before_counts_ticks_as_a_number():
    began = process_began(os.getpid())
    record = {"host": socket.gethostname(), "pid": os.getpid(), "process_began": int(began)}
    assert lives(record)


@pytest.mark.parametrize(("system", "mib"), [("linux", 3.0), ("darwin", 3 / 1024)])
def test_macos_counts_the_peak_of_memory_in_bytes(monkeypatch, system, mib):
    used = type("used", (), {"ru_maxrss": 3 * 1024})
    monkeypatch.setattr(machine, "resource", type("resource", (), {"getrusage": lambda who: used, "RUSAGE_SELF": 0}))
    monkeypatch.setattr("sys.platform", system)
    assert machine.peak_memory_mib() == mib


def told_memory(process, told, size):
    told._obj.resident, told._obj.peak_resident = 64 * 2**20, 96 * 2**20
    return 1


def told_machine(told):
    told._obj.available = 512 * 2**20
    return 1


def told_status(process, status):
    status._obj.value = windows.STILL_ACTIVE if process.value == 7 else 0


def told_times(process, began, *others):
    began._obj.value = 133
    return 1


# Stands in for kernel32 and psapi: 64 MiB now, 96 at most, 512 left; process 7 began at 133, others are over
LIBRARY = SimpleNamespace(
    GetCurrentProcess=lambda: 1,
    GetProcessMemoryInfo=told_memory,
    GlobalMemoryStatusEx=told_machine,
    OpenProcess=lambda access, inherit, pid: pid,
    GetExitCodeProcess=told_status,
    GetProcessTimes=told_times,
    CloseHandle=lambda process: 1,
)


@pytest.fixture
def windows_libraries(monkeypatch):
    monkeypatch.setattr(windows, "library", lambda name: LIBRARY)


def test_windows_tells_the_memory_of_this_process_and_of_the_machine(windows_libraries, monkeypatch):
    monkeypatch.setattr(machine, "resource", None)
    monkeypatch.setattr(machine, "MEMORY_INFO", Path("/nowhere"))
    assert (machine.peak_memory_mib(), windows.memory_mib(), machine.available_mib()) == (96, 64, 512)


def test_windows_tells_when_a_process_began_that_still_runs(windows_libraries, monkeypatch):
    monkeypatch.setattr(processes, "PROC", Path("/nowhere"))
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert (process_began(7), process_began(8)) == ("133", None)


@pytest.mark.parametrize("refusals", [0, 3])
def test_a_file_that_is_read_at_the_moment_is_replaced_as_soon_as_it_is_not(monkeypatch, tmp_path, refusals):
    replace, left = os.replace, [PermissionError()] * refusals

    def busy(source, target):
        if left:
            raise left.pop()
        replace(source, target)

    monkeypatch.setattr(shared_files, "WAITS_S", (0.0,) * 3)
    monkeypatch.setattr(os, "replace", busy)
    write_json(tmp_path / "a.json", {})
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_file_that_stays_open_is_an_error_and_nothing_is_left_beside_it(monkeypatch, tmp_path):
    def busy(source, target):
        raise PermissionError(13, "open elsewhere")

    monkeypatch.setattr(shared_files, "WAITS_S", (0.0,) * 3)
    monkeypatch.setattr(os, "replace", busy)
    with pytest.raises(PermissionError, match="open elsewhere"):
        write_json(tmp_path / "a.json", {})
    assert list(tmp_path.iterdir()) == []


def test_a_run_in_another_window_of_windows_is_not_ended_but_said_how(monkeypatch):
    monkeypatch.setattr(status.os, "name", "nt")
    with pytest.raises(InputError, match=r"Ctrl-Break .* `taskkill /T /F /PID 12`"):
        status._end(12)


def test_what_windows_console_sends_to_all_is_not_sent_again(monkeypatch):
    sent = []
    process = type("process", (), {"send_signal": lambda self, number: sent.append(number)})()
    monkeypatch.setattr(signal, "SIGBREAK", 21, raising=False)
    for number in (21, signal.SIGTERM):
        _send(process, number)
    assert sent == [signal.SIGTERM]
