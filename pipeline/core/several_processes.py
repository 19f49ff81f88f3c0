"""Several processes of one training, each with a GPU of its own or on the CPU: how they meet, share batches and part.

`torchrun` or `pipeline.core.bundle_process.run_bundle` starts them; `bundles/common/multi_gpu_train.yaml` says where a
training differs. They share each batch, so the losses are those of one process but for rounding, whatever their number.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import ignite.distributed as idist
import torch
import torch.distributed as dist

from pipeline.core.device import ENVIRONMENT, chosen_device, is_cuda, is_gpu, process_group
from pipeline.core.errors import InputError
from pipeline.core.shared_batch_norm import share_batch_norms

# While the first one prepares an archive's scans the others wait; one that dies is noticed by whoever started them
PATIENCE = timedelta(hours=12)
# Of the environment, as torchrun sets them
WORLD_SIZE, RANK, LOCAL_WORLD_SIZE, LOCAL_RANK = "WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE", "LOCAL_RANK"


def own_device() -> torch.device:
    """The GPU of this process, the CPU where there is none; InputError where there are fewer GPUs than processes.

    Apple's GPU is one alone, which processes cannot share a training on.
    """
    device = chosen_device()
    if not is_cuda(device):
        if is_gpu(device) and os.environ.get(ENVIRONMENT):
            raise InputError(
                f"{ENVIRONMENT} is {device}, one GPU, on which several processes cannot train together; leave out GPUS."
            )
        return torch.device("cpu")
    number, there = _from_environment(LOCAL_RANK), torch.cuda.device_count()
    if number >= there:
        raise InputError(
            f"GPUS is {_from_environment(LOCAL_WORLD_SIZE)}, but this machine lends {there}; ask for them."
        )
    return torch.device(device.type, number)


def join(device: torch.device, batch_size: int) -> None:
    """Wait for the others of this training, which the environment names; the first one alone writes a log."""
    share(batch_size)
    if is_cuda(device):
        torch.cuda.set_device(device)
    dist.init_process_group(process_group(device), timeout=PATIENCE)
    # Before any handler asks ignite for ranks: else processes wait for each other for ever
    idist.sync()
    if dist.get_rank() > 0:
        logging.disable(logging.WARNING)


def leave() -> None:
    # Together: a process that still talks to one that has left aborts
    dist.barrier()
    dist.destroy_process_group()


def devices_of_network(device: torch.device) -> list[torch.device] | None:
    """`device_ids` of DistributedDataParallel: the one GPU of this process; None on a CPU."""
    return [device] if is_cuda(device) else None


def share(batch_size: int) -> int:
    """How many patches of a batch are each process'; InputError where that is no whole number."""
    processes = _from_environment(WORLD_SIZE)
    if batch_size % processes:
        raise InputError(
            f"GPUS is {processes}, but a batch has {batch_size} patches, which they would share; choose GPUS so that "
            f"it divides {batch_size}, or another batch: OVERRIDES=\"{{'batch_size': {processes}}}\"."
        )
    return batch_size // processes


def share_of_machine(number: int) -> int:
    """Of so many cores, or what stands for them, how many are each process' of this machine."""
    return number // _from_environment(LOCAL_WORLD_SIZE)


def with_shared_norms(network: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """The same network, whose batch norms see the whole batch."""
    if not is_cuda(device):
        return share_batch_norms(network)
    converted: torch.nn.Module = torch.nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return converted


@contextmanager
def first_alone() -> Iterator[None]:
    """The block is run by the first process, then by the others, which find done what it did on the disk."""
    if idist.get_rank() > 0:
        idist.barrier()
    yield
    if idist.get_rank() == 0:
        idist.barrier()


def any_of_them(mine: bool) -> bool:
    """Whether it is so in any process, which all of them are told in the same step; in one alone, `mine`."""
    if idist.get_world_size() == 1:
        return mine
    return bool(idist.all_reduce(int(mine), op="MAX"))


def environments(processes: int, port: int) -> list[dict[str, str]]:
    """Of each of the processes of a training on this machine, which meet at a port; nothing for one alone."""
    if processes == 1:
        return [{}]
    number = str(processes)
    common = {WORLD_SIZE: number, LOCAL_WORLD_SIZE: number, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [{**common, RANK: str(rank), LOCAL_RANK: str(rank)} for rank in range(processes)]


def _from_environment(name: str) -> int:
    if name not in os.environ:
        raise InputError(f"{name} is not set, which tells the processes of a training apart; begin with torchrun.")
    return int(os.environ[name])
