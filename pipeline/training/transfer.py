"""A training that begins with what another model learnt, of this network with other classes or channels too."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from torch.utils.hooks import RemovableHandle

from pipeline.core.errors import InputError
from pipeline.core.text_table import aligned
from pipeline.training.checkpoint import MODEL, read_state

logger = logging.getLogger(__name__)
# Below the folder of a bundle
MODELS = "models"


@dataclass(frozen=True)
class Transferred:
    """What became of a network's tensors.

    Args:
        names: of those that were taken over.
        anew: name and reason of those that begin anew.
    """

    names: frozenset[str] = frozenset()
    anew: Mapping[str, str] | None = None


def begin_with(network: torch.nn.Module, source: str | Path | None) -> Transferred:
    """Give a network what another one has under the same name and in the same shape, and tell what that was.

    `source` is a model.pt, the folder of a fold, or that of a bundle; nothing happens without. Raises InputError where
    nothing fits.
    """
    if source is None:
        return Transferred()
    file = weights_file(Path(source))
    theirs, mine = read_state(file), network.state_dict()
    if not isinstance(theirs, Mapping) or not all(isinstance(each, torch.Tensor) for each in theirs.values()):
        raise InputError(f"{file}: holds no weights of a network; give BEGIN_WITH a model.pt.")
    anew = {
        name: f"has shape {_shape(theirs[name])} there, {_shape(tensor)} here" if name in theirs else "is not there"
        for name, tensor in mine.items()
        if name not in theirs or theirs[name].shape != tensor.shape
    }
    names = frozenset(mine.keys() - anew.keys())
    if not names & dict(network.named_parameters()).keys():
        raise InputError(
            f"{file}: does not hold weights of this network, none of its {len(theirs)} tensors fits; give the model of "
            "a network of this kind."
        )
    network.load_state_dict({name: theirs[name] for name in names}, strict=False)
    logger.info("Begins with %s:\n%s", file, table(network, names, anew))
    return Transferred(names, anew)


def weights_file(source: Path) -> Path:
    """The model.pt that a fold, a bundle or itself is named by."""
    places = (source, source / MODEL, source / MODELS / MODEL)
    found = next((file for file in places if file.is_file()), None)
    if found is None:
        raise InputError(
            f"{source}: there is no such model; give a model.pt, the folder of a trained fold, or that of a bundle."
        )
    return found


def table(network: torch.nn.Module, names: frozenset[str], anew: Mapping[str, str]) -> str:
    """A line for each part of a network, how much of it was taken over; then one for each tensor that begins anew."""
    lines = [("part", "tensors", "values taken over", "of")]
    state = network.state_dict()
    for part in dict.fromkeys(name.partition(".")[0] for name in state):
        mine = {name: tensor.numel() for name, tensor in state.items() if name.partition(".")[0] == part}
        taken = [values for name, values in mine.items() if name in names]
        lines.append((part, f"{len(taken)} of {len(mine)}", f"{sum(taken):,}", f"{sum(mine.values()):,}"))
    told = [f"{name} begins anew: it {reason}" for name, reason in anew.items()]
    return "\n".join([aligned(lines), *told])


class FrozenAtFirst:
    """Handler for a trainer: what was transferred keeps its values for the first epochs, while the rest learns.

    Its gradients become zero, so that optimisers with momentum or moments of their own, and several processes, go on as
    if nothing was frozen. Running statistics of batch norms follow the new scans all the same.

    Args:
        network: of the training.
        transferred: as `begin_with` gives it.
        epochs: so many; 0 freezes nothing.
    """

    def __init__(self, network: torch.nn.Module, transferred: Transferred, epochs: int) -> None:
        self.parameters = [weight for name, weight in network.named_parameters() if name in transferred.names]
        self.epochs = epochs
        self.hooks: list[RemovableHandle] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.follow)

    def follow(self, engine: Engine) -> None:
        wanted = engine.state.epoch <= self.epochs
        if wanted and not self.hooks:
            self.hooks = [weight.register_hook(_nothing) for weight in self.parameters]
        if not wanted:
            for hook in self.hooks:
                hook.remove()
            self.hooks = []


_nothing: Callable[[torch.Tensor], torch.Tensor] = torch.zeros_like


def _shape(tensor: torch.Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"
