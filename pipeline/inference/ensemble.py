"""Several trained networks as one: every window goes through all of them, and what leaves it is their common answer.

Members meet inside the window, so memory is that of one network beside all weights, and whatever calls a network
calls an ensemble just so. The majority vote is the EAMC paper's (Pal Das et al. 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.bundle import ConfigParser
from monai.engines import Workflow

from pipeline.core.atomic import read_json
from pipeline.core.configuration import INFERENCE
from pipeline.core.errors import InputError
from pipeline.core.temperature import tempered
from pipeline.inferers.memory_layout import laid_out
from pipeline.networks.weights_loaded import KnowsItsWeights
from pipeline.training.checkpoint import load_weights

MEAN, VOTE = "mean", "vote"
# What the mean probability weighs beside one vote: under 1, so that it decides ties and overturns no majority
TIE = 0.5
# A probability may underflow to 0; its logarithm would spoil the average of overlapping windows
LEAST = torch.finfo(torch.float32).tiny


class Ensemble(KnowsItsWeights):
    """The logarithm of the members' mean probabilities, or of their shares of the votes; softmax gives them back.

    Voting, each member gives its likeliest class one vote, and a tie is decided by the mean probability (a rounded mean
    would call it background). A single voter answers with its probabilities, as it would alone.

    Args:
        networks: of equal input and output, (B, 1, ...) to logits (B, C, ...).
        method: `vote` or `mean`.
        weights: of a mean, one a network, at least 0; None for equal ones.
        factors: of the classes' probabilities where the likeliest is chosen, see `InfectionThresholdd`; None for 1.
        temperatures: of the networks' probabilities of infection, one each; None where these are not asked for. The
            answer, and so any label, is the same either way. TorchScript knows only networks without.
        infection: numbers of the classes that are infection, where there are temperatures.

    `voters`, the places of those that are asked in their order, may be set at any time; all of them at first.
    """

    def __init__(
        self,
        networks: Sequence[torch.nn.Module],
        method: str = VOTE,
        weights: Sequence[float] | None = None,
        factors: Sequence[float] | None = None,
        temperatures: Sequence[float] | None = None,
        infection: Sequence[int] = (),
    ) -> None:
        super().__init__()
        check_method(method, weights, len(networks))
        self.members = torch.nn.ModuleList(networks)
        self.weights_loaded = all(getattr(network, "weights_loaded", True) for network in networks)
        self.method = method
        self.weights = [float(weight) for weight in weights or [1.0] * len(networks)]
        self.factors = None if factors is None else [float(factor) for factor in factors]
        self.temperatures = None if temperatures is None else [float(one) for one in temperatures]
        self.infection = [int(number) for number in infection]
        self.voters: Sequence[int] = list(range(len(networks)))
        # TorchScript, which bundles need, knows what a module has and no constants beside it
        self.votes = method == VOTE
        self.tie, self.least = TIE, LEAST

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.logarithm(self.shares(image)[0])

    def shares(self, image: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor]:
        """What each class has of the ensemble, (B, C, ...), adding up to 1, and each voter's classes, (B, 1, ...).

        And the mean of the tempered probabilities of infection, (B, 1, ...), where there are temperatures.
        """
        total = self.total()
        mean, votes = torch.zeros(1, device=image.device), torch.zeros(1, device=image.device)
        calibrated = torch.zeros(1, device=image.device)
        classes: list[torch.Tensor] = []
        for place, member in enumerate(self.members):
            if place in self.voters:
                answer = member(image)
                # Networks with auxiliary outputs give them after the main one while they are trained
                logits = answer if isinstance(answer, torch.Tensor) else answer[0]
                probabilities = logits.float().softmax(1)
                mean = mean + probabilities * (self.weights[place] / total)
                if self.temperatures is not None:
                    infected = probabilities[:, self.infection].sum(1, keepdim=True)
                    calibrated = calibrated + tempered(infected, self.temperatures[place]) * (
                        self.weights[place] / total
                    )
                classes.append(self.likeliest(probabilities))
                if self.votes:
                    votes = votes + torch.zeros_like(probabilities).scatter_(1, classes[-1], 1.0)
        if not self.votes or len(self.voters) == 1:
            return mean, classes, calibrated
        return (votes + self.tie * mean) / (len(self.voters) + self.tie), classes, calibrated

    def total(self) -> float:
        """What the voters weigh together."""
        total = 0.0
        for voter in self.voters:
            total += self.weights[voter]
        return total

    def likeliest(self, probabilities: torch.Tensor) -> torch.Tensor:
        """The number of the likeliest class, (B, 1, ...); equal ones give the lower number."""
        if self.factors is not None:
            factors = torch.tensor(self.factors, device=probabilities.device)
            probabilities = probabilities * factors.view([1, -1] + [1] * (probabilities.dim() - 2))
        return probabilities.argmax(1, keepdim=True)

    def logarithm(self, shares: torch.Tensor) -> torch.Tensor:
        return shares.clamp_min(self.least).log()


class EnsembleWithDisagreement(Ensemble):
    """An ensemble that adds a last channel: which weight of the voters chose another class than the ensemble, 0 to 1.

    It is no logarithm; `transforms.disagreement` takes it off before the softmax. With temperatures there is one before
    it: the mean of the tempered probabilities of infection.
    """

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        shares, classes, calibrated = self.shares(image)
        # The votes were counted with the factors, the mean was not
        chosen = shares.argmax(1, keepdim=True) if self.votes else self.likeliest(shares)
        total = self.total()
        against = torch.zeros(1, device=image.device)
        for place, mine in enumerate(classes):
            against = against + (mine != chosen).float() * (self.weights[self.voters[place]] / total)
        if self.temperatures is not None:
            return torch.cat((self.logarithm(shares), calibrated, against), dim=1)
        return torch.cat((self.logarithm(shares), against), dim=1)


def check_method(method: str, weights: Sequence[float] | None, members: int) -> None:
    """Raise InputError for an unknown way of combining members, and for weights that do not fit."""
    if method not in (VOTE, MEAN):
        raise InputError(f"METHOD is {method!r}, expected {VOTE} or {MEAN}.")
    if weights is None:
        return
    if method == VOTE:
        raise InputError(f"WEIGHTS are given, but METHOD is {VOTE}, in which every member has one vote; use {MEAN}.")
    if len(weights) != members or min(weights) < 0 or not sum(weights):
        raise InputError(
            f"WEIGHTS are {', '.join(map(str, weights))}, expected {members} numbers, one a member in their order, "
            "none below 0 and not all 0."
        )


def load_members(ensemble: Ensemble, files: Sequence[str | Path]) -> None:
    """Give the first members the weights of a file each, and them alone a vote; InputError where they do not fit."""
    if len(files) > len(ensemble.members):
        raise InputError(f"member_files are {len(files)}, but this ensemble has {len(ensemble.members)} members.")
    for member, file in zip(ensemble.members, files, strict=False):
        load_weights(member, file)
    ensemble.voters = list(range(len(files)))
    ensemble.weights_loaded = True


def parse_weights(text: str) -> list[float] | None:
    """Numbers separated by spaces or commas, None for an empty text; InputError for anything else."""
    try:
        return [float(word) for word in text.replace(",", " ").split()] or None
    except ValueError as error:
        raise InputError(f"WEIGHTS are {text!r}, expected one number a member, such as '2 1 1'.") from error


class ChooseVoters:
    """Handler for an evaluator with one case a step: the ensemble asks those that the case names as `voters`.

    Cases without them ask all.
    """

    def __init__(self, ensemble: Ensemble, cases: Sequence[dict[str, Any]]) -> None:
        self.ensemble = ensemble
        self.cases = cases

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.ITERATION_STARTED, self.choose)

    def choose(self, engine: Workflow) -> None:
        case = self.cases[engine.state.iteration - 1]
        self.ensemble.voters = case.get("voters", range(len(self.ensemble.members)))


def configuration_of(model_file: str | Path) -> Path:
    """The inference configuration that belongs to a fold's model: the fold's own, or that of all folds beside it."""
    fold = Path(model_file).parent
    own = fold / f"{INFERENCE}.json"
    return own if own.is_file() else fold.parent / f"{INFERENCE}.json"


def network_of(model_file: str | Path, configuration_file: str | Path | None = None) -> torch.nn.Module:
    """The network of a fold's model with its weights, a new object each time; InputError where it does not load.

    `configuration_file` is that of its inference, where it is not beside the fold.
    """
    configuration = Path(configuration_file or configuration_of(model_file))
    if not configuration.is_file():
        raise InputError(f"{configuration}: there is no such file; it belongs beside the model {model_file}.")
    parser = ConfigParser(read_json(configuration))
    parser.parse()
    network = load_weights(parser.get_parsed_content("network_def"), model_file)
    spatial_dims, device = map(parser.get_parsed_content, ("spatial_dims", "device"))
    return laid_out(network, spatial_dims, torch.device(device))
