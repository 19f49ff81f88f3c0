"""What the networks of finished cross-validations cost: as they were built, and as their trainings wrote down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from monai.bundle import ConfigParser

from evaluation.costs.network_cost import gmac, parameters
from evaluation.report.run import Run, Stage
from pipeline.core.atomic import read_json


@dataclass(frozen=True)
class Build:
    """A network as a run built it: its parameters, 10^9 multiply-accumulates for one input, and that input's size."""

    parameters: int
    gmac: float
    size: tuple[int, ...]

    @property
    def kmac_per_voxel(self) -> float:
        """1000 multiply-accumulates for one pixel or voxel of the input, the same scale for slices and volumes."""
        elements = 1
        for length in self.size:
            elements *= length
        return self.gmac * 1e6 / elements


@dataclass(frozen=True)
class RunCost:
    """Of a run; None where it is not known, and `why_not` says why there are no builds.

    Args:
        builds: a network, or the two of a cascade.
        training_min: of a fold, all stages together, the mean over folds.
        case_s: seconds to segment a case, all folds together.
        memory_gib: the most that any training held.
        device: of the trainings.
    """

    builds: tuple[Build, ...]
    training_min: float | None
    case_s: float | None
    memory_gib: float | None
    device: str
    why_not: str = ""

    @property
    def parameters(self) -> int | None:
        return sum(build.parameters for build in self.builds) if self.builds else None

    @property
    def kmac_per_voxel(self) -> float | None:
        return sum(build.kmac_per_voxel for build in self.builds) if self.builds else None


def build(settings: Mapping[str, Any]) -> Build:
    """Build a network from a run's train.json, without weights, and count; whatever building it raises is raised."""
    parser = ConfigParser(dict(settings))
    network = parser.get_parsed_content("network_def")
    flat = parser.get_parsed_content("spatial_dims") == 2
    size = tuple(parser.get_parsed_content("sample_size"))[: 2 if flat else 3]
    channels = parser.get_parsed_content("network_def::in_channels", default=1)
    return Build(parameters(network), gmac(network, (channels, *size)), size)


def cost_of(run: Run) -> RunCost:
    """All that is known of a run's cost: nothing where its label maps were made elsewhere."""
    if run.scored:
        return RunCost((), None, None, None, "", "its label maps were made elsewhere, and what they cost is not known")
    builds, why_not = _builds(run)
    seconds = [_fold_mean(stage, "seconds", fmean) for stage in run.stages]
    memory_mib = [_fold_mean(stage, "peak_memory_mib", max) for stage in run.stages]
    return RunCost(
        builds,
        training_min=sum(filter(None, seconds)) / 60 if None not in seconds else None,
        case_s=_case_s(run),
        memory_gib=max(filter(None, memory_mib)) / 1024 if any(memory_mib) else None,
        device=", ".join(
            dict.fromkeys(
                str(training["device"])
                for stage in run.stages
                for training in stage.trainings.values()
                if "device" in training
            )
        ),
        why_not=why_not,
    )


def _builds(run: Run) -> tuple[tuple[Build, ...], str]:
    # A run of another version may name a class or a package that is not here: its scores are as good as before
    try:
        return tuple(build(stage.settings) for stage in run.stages), ""
    except Exception as error:
        reason = f"{type(error.__cause__ or error).__name__}: {error.__cause__ or error}".splitlines()[0]
        return (), f"its network cannot be built from its train.json here ({reason})"


def _fold_mean(stage: Stage, key: str, over: Callable[[Iterable[float]], float]) -> float | None:
    values = [training[key] for training in stage.trainings.values() if training.get(key) is not None]
    return over(values) if values else None


def _case_s(run: Run) -> float | None:
    """Seconds over cases, from segmentation.json of the last stage's folds; a cascade's may lie beside its stages."""
    found = [*run.stages[-1].segmentations.values()]
    if not found:
        files = sorted(run.folder.glob("fold*/segmentation.json"))
        found = [read_json(file) for file in files]
    cases = sum(each.get("cases", 0) for each in found)
    return sum(each.get("seconds", 0.0) for each in found) / cases if cases else None
