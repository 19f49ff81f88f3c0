"""A process that lacks what only POSIX systems, or Linux alone, have: `python other_system.py <program> [arguments]`.

Libraries are imported before, with all that they take from this system, so that this project's code alone is tried. It
runs on Linux still: what Windows and macOS do otherwise than Linux, beyond lacking things, it does not show.
"""

from __future__ import annotations

import builtins
import collections
import ctypes
import importlib.util
import os
import pathlib
import pkgutil
import shutil
import signal
import subprocess
import sys
from importlib.abc import MetaPathFinder

MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "crypt", "spwd", "nis", "posix_ipc")
SIGNALS = (
    "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGHUP", "SIGALRM", "SIGQUIT", "SIGCHLD", "SIGSTOP", "SIGCONT", "SIGPIPE",
    "SIGXCPU", "SIGRTMIN", "SIGRTMAX", "pthread_sigmask", "pthread_kill", "sigwait", "sigtimedwait", "alarm",
    "setitimer", "pause",
)  # fmt: skip
FUNCTIONS = (
    "sched_getaffinity", "sched_setaffinity", "getuid", "geteuid", "getgid", "getegid", "fork", "forkpty", "killpg",
    "setsid", "getpgid", "setpgid", "getpgrp", "statvfs", "fstatvfs", "mkfifo", "mknod", "nice", "uname", "wait",
    "wait3", "wait4", "sysconf", "getloadavg", "chown", "fchown", "lchown", "chroot", "posix_fadvise", "sendfile",
    "EX_OK", "EX_TEMPFAIL", "EX_USAGE", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "WIFSIGNALED",
)  # fmt: skip
# Of extras: a module that cannot do without one is not imported where it is not installed
OPTIONAL = ("onnxruntime", "pynetdicom", "starlette", "uvicorn")
# Of Linux alone
FOLDERS = ("/proc", "/sys", "/dev/shm")
# What our modules import of others, or these later on by themselves
LIBRARIES = (
    "torch", "torch.distributed", "torch.utils.tensorboard", "torch.onnx", "torch._dynamo", "monai", "monai.bundle",
    "monai.engines", "monai.handlers", "monai.inferers", "monai.losses", "monai.metrics", "monai.networks.nets",
    "monai.transforms", "monai.apps", "monai.optimizers", "ignite.distributed", "ignite.metrics", "ignite.engine",
    "SimpleITK", "nibabel", "pydicom", "highdicom", "scipy.ndimage", "scipy.sparse", "scipy.stats", "sklearn.metrics",
    "batchgenerators.transforms.spatial_transforms", "jinja2", "yaml", "fire", "fire.parser", "tqdm.auto", "jsonschema",
    "multiprocessing.pool", "multiprocessing.popen_spawn_posix", "asyncio", "socket", "tempfile", "concurrent.futures",
    "onnxruntime", "openvino", "nncf", "click", "mlflow", "huggingface_hub", "torchvision", "urllib.request",
)  # fmt: skip


class Hidden(MetaPathFinder):
    """No module of these names is found."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] in MODULES:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


def import_libraries() -> None:
    for name in LIBRARIES:
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            importlib.import_module(name)


def hide() -> None:
    """From now on, this process lacks them."""
    # Popen and forked data loaders of this Linux need some of what is hidden: they have it by their own names
    for module in MODULES:
        sys.modules.pop(module, None)
    sys.meta_path.insert(0, Hidden())
    _keep_disk_usage()
    for place, names in ((signal, SIGNALS), (os, FUNCTIONS)):
        for name in names:
            if hasattr(place, name):
                delattr(place, name)
    _without_libc()
    _without_folders()


def _keep_disk_usage() -> None:
    """shutil's, which Windows has by other means."""
    asked, usage = os.statvfs, collections.namedtuple("usage", "total used free")

    def disk_usage(path):
        told = asked(path)
        total, free = told.f_blocks * told.f_frsize, told.f_bavail * told.f_frsize
        return usage(total, total - free, free)

    shutil.disk_usage = disk_usage


def _without_libc() -> None:
    load = ctypes.CDLL

    def refused(name=None, *arguments, **options):
        if name and str(name).startswith("libc."):
            raise OSError(f"{name}: no such library")
        return load(name, *arguments, **options)

    ctypes.CDLL = refused


def _without_folders() -> None:
    """Make files of Linux's own folders unknown to pathlib, `open` and os.readlink."""

    def is_hidden(path) -> bool:
        return isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(FOLDERS)

    def guarded(function):
        def call(path, *arguments, **options):
            if is_hidden(path):
                raise FileNotFoundError(2, "No such file or directory", os.fspath(path))
            return function(path, *arguments, **options)

        return call

    builtins.open, os.readlink, os.stat = guarded(builtins.open), guarded(os.readlink), guarded(os.stat)
    # pathlib opens by io.open, and looks by os.stat
    pathlib.io.open = guarded(pathlib.io.open)


def modules_of(*packages: str) -> list[str]:
    """Every module of some packages."""
    names = list(packages)
    for package in packages:
        found = importlib.import_module(package)
        names += [module.name for module in pkgutil.walk_packages(found.__path__, f"{package}.")]
    return [name for name in names if not name.endswith("__main__")]


def failures(*packages: str) -> list[str]:
    """A line for each module that cannot be imported."""
    told = []
    for name in modules_of(*packages):
        try:
            importlib.import_module(name)
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and error.name in OPTIONAL:
                continue
            told.append(f"{name}: {type(error).__name__}: {error}")
    return told


def run_elsewhere(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python's text in such a process."""
    return run_here([__file__, program, *map(str, arguments)])


def run_here(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, which finds this project's modules and those of its tests."""
    root = pathlib.Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")])}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, encoding="utf-8", check=False, cwd=root, env=environment
    )


if __name__ == "__main__":
    import_libraries()
    hide()
    exec(compile(sys.argv.pop(1), "<program>", "exec"), {"__name__": "__main__"})
