"""What MODEL of `make predict` names, opened: a trained fold, several as an ensemble, or an exported bundle."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from monai.bundle import ConfigParser

from pipeline.bundle_files.archive import bundle_sha256
from pipeline.bundle_files.bundle_source import CONFIG, is_bundle, opened
from pipeline.core.atomic import read_json, write_json
from pipeline.core.configuration import AUTO, INFERENCE, mode_settings
from pipeline.core.errors import InputError
from pipeline.core.labels import LabelMap, label_map
from pipeline.core.stages import result_label_map
from pipeline.core.temperature import Temperature
from pipeline.inference.auto_mode import EIGHT_BITS, WHOLE, Choice, chosen_mode, has_eight_bits
from pipeline.inference.eight_bits import check_device
from pipeline.inference.ensemble import VOTE
from pipeline.inference.evidence import Evidence, evidence_of, read_evidence
from pipeline.inference.first_use import is_ready, make_ready
from pipeline.inference.members import Member, ensemble_configuration, find_members, images_trained_on, sha256_of
from pipeline.inference.segmenter import Segmenter

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """A model that is ready to segment.

    Args:
        segmenter: runs it.
        facts: what a result is told to be from: sha256 of all that decides it, network, mode and so on.
        label_map: name of what the numbers in its label files mean.
        trained_on: SHA-256 of the images that it was trained on, as far as its folder tells.
        evidence: what its run's held-out patients tell of a new scan's result.
    """

    segmenter: Segmenter
    facts: dict[str, Any]
    label_map: str
    trained_on: frozenset[str] = frozenset()
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def labels(self) -> LabelMap:
        return label_map(self.label_map)


@contextmanager
def open_model(
    models: str | Path | Sequence[str | Path],
    *,
    method: str = VOTE,
    weights: Sequence[float] | None = None,
    mode: str = "",
    trusted: bool = False,
    device: str = "",
    make_eight_bits: bool = True,
) -> Iterator[Model]:
    """The model that somebody chose; InputError where MODEL, METHOD, WEIGHTS and MODE do not fit.

    A mode of 8 bits makes these first where they are not beside the model yet, which takes minutes; without
    `make_eight_bits` InputError says so. `device` is one of torch's, `cpu` or `cuda:1`; empty for what the model's
    configuration says.
    """
    on = {"device": f"$torch.device({device!r})"} if device else {}
    with ExitStack() as stack:
        if isinstance(models, str | Path) and is_bundle(models):
            sha256 = bundle_sha256(Path(models)) if Path(models).exists() else ""
            choice = _choice_for_bundle(mode)
            bundle = stack.enter_context(opened(Path(models), trusted))
            content = {**read_json(bundle / CONFIG), **on}
            changes = {**changes_of(choice.mode, content), **on}
            segmenter = Segmenter(bundle / CONFIG, **changes)
            trained_on, evidence = frozenset[str](), read_evidence(bundle)
            facts: dict[str, Any] = {"sha256": sha256, "bundle": bundle.name}
        else:
            members = find_members(models)
            trained_on, evidence = images_trained_on(members), evidence_of(members, method)
            combined = {} if len(members) == 1 else {"method": method, "weights": weights}
            facts = {"sha256": sha256_of(members, combined), "members": [member.name for member in members], **combined}
            choice = _choice(mode, members)
            configuration, content, own = _of_members(members, method, weights, evidence.temperatures, stack)
            changes = changes_of(choice.mode, {**content, **on}, members, make_eight_bits)
            segmenter = Segmenter(configuration, **own, **changes, **on)
        stack.callback(segmenter.close)
        first_stage = segmenter.evaluated("first_stage") if segmenter.setting("first_stage") else None
        if first_stage is not None:
            # It has a configuration of its own
            first_stage.settings |= on
        yield _model(segmenter, choice, trained_on, evidence, **facts)


def _of_members(
    members: Sequence[Member],
    method: str,
    weights: Sequence[float] | None,
    temperatures: Sequence[Temperature],
    stack: ExitStack,
) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """File and content of the configuration of one member or several, and what it needs to be given."""
    if len(members) == 1:
        (member,) = members
        return member.configuration, read_json(member.configuration), {"model_file": str(member.weights)}
    content = ensemble_configuration(members, method, weights, [one.temperature for one in temperatures])
    configuration = Path(stack.enter_context(TemporaryDirectory())) / f"{INFERENCE}.json"
    write_json(configuration, content)
    return configuration, content, {}


def changes_of(
    mode: str, content: Mapping[str, Any], members: Sequence[Member] = (), make_eight_bits: bool = True
) -> dict[str, Any]:
    """What a mode changes in the configuration of some members, whose 8 bits are there where it wants them."""
    if not has_eight_bits(mode):
        # Models from before there were 8 bits have all other modes
        return mode_settings(mode, {EIGHT_BITS: False, **content})
    changes = mode_settings(mode, content)
    parser = ConfigParser(dict(content))
    parser.parse()
    # Not only when the minutes of a calibration are spent
    check_device(parser.get_parsed_content("device"))
    if make_eight_bits:
        make_ready(members)
    elif missing := [file for member in members for file in member.weight_files if not is_ready(file)]:
        raise InputError(
            f"MODE is {mode}, and there are no 8 bits of these weights beside {missing[0]}; give make_eight_bits=True, "
            "which calibrates them once and takes minutes, or another mode."
        )
    return changes


def _choice(mode: str, members: Sequence[Member]) -> Choice:
    """The mode that was asked for, or that MODE=auto stands for, which the log then says."""
    if mode != AUTO:
        return Choice(mode)
    if len(members) > 1:
        choice = Choice(WHOLE, "modes are measured of single models, and these are several")
    else:
        content = read_json(members[0].configuration)
        choice = chosen_mode(members[0], label_map(result_label_map(content)))
    logger.info("MODE=%s is %s: %s", AUTO, *choice)
    return choice


def _choice_for_bundle(mode: str) -> Choice:
    if has_eight_bits(mode):
        raise InputError(
            f"MODE is {mode}, which is calibrated on a model's training scans, and MODEL is a bundle, which has none; "
            "give MODEL the fold that the bundle was made of, or use MODE=whole."
        )
    if mode != AUTO:
        return Choice(mode)
    choice = Choice(WHOLE, "a bundle has no measurements of modes beside it")
    logger.info("MODE=%s is %s: %s", AUTO, *choice)
    return choice


def _model(segmenter: Segmenter, choice: Choice, trained_on: frozenset[str], evidence: Evidence, **facts: Any) -> Model:
    settings = {name: segmenter.setting(name) for name in ("within_lungs", "label_map")}
    told = {"network": segmenter.setting("name"), "preset": segmenter.setting("preset"), "mode": choice.mode, **facts}
    if choice.why:
        told["chosen"] = f"by MODE={AUTO}: {choice.why}"
    return Model(segmenter, told, result_label_map(settings), trained_on, evidence)
