"""Finding the configuration files of a run, and refusing keys that nothing would read."""

from __future__ import annotations

import inspect
import os
import pydoc
import sys
from ast import literal_eval
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from monai.bundle import ConfigComponent, ConfigParser, run

from pipeline.core.errors import InputError
from pipeline.core.labels import travelling
from pipeline.core.nearest_name import did_you_mean
from pipeline.core.project import ROOT

BUNDLES = ROOT / "bundles"
COMMON = BUNDLES / "common"
RECIPES, PRESETS, STAGES = COMMON / "recipes", COMMON / "presets", COMMON / "stages"
MODES = COMMON / "modes"
# Instead of one of these: what the model's measurements say, see pipeline/inference/auto_mode.py
AUTO = "auto"
METADATA, LOGGING = COMMON / "metadata.json", COMMON / "logging.conf"
ENSEMBLE, CALIBRATED_MEAN = COMMON / "ensemble.yaml", COMMON / "calibrated_mean.yaml"
TRAIN, INFERENCE = "train", "inference"
# Arguments of `python -m monai.bundle run` that are no keys of the configuration
RUN_ARGUMENTS = frozenset(inspect.signature(run).parameters)


def networks() -> list[str]:
    """Names of the networks that have a bundle and need no extra, those excepted that are a part of a cascade alone."""
    every = {file.parents[1].name for file in BUNDLES.glob("*/configs/network.yaml")}
    return sorted(every - optional_networks().keys() - {*cascades()})


def optional_networks() -> dict[str, str]:
    """Names of the networks that have a bundle and need an extra of setup.cfg, and its name.

    They run where they are named; nothing that goes over all networks includes them.
    """
    definitions = {file.parents[1].name: load([file]) for file in sorted(BUNDLES.glob("*/configs/network.yaml"))}
    return {name: definition["extra"] for name, definition in definitions.items() if definition.get("extra")}


def presets() -> list[str]:
    return sorted(file.stem for file in PRESETS.glob("*.yaml"))


def mode_settings(mode: str, configuration: Mapping[str, Any]) -> dict[str, Any]:
    """What a mode of inference changes in a configuration; "" changes nothing.

    Raises InputError for an unknown mode, and for a configuration from before there were modes.
    """
    if not mode:
        return {}
    known = sorted([AUTO, *(file.stem for file in MODES.glob("*.yaml"))])
    if mode not in known:
        raise InputError(f"MODE is {mode!r}, expected one of: {', '.join(known)}{did_you_mean(mode, known)}.")
    settings = load([MODES / f"{mode}.yaml"])
    if missing := settings.keys() - configuration.keys():
        raise InputError(
            f"MODE is {mode}, but the model's configuration has no {sorted(missing)[0]}: it is from before there were "
            "modes; give MODE= to segment as it says."
        )
    return settings


def cascades() -> list[str]:
    """Names of the bundles that are cascades of other bundles' networks, or of one of these and one of their own."""
    return sorted(file.parents[1].name for file in BUNDLES.glob("*/configs/cascade.yaml"))


def recipes() -> list[str]:
    return sorted(file.stem for file in RECIPES.glob("*.yaml"))


def config_files(
    workflow: str, network: str, preset: str, stage: str = "", cascade: str = "", recipe: str | None = None
) -> list[Path]:
    """The layers of a run, later ones win: common, the paper's recipe, network, preset, the network's part of it.

    For a stage of a cascade then what sets that stage apart, and the cascade's part of the preset. `recipe` takes the
    place of the network's own.

    Raises InputError for an unknown network, preset or recipe, and for a key in a layer that no common file declares.
    """
    all_networks = sorted([*networks(), *optional_networks(), *([cascade] if cascade else [])])
    for kind, name, known in (("NETWORK", network, all_networks), ("PRESET", preset, presets())):
        if name not in known:
            all_known = sorted([*known, *(cascades() if kind == "NETWORK" else [])])
            hint = did_you_mean(name, all_known)
            raise InputError(f"{kind} is {name!r}, expected one of: {', '.join(all_known)}{hint}.")
    configs = BUNDLES / network / "configs"
    definition = configs / "network.yaml"
    own_recipe = load([definition]).get("recipe")
    shared = _recipe_files(own_recipe)
    if recipe not in (None, own_recipe):
        own_dims = load([COMMON / f"{TRAIN}.yaml", *shared, definition])["spatial_dims"]
        _check_recipe(recipe, network, own_dims)
        shared = _recipe_files(recipe)
    own = configs / f"{preset}.yaml"
    differences = [own] if own.exists() else []
    if stage:
        differences.append(STAGES / f"{stage}.yaml")
    cascades_own = BUNDLES / cascade / "configs" / f"{preset}.yaml"
    if cascade and cascades_own.exists():
        differences.append(cascades_own)
    files = [COMMON / f"{workflow}.yaml", *shared, definition, PRESETS / f"{preset}.yaml", *differences]
    # A layer serves both workflows, so it may set what either of them declares.
    declared = load([COMMON / f"{TRAIN}.yaml", COMMON / f"{INFERENCE}.yaml"])
    for layer in files[1:]:
        # As written: a layer may name parts of what an earlier one defines
        keys = [key.lstrip("+") for key in ConfigParser.load_config_file(str(layer))]
        check_keys(keys, declared, str(layer.relative_to(ROOT)))
        if layer is definition:
            declared = {**declared, **load([layer])}
    return files


def _recipe_files(recipe: str | None) -> list[Path]:
    return [RECIPES / f"{recipe}.yaml"] if recipe else []


def _check_recipe(recipe: str | None, network: str, own_dims: int) -> None:
    """Raise InputError for a recipe that there is not, and for one of slices with a network of volumes."""
    if recipe not in recipes():
        raise InputError(f"recipe is {recipe!r}, expected one of: {', '.join(recipes())}.")
    wanted = load([COMMON / f"{TRAIN}.yaml", *_recipe_files(recipe)])["spatial_dims"]
    if wanted != own_dims:
        raise InputError(
            f"recipe {recipe} is for {wanted}D networks, and NETWORK {network} is a {own_dims}D one; choose another."
        )


def load(files: Iterable[Path | str]) -> dict[str, Any]:
    """The files merged as MONAI merges them, nothing evaluated."""
    return deepcopy(_loaded(tuple((str(file), os.stat(file).st_mtime_ns) for file in files)))


@cache
def _loaded(files: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    """As `load`; the time of a file's last change tells that it has to be read again."""
    return ConfigParser.load_config_files([name for name, _ in files])


def merged(
    workflow: str,
    network: str,
    preset: str,
    overrides: Mapping[str, Any],
    own: Mapping[str, Any],
    stage: str = "",
    cascade: str = "",
) -> dict[str, Any]:
    """One configuration from all layers of `config_files`, then `overrides`, then `own`; nothing is evaluated.

    An override may be meant for the other workflow alone; InputError where neither declares its key. `recipe` among
    them changes a layer.
    """
    recipe = overrides.get("recipe")
    layers = {name: config_files(name, network, preset, stage, cascade, recipe) for name in (TRAIN, INFERENCE)}
    parser = ConfigParser(load(layers[workflow]))
    both = load([*layers[TRAIN], *layers[INFERENCE]])
    check_keys(overrides, both, "OVERRIDES")
    written = with_content({key.replace("#", "::"): value for key, value in overrides.items()})
    mine = {key: value for key, value in written.items() if key.split("::")[0] in parser}
    parser.update({**mine, **own})
    return in_regions(parser.get())


def in_regions(content: dict[str, Any]) -> dict[str, Any]:
    """A configuration whose `regions` is true gets its network within the module that nests them.

    Written down and not done where the network is used, so that whoever makes `network_def`, as exports, ensembles and
    other programs do, has the same network and the same names of its weights.
    """
    definition = content.get("network_def")
    if not content.get("regions") or not isinstance(definition, dict):
        return content
    within = content["regions_def"]
    if definition.get("_target_") == within["_target_"]:
        return content
    return {**content, "network_def": {**within, "network": definition}}


def parse_overrides(overrides: Mapping[str, Any] | str) -> Mapping[str, Any]:
    """Overrides from the text of a Python dictionary; raises InputError for any other text."""
    if not isinstance(overrides, str):
        return overrides
    try:
        parsed = literal_eval(overrides)
    except (SyntaxError, ValueError) as error:
        parsed = error
    if not isinstance(parsed, Mapping):
        raise InputError(f"OVERRIDES is {overrides}, expected a dictionary such as {{'max_epochs': 20}}.")
    return parsed


def with_content(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides in which a label map's file is what it holds, so that a run goes on without the file."""
    return {
        key: travelling(value) if key.split("::")[-1] == "label_map" and isinstance(value, str) else value
        for key, value in overrides.items()
    }


def check_keys(overrides: Iterable[str], declared: Mapping[str, Any], source: str) -> None:
    """Raise InputError for the first override whose key is not declared; MONAI would add it without a word.

    Nested keys are written `a::b::c`; a number counts in a list. A part with a `_target_` may also get any argument
    that its target takes. What a reference or an expression stands for is not known here: nothing below it is checked.
    """
    for key in overrides:
        here: Any = declared
        for part in key.replace("#", "::").split("::"):
            if here is None or (isinstance(here, str) and here.startswith(("@", "$", "%"))):
                break
            known = _parts(here)
            if part not in known:
                choices = f"known here: {', '.join(known)}" if known else "there is nothing below this value"
                raise InputError(
                    f"{source}: key {key!r} is not one that this configuration reads{did_you_mean(part, known)}; "
                    f"{choices}."
                )
            here = here.get(part) if isinstance(here, Mapping) else here[int(part)]


def _parts(value: Any) -> list[str]:
    """The keys that may follow a value's own: of a dictionary or component, places in a list, none for a scalar."""
    if isinstance(value, Mapping):
        return sorted({*map(str, value), *_target_arguments(value)})
    return [str(place) for place in range(len(value))] if isinstance(value, list) else []


def _target_arguments(component: Mapping[str, Any]) -> list[str]:
    """Names of the arguments that a component's `_target_` takes."""
    if not ConfigComponent.is_instantiable(component):
        return []
    target = ConfigComponent(config=dict(component)).resolve_module_name()
    found = pydoc.locate(target) if isinstance(target, str) else target
    return list(inspect.signature(found).parameters) if callable(found) else []


def check_command_line() -> None:
    """Check the overrides of the `python -m monai.bundle run` that this process is; does nothing in any other."""
    arguments = _command_line_arguments(sys.argv)
    if "config_file" not in arguments:
        return
    files = arguments.pop("config_file")
    # A plain path is no Python literal.
    with suppress(SyntaxError, ValueError):
        files = literal_eval(files)
    overrides = [key for key in arguments if key not in RUN_ARGUMENTS]
    check_keys(overrides, load([files] if isinstance(files, str) else files), "command line")


def _command_line_arguments(argv: Sequence[str]) -> dict[str, str]:
    """`--key value` and `--key=value` as fire reads them."""
    arguments = {}
    for place, word in enumerate(argv):
        if word.startswith("--"):
            key, _, value = word[2:].partition("=")
            arguments[key] = value or (argv[place + 1] if place + 1 < len(argv) else "")
    return arguments
