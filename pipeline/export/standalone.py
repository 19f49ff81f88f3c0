"""Does a bundle stand alone? Runs MONAI's checks on it in a process that sees nothing but the packages that it names.

python -I pipeline/export/standalone.py BUNDLE SCRATCH [SCHEMA]

prints a line of JSON for each finding. No import of this project: it must not see it.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

OWN = ("pneumobundle", "pipeline", "transforms", "evaluation")
FRAMEWORKS = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
# Largest difference of a program's output from eager's; the operations are the same ones
TOLERANCE = 1e-4
# An outcome, `ok` or `note`, and what there is to say; what fails is raised
Told = tuple[str, str]


class Guard(MetaPathFinder):
    """Finds all but packages of some names, as if those were not installed; to be Python's only finder.

    Not by raising: who asks for an optional package, as torch does for onnx, is told that there is none.
    """

    def __init__(self, refused: set[str], finders: list[Any]) -> None:
        self.refused = refused
        self.finders = finders

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname.partition(".")[0] in self.refused:
            return None
        found = (finder.find_spec(fullname, path, target) for finder in self.finders)
        return next((spec for spec in found if spec is not None), None)

    def find_distributions(self, *context: Any) -> Iterator[Any]:
        """For importlib.metadata, which asks Python's finders too."""
        for finder in self.finders:
            if hasattr(finder, "find_distributions"):
                yield from finder.find_distributions(*context)


def hide_packages(metadata: dict[str, Any]) -> int:
    """Hide from this process what metadata.json does not bring; gives how many packages that are."""
    refused = refused_packages(metadata)
    sys.meta_path[:] = [Guard(refused, list(sys.meta_path))]
    return len(refused)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def with_requirements(distributions: Iterable[str]) -> set[str]:
    """Names of distributions and of all that they require, however far."""
    found: set[str] = set()
    waiting = list(distributions)
    while waiting:
        name = normal(waiting.pop())
        if name in found:
            continue
        found.add(name)
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        waiting += [re.split(r"[^\w.-]", line)[0] for line in required if "extra ==" not in line]
    return found


def refused_packages(metadata: dict[str, Any]) -> set[str]:
    """First parts of the names of all importable packages that metadata.json does not bring."""
    allowed = with_requirements([*FRAMEWORKS, *metadata["required_packages_version"]])
    owners = importlib.metadata.packages_distributions()
    return {name for name, by in owners.items() if not allowed & {normal(one) for one in by}} | {*OWN}


def versions_differ(metadata: dict[str, Any]) -> list[str]:
    """What is installed here in another version than metadata.json names."""
    wanted = {name: metadata[key] for name, key in FRAMEWORKS.items()} | metadata["required_packages_version"]
    here = {name: importlib.metadata.version(name).partition("+")[0] for name in wanted}
    return [f"{name} {here[name]} instead of {wanted[name]}" for name in wanted if here[name] != wanted[name]]


def check_schema(bundle: Path, scratch: Path, schema: str | None) -> Told:
    from monai.bundle import verify_metadata

    if schema is None:
        return "note", "the schema file is not at hand, so that only this project's own checks of metadata.json ran"
    verify_metadata(meta_file=str(bundle / "configs" / "metadata.json"), filepath=schema)
    return "ok", ""


def check_network(bundle: Path, scratch: Path, schema: str | None) -> Told:
    from monai.bundle import verify_net_in_out

    configs = bundle / "configs"
    meta, config = str(configs / "metadata.json"), str(configs / "inference.json")
    verify_net_in_out(net_id="network_def", meta_file=meta, config_file=config, device="cpu")
    return "ok", ""


def check_export(bundle: Path, scratch: Path, schema: str | None) -> Told:
    from monai.bundle import ckpt_export

    configs, made = bundle / "configs", scratch / "made.ts"
    ckpt_export(
        net_id="network_def",
        filepath=str(made),
        ckpt_file=str(bundle / "models" / "model.pt"),
        meta_file=str(configs / "metadata.json"),
        config_file=str(configs / "inference.json"),
    )
    if not made.is_file():
        raise RuntimeError("ckpt_export wrote no file")
    return "ok", ""


def loaded_network(bundle: Path, workflow: str = "train") -> Any:
    from monai.bundle import load

    network: Any = load(name=bundle.name, bundle_dir=str(bundle.parent), workflow_type=workflow, device="cpu")
    return network.eval()


def check_load(bundle: Path, scratch: Path, schema: str | None) -> Told:
    import torch

    network = loaded_network(bundle)
    if not isinstance(network, torch.nn.Module):
        raise TypeError(f"monai.bundle.load gives {type(network).__name__}, expected a network")
    weights = torch.load(bundle / "models" / "model.pt", weights_only=True)
    unlike = [name for name, weight in network.state_dict().items() if not torch.equal(weight, weights[name])]
    if unlike:
        raise ValueError(f"monai.bundle.load gives a network with other weights in {unlike[0]}")
    return "ok", ""


def check_torchscript(bundle: Path, scratch: Path, schema: str | None) -> Told:
    import torch

    return check_program(bundle, "model.ts", torch.jit.load)


def check_exported(bundle: Path, scratch: Path, schema: str | None) -> Told:
    import torch

    return check_program(bundle, "model.pt2", lambda file: torch.export.load(file).module())


def check_program(bundle: Path, name: str, read: Callable[[Path], Any]) -> Told:
    """Does a program made of the network answer as the network does?"""
    import torch

    file = bundle / "models" / name
    if not file.is_file():
        return "note", f"there is no models/{name}{'; the Model Zoo has to be told so' if name == 'model.ts' else ''}"
    image = json.loads((bundle / "configs" / "metadata.json").read_text())["network_data_format"]["inputs"]["image"]
    torch.manual_seed(0)
    example = torch.rand(1, image["num_channels"], *image["spatial_shape"])
    with torch.inference_mode():
        difference = (read(file)(example) - loaded_network(bundle)(example)).abs().max().item()
    if not difference <= TOLERANCE:
        raise ValueError(f"{name} differs from model.pt by {difference:.1e}, at most {TOLERANCE} is allowed")
    return "ok", f"largest difference from eager {difference:.1e}, tolerance {TOLERANCE}"


def write_chests(folder: Path, infection: tuple[int, int] = (3, 3)) -> None:
    """Two tiny scans with both lungs and an infection of two codes, for what MONAI makes to see whether it is there."""
    import numpy as np
    import SimpleITK as sitk  # noqa: N813

    label = np.zeros((16, 32, 32), np.uint8)
    # Columns go towards the patient's left
    label[2:-2, 4:-4, 18:28], label[2:-2, 4:-4, 4:14] = 1, 2
    label[4:-4, 8:16, 20:26], label[4:-4, 10:14, 22:24] = infection
    scan = np.choose(label, [40, -850, -850, -200, -200, 20]).astype(np.int16)
    for number in range(2):
        # Much noise, as two patients whose scans agree would be taken for one
        noise = np.random.default_rng(number).normal(0, 250, label.shape).astype(np.int16)
        for kind, voxels in (("images", scan + noise), ("labels", label)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            image = sitk.GetImageFromArray(voxels)
            image.SetSpacing((6.0, 6.0, 10.0))
            sitk.WriteImage(image, str(folder / kind / f"case_{number}.nii.gz"))


def check_properties(bundle: Path, scratch: Path, schema: str | None) -> Told:
    from monai.bundle import create_workflow

    found = json.loads((bundle / "configs" / "metadata.json").read_text())["pred_classes"]
    # Ground-glass opacity and consolidation, where the bundle learns to tell them apart
    write_chests(scratch / "data", (4, 5) if "consolidation" in found else (3, 3))
    # Two patients make two folds
    places: dict[str, Any] = {"folds": 2, "dataset_dir": str(scratch / "data"), "output_dir": str(scratch / "out")}
    for name, kind in (("train", "train"), ("inference", "infer")):
        file = bundle / "configs" / f"{name}.json"
        if name == "train" and not file.is_file():
            continue
        workflow = create_workflow(config_file=str(file), workflow_type=kind, logging_file=False, **places)
        if missing := workflow.check_properties():
            raise ValueError(f"{name}.json has not the properties {', '.join(missing)}")
    return "ok", ""


def check_segmentation(bundle: Path, scratch: Path, schema: str | None) -> Told:
    from monai.bundle import create_workflow

    write_chests(scratch / "data")
    scan, labels = scratch / "data" / "images" / "case_0.nii.gz", scratch / "labels"
    workflow = create_workflow(
        config_file=str(bundle / "configs" / "inference.json"),
        workflow_type="infer",
        logging_file=False,
        dataset_dir=str(scan),
        output_dir=str(labels),
    )
    workflow.run()
    workflow.finalize()
    # An ensemble's map of disagreement is in a folder there
    if [file.name for file in labels.iterdir() if file.is_file()] != [scan.name]:
        raise RuntimeError(f"inference.json wrote no {scan.name} for a scan of that name")
    return "ok", ""


CHECKS = {
    "verify_metadata": check_schema,
    "verify_net_in_out": check_network,
    "ckpt_export": check_export,
    "monai.bundle.load": check_load,
    "TorchScript": check_torchscript,
    "torch.export": check_exported,
    "check_properties": check_properties,
    "inference of a scan": check_segmentation,
}


def tell(outcome: str, what: str, detail: str = "") -> None:
    print(json.dumps({"outcome": outcome, "what": what, "detail": detail}), flush=True)


def main() -> None:
    # A bundle stays as it was exported
    sys.dont_write_bytecode = True
    bundle, scratch = (Path(argument).resolve() for argument in sys.argv[1:3])
    schema = sys.argv[3] if len(sys.argv) > 3 else None
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    if different := versions_differ(metadata):
        tell("note", "versions", f"checked with {', '.join(different)}")
    tell("ok", "import guard", f"hides {hide_packages(metadata)} packages here that metadata.json does not bring")
    # Elsewhere than the bundle: what it needs it has to find by itself
    os.chdir(scratch)
    sys.argv[1:] = []
    warnings.simplefilter("ignore")
    for what, check in CHECKS.items():
        try:
            outcome, detail = check(bundle, scratch, schema)
            tell(outcome, what, detail)
        except Exception as error:
            tell("FAIL", what, cause(error))


def cause(error: BaseException) -> str:
    """The innermost reason in a line: MONAI wraps what a configuration raises."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(traceback.format_exception_only(error)[-1].split())[:300]


if __name__ == "__main__":
    main()
