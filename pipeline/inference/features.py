"""Show what a network makes of a scan, block by block: a picture of each block's feature maps, and a page of them.

pneumobundle features --network amc_net --input scan.nii.gz
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.bundle import ConfigParser

from evaluation.report.feature_page import BlockPicture, FeatureViews, Found, write_views
from pipeline.check_data.scan_gate import refuse_scan
from pipeline.core.atomic import read_json
from pipeline.core.configuration import INFERENCE, merged
from pipeline.core.device import autocast
from pipeline.core.errors import InputError
from pipeline.core.labels import LabelMap
from pipeline.core.progress_bar import working
from pipeline.core.stages import stages_of
from pipeline.folders.output_folder import claim_output
from pipeline.folders.scan_list import scans
from pipeline.inference.feature_maps import BlockMaps
from pipeline.inference.members import find_members
from pipeline.scans.scan import read_geometry
from pipeline.training.checkpoint import MODEL, load_weights
from transforms.infection_threshold import InfectionThresholdd

UNTRAINED = "Initial weights: the network has learned nothing; its maps are those before any training."

# Of a model's path, cv/fold0/model.pt: the folders above are nobody's business
TOLD_PARTS = 3


class Model(NamedTuple):
    """A network's inference configuration, and the file of its weights; None for its initial ones."""

    parser: ConfigParser
    weights: Path | None

    def setting(self, key: str) -> Any:
        return self.parser.get_parsed_content(key)

    def network(self) -> torch.nn.Module:
        """For inference, on its device."""
        torch.manual_seed(0)
        network: torch.nn.Module = self.setting("network")
        return (network if self.weights is None else load_weights(network, self.weights)).eval()

    def infer(self, network: Any, image: torch.Tensor) -> Sequence[torch.Tensor]:
        """What a network that gives one output, or several, makes of a prepared scan (C, H, W, D), windows joined."""
        device = torch.device(self.setting("device"))
        with torch.inference_mode(), autocast(device, self.setting("mixed_precision")):
            outputs = self.setting("inferer")(image[None].to(device), network)
        return [outputs] if isinstance(outputs, torch.Tensor) else outputs


def trained(model: str | Path) -> Model:
    """The model that MODEL names, as for `make predict`; InputError where there is none."""
    member, *others = find_members(model)
    if others:
        raise InputError(f"MODEL is {model}, {1 + len(others)} models; give one of them: {member.weights.parent}.")
    return Model(parsed({**read_json(member.configuration), "model_file": str(member.weights)}), member.weights)


def untrained(network: str, preset: str) -> Model:
    """A network with its initial weights; InputError for a cascade, whose second network needs what the first finds."""
    stages = stages_of(network)
    if len(stages) > 1:
        # One of the cascade's own is none without it
        names = ", ".join(dict.fromkeys(stage.network for stage in stages if stage.network != stage.cascade))
        raise InputError(
            f"NETWORK is {network}, a cascade of which no fold is trained, and its second network needs what the "
            f"first one finds; train it with make cv, or choose a network of it: {names}."
        )
    return Model(parsed(merged(INFERENCE, network, preset, {}, {})), None)


def parsed(configuration: Mapping[str, Any]) -> ConfigParser:
    """A parser of a merged configuration, nothing of which is made yet."""
    parser = ConfigParser(dict(configuration))
    parser.parse()
    return parser


@working("computing the maps")
def feature_views(model: Model, case: Mapping[str, str]) -> FeatureViews:
    """What each block of a network makes of one slice of a scan, an entry of `pipeline.folders.scan_list.scans`.

    It is the slice with the most predicted infection; without any, or any such class, with most of all structures; of
    an untrained network the middle one. A 3D network sees windows about it, as deep as its patches.
    """
    network = model.network()
    image = model.setting("preprocessing")(dict(case))["image"]
    depth = image.shape[-1]
    place, found = depth // 2, None
    if model.weights is not None:
        place, found = _most_infected(model, network, image)
    maps = BlockMaps(network)
    part = slab(depth, place, 1 if model.setting("spatial_dims") == 2 else model.setting("patch_size")[2])
    _, *means = model.infer(maps, image[..., part])
    if not means:
        raise InputError(f"NETWORK is {model.setting('name')}: no block of it gives feature maps; choose another one.")
    return FeatureViews(
        network=model.setting("name"),
        case=case["case"],
        remarks=remarks(model),
        number=place + 1,
        of=depth,
        pixel_mm=model.setting("front").grid(read_geometry(case["image"])).spacing_mm[:2],
        image=image[0, ..., place].numpy(),
        found=found,
        blocks=[
            BlockPicture(name, shape, mean[0, 0, ..., place - part.start].cpu().numpy())
            for (name, shape), mean in zip(maps.shapes.items(), means, strict=True)
        ],
    )


def remarks(model: Model) -> list[str]:
    """Whose weights they are, and what the network does not see."""
    told = [UNTRAINED]
    if model.weights is not None:
        told = [f"Weights: {'/'.join(model.weights.parts[-TOLD_PARTS:])}"]
    if model.setting("within_lungs"):
        told.append("The second network of a cascade: all that its first one found to be no lung is air to it.")
    if model.parser.get("guided", False):
        told.append("The second network of a cascade: the infection that its first one found is another channel of it.")
    return told


def _most_infected(model: Model, network: torch.nn.Module, image: torch.Tensor) -> tuple[int, Found]:
    """The slice with the most predicted infection, and what was found in it."""
    classes: LabelMap = model.setting("classes")
    threshold = InfectionThresholdd("pred", classes, model.setting("infection_threshold"))
    probabilities = model.infer(network, image)[0].softmax(1)[0]
    labels = threshold({"pred": probabilities})["pred"].argmax(0).cpu().numpy().astype(np.uint8)
    # A network of lungs alone has no infection to show
    shown = threshold.channels or list(range(1, len(classes.classes)))
    place = fullest_slice(labels, shown)
    likely = probabilities[shown, ..., place].sum(0).cpu().numpy()
    return place, Found(labels[..., place], likely, tuple(classes.classes), tuple(shown))


def fullest_slice(labels: np.ndarray, classes: Sequence[int]) -> int:
    """The slice of class numbers (H, W, D) with the most pixels of some classes; else of any; else the middle one."""
    for counted in (np.isin(labels, classes), labels > 0):
        pixels = counted.sum((0, 1))
        if pixels.any():
            return int(pixels.argmax())
    return labels.shape[-1] // 2


def slab(depth: int, place: int, thickness: int) -> slice:
    """At most `thickness` of `depth` slices, with `place` in their middle as far as the ends allow."""
    first = max(min(place - thickness // 2, depth - thickness), 0)
    return slice(first, min(first + thickness, depth))


def chosen_model(network: str, model: Path | None, usual: Path, preset: str) -> Model:
    """What was asked for; else the network's usual fold, where that is trained; else the network untrained."""
    if model is not None:
        return trained(model)
    has_weights = any(usual.parent.glob(f"**/{usual.name}/{MODEL}"))
    return trained(usual) if has_weights else untrained(network, preset)


def write_features(
    network: str, model: Path | None, preset: str, source: str | Path, output: Path | None = None
) -> str:
    """Write the page and pictures of the first scan of an input; what to tell.

    `model` is the folder of a trained fold, None for the network's usual one, or for initial weights of a preset where
    there is none. `output` is `features` beside the model, or in runs/<network>, where it is None.
    """
    home = Path("runs") / network.replace(">", "-")
    case, *others = scans(source)
    refuse_scan(Path(case["image"]), case["case"])
    chosen = chosen_model(network, model, home / "cv" / "fold0", preset)
    told = []
    if others:
        told.append(f"{source} holds {1 + len(others)} scans: {case['case']} is shown; INPUT=file chooses another.")
    if chosen.weights is None:
        told.append(UNTRAINED)
    folder = output or (model.parent if model else home) / "features"
    claim_output(folder, source)
    page, *pictures = write_views(feature_views(chosen, case), folder)
    told.append(f"{page}: {page.stat().st_size / 1e6:.1f} MB; {len(pictures)} pictures beside it")
    return "\n".join(told)
