"""The first stage of a cascade at work: the lungs of a scan, or its infection, by one model or by an ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from pipeline.core.atomic import read_json
from pipeline.core.device import autocast
from pipeline.core.errors import InputError
from pipeline.inference.eight_bits import network_at_work
from pipeline.inference.ensemble import MEAN, Ensemble, configuration_of, network_of
from pipeline.scans.geometry import Geometry
from pipeline.scans.simpleitk import sitk
from pipeline.scans.small_parts import without_small_parts


class FirstStage:
    """A first stage: the lungs of a scan, or its infection, by one model or by an ensemble.

    Args:
        model_files: of a fold, or of several.
        method, weights: of an ensemble, see `pipeline.inference.ensemble.Ensemble`.
        configuration_file: of the inference; None for `inference.json` beside the first fold, as cross-validation
            leaves it.
        settings: that take the place of that configuration's own, such as those of a mode.
    """

    def __init__(
        self,
        model_files: str | Path | Sequence[str | Path],
        method: str = MEAN,
        weights: Sequence[float] | None = None,
        configuration_file: str | Path | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        files = [model_files] if isinstance(model_files, str | Path) else model_files
        self.model_files = [Path(file) for file in files]
        self.method, self.weights = method, weights
        self.configuration_file = configuration_file
        self.settings = dict(settings or {})

    @cached_property
    def parser(self) -> ConfigParser:
        configuration = Path(self.configuration_file or configuration_of(self.model_files[0]))
        if not configuration.is_file():
            raise InputError(f"{configuration}: there is no such file; the first stage's model belongs beside it.")
        parser = ConfigParser({**read_json(configuration), **self.settings})
        parser.parse()
        return parser

    @cached_property
    def network(self) -> Ensemble:
        networks = [network_of(file, self.configuration_file) for file in self.model_files]
        device, eight_bits = self.parser.get_parsed_content("device"), self.settings.get("eight_bits", False)
        ensemble = Ensemble(networks, self.method, self.weights).to(device).eval()
        network_at_work(ensemble, self.model_files, device, eight_bits)
        return ensemble

    def __call__(self, scan: sitk.Image, name: str, voters: Sequence[int] | None = None) -> sitk.Image:
        """Label image on the scan's grid: 1 in the lungs, infected or not, or in the infection.

        `voters` are those models, by their numbers, that are asked; all where none are named. Raises InputError naming
        `name`.
        """
        self.network.voters = range(len(self.model_files)) if voters is None else voters
        front, inferer, device, mixed, crop, restore = map(
            self.parser.get_parsed_content,
            ("front", "inferer", "device", "mixed_precision", "crop_to_lungs", "restore_volume"),
        )
        grid = front.grid(Geometry.of(scan))
        prepared = torch.from_numpy(front.image(scan, name))
        box = crop.box(prepared[0], grid.spacing_mm, name)
        seen = prepared[(slice(None), *box.slices)].contiguous()[None].to(device)
        with torch.inference_mode(), autocast(torch.device(device), mixed):
            logits = inferer(seen, self.network)[0].float().cpu()
        if restore:
            logits = restore.restore(logits, box, grid.size)
        probabilities = logits.softmax(0)
        # As where its own label files are written; null where the likeliest class wins
        if threshold := self.parser.get_parsed_content("apply_threshold", default=None):
            probabilities = threshold({"pred": probabilities})["pred"]
        # Not in configurations of before there was such a step
        smallest = self.parser.get_parsed_content("to_scanner::smallest_part", default=0.0)
        return front.probabilities_to_label(without_small_parts(probabilities, smallest), Geometry.of(scan))
