"""Goal 6: training beside other work: steps of the demo's network while unrelated processes keep every core busy."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from monai.bundle import ConfigParser

from benchmarks.contest import PLAIN, Contestant, run_alternately
from benchmarks.row import Row
from benchmarks.settings import Settings
from pipeline.core.configuration import TRAIN, merged
from pipeline.core.machine import cores, keep_allocations

BY_ITSELF, OWN = "as OpenMP waits by itself", "as this project lets it wait"
ALONE, BESIDE = "alone", "beside a busy process a core"
ENVIRONMENTS = {BY_ITSELF: PLAIN, OWN: {}}
STEPS = 5
# Half of each core is a fair share beside one other process
FAIR, MOST_ALONE = 2.0, 1.05


def measure(settings: Settings) -> list[Row]:
    """Seconds of a training step, alone and beside others, with both ways of waiting."""
    contestants = {
        (way, where): Contestant(
            f"training step, {where}, {way}", "benchmarks.neighbours:steps", {"busy": where == BESIDE}, environment
        )
        for where in (ALONE, BESIDE)
        for way, environment in ENVIRONMENTS.items()
    }
    outcomes = run_alternately(list(contestants.values()), settings.repeats)
    seconds = {key: outcomes[each.name].numbers["step_s"] for key, each in contestants.items()}
    rows = [Row(6, each.name, seconds[key], "s") for key, each in contestants.items()]
    lost = seconds[OWN, ALONE] / seconds[BY_ITSELF, ALONE]
    slower = {way: seconds[way, BESIDE] / seconds[way, ALONE] for way in ENVIRONMENTS}
    return [
        *rows,
        Row(6, f"alone: the time of a step, {OWN}, in that of one {BY_ITSELF}", lost, "",
            target=f"at most {MOST_ALONE:g}", met=lost <= MOST_ALONE),
        *(Row(6, f"a step beside others in the time of one alone, {way}; {FAIR:g} are fair", times, "")
          for way, times in slower.items()),
    ]  # fmt: skip


def steps(busy: bool) -> Callable[[], dict[str, float]]:
    """Seconds of a training step of the demo's 3D U-Net on random voxels, beside others if so; the mean of a few."""
    keep_allocations()
    parser = ConfigParser(merged(TRAIN, "unet_3d", "demo", {}, {"device": "$torch.device('cpu')"}))
    network, optimizer, loss, inferer, size, batch = map(
        parser.get_parsed_content, ("network", "optimizer", "loss", "train_inferer", "patch_size", "batch_size")
    )
    image = torch.randn(batch, 1, *size)
    label = torch.randint(0, 4, (batch, 1, *size))

    def train() -> None:
        optimizer.zero_grad()
        loss(inferer(image, network), label).backward()
        optimizer.step()

    def measured() -> dict[str, float]:
        with busy_processes(cores() if busy else 0):
            began = time.perf_counter()
            for _ in range(STEPS):
                train()
            return {"step_s": (time.perf_counter() - began) / STEPS}

    for _ in range(2):
        train()
    return measured


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """So many processes that compute without end, each in a session of its own, as those of other users are."""
    with ExitStack() as ended:
        for _ in range(count):
            busy = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
            ended.enter_context(busy)
            ended.callback(busy.kill)
        # Until they compute
        time.sleep(1.0 if count else 0.0)
        yield
