"""Batch norm over a batch that several processes share, on any device; torch.nn.SyncBatchNorm works on GPUs alone."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm


class SharedBatchNorm(_BatchNorm):
    """A batch norm, (B, C, ...) to the same, whose B counts the samples of all processes, equally many in each."""

    @classmethod
    def of(cls, norm: _BatchNorm) -> SharedBatchNorm:
        """With the very weights and running statistics of another one."""
        made = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        made.weight, made.bias = norm.weight, norm.bias
        made.running_mean, made.running_var = norm.running_mean, norm.running_var
        made.num_batches_tracked = norm.num_batches_tracked
        return made.train(norm.training)

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Any number of axes."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(input)
        samples = input.to(torch.promote_types(input.dtype, torch.float32))
        axes = [0, *range(2, samples.dim())]
        mean = _mean_of_all(samples.mean(axes, keepdim=True))
        centred = samples - mean
        variance = _mean_of_all(centred.square().mean(axes, keepdim=True))
        self._track(mean.detach().flatten(), variance.detach().flatten(), samples.numel() // samples.shape[1])
        normalised = centred * torch.rsqrt(variance + self.eps)
        if self.affine:
            shape = mean.shape
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised.to(input.dtype)

    def _track(self, mean: torch.Tensor, variance: torch.Tensor, count: int) -> None:
        """Move the running statistics as torch does, the variance being the unbiased one."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        weight = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        total = count * dist.get_world_size()
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance * (total / (total - 1)), weight)


def share_batch_norms(network: torch.nn.Module) -> torch.nn.Module:
    """The same network, in which each batch norm has become a shared one with the same weights."""
    for parent in network.modules():
        for name, child in parent.named_children():
            if isinstance(child, _BatchNorm):
                setattr(parent, name, SharedBatchNorm.of(child))
    return network


def _mean_of_all(value: torch.Tensor) -> torch.Tensor:
    """Over the processes; its gradient passes through all of them."""
    summed: torch.Tensor = _SumOfAll.apply(value)
    return summed / dist.get_world_size()


class _SumOfAll(torch.autograd.Function):
    """The sum over the processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        summed = value.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        summed = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed
