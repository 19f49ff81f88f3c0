"""Everything that a user may say to a command: one table, for help, completion and `make`.

An option `--data-license FILE` is the variable `DATA_LICENSE=file` of the Makefile. Any Python reads this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pipeline.core.project import ROOT

BUNDLES = ROOT / "bundles"
COMMON = BUNDLES / "common"

TEXT, PATH, NUMBER, FLAG, DICTIONARY = "TEXT", "PATH", "NUMBER", "FLAG", "DICTIONARY"
# How the options of a command's help are grouped
WHAT, HOW, WHERE, SHARED, TOLD = "What", "How", "Where it runs", "Of a bundle", "What is told"


@dataclass(frozen=True)
class Option:
    """What may be said.

    Args:
        name: of the option, without dashes.
        meaning: one line, with units; of a FLAG what it does where it is given.
        default: where nothing is said; a FLAG that is on by default is given as `--no-<name>`.
        group: one of WHAT to TOLD.
        kind: one of TEXT to DICTIONARY.
        known: what completes it, and what else is refused; several names in one text are each one of them.
        open_ended: whether `known` are examples, beside which anything may be said.
        rule: the default in words, where it is not the value of `default`.
        hidden: for other processes of this program.
        several: whether it takes several words, which then are one text, quoted as a shell would.
    """

    name: str
    meaning: str
    default: Any = None
    group: str = WHAT
    kind: str = TEXT
    known: Callable[[], list[str]] | None = None
    open_ended: bool = False
    rule: str = ""
    hidden: bool = False
    several: bool = False

    @property
    def variable(self) -> str:
        """What it is called in the Makefile."""
        return self.name.replace("-", "_").upper()

    @property
    def key(self) -> str:
        return self.name.replace("-", "_")

    @property
    def told_default(self) -> str:
        """The default in words; empty where there is none."""
        if self.rule or self.default is None:
            return self.rule
        return str(int(self.default)) if isinstance(self.default, bool) else str(self.default)


def of_command(word: str) -> Option:
    """An option of the table: by its name, `network`, or by its name and the rule of its default, `out=predictions`."""
    name, _, rule = word.partition("=")
    return replace(OPTIONS[name], default=None, rule=rule) if rule else OPTIONS[name]


def _stems(folder: str) -> Callable[[], list[str]]:
    return lambda: sorted(file.stem for file in (COMMON / folder).glob("*.yaml"))


def networks() -> list[str]:
    """Those that have a bundle, and cascades of two of them."""
    kinds = ("network", "cascade")
    return sorted({file.parents[1].name for kind in kinds for file in BUNDLES.glob(f"*/configs/{kind}.yaml")})


def modes() -> list[str]:
    return sorted(["auto", *_stems("modes")()])


def papers() -> list[str]:
    return sorted({*_stems("experiments")(), *_stems("ablations")()})


def _one_of(*names: str) -> Callable[[], list[str]]:
    return lambda: list(names)


OPTIONS = {
    option.name: option
    for option in (
        Option(
            "data",
            'folder of scans and labels, in a layout of docs/data.md; or several, "one another", as one data set',
            rule="the synthetic chests",
            kind=PATH,
            several=True,
        ),
        Option("input", "scan, DICOM folder or zip file, or a folder of these", rule="data/phantom/images", kind=PATH),
        Option(
            "model",
            "folder of a trained fold, or a bundle; several, or a folder of folds, are an ensemble",
            rule="runs/<network>/cv/fold0",
            kind=PATH,
        ),
        Option("models", "folder that gets the starter model", "models", kind=PATH),
        Option("settings", "YAML file of a node: its title, its peers, its limits; docs/node.md", kind=PATH),
        Option("run", "folder of a run", rule="runs/<network>/cv", kind=PATH),
        Option(
            "test",
            "labelled scans of other patients, as DATA (without DATA: more synthetic chests)",
            rule="none",
            kind=PATH,
            several=True,
        ),
        Option("unlabeled", "folder of scans without labels (without DATA: synthetic ones)", rule="none", kind=PATH),
        Option(
            "supervised",
            "supervised run on the same folds; trained first where there is none alike",
            rule="runs/<network>/cv",
            kind=PATH,
        ),
        Option("repair", "new folder, which gets a mended copy where that is safe", rule="none", kind=PATH),
        Option("bundle", "folder of an exported bundle", rule="needed", kind=PATH),
        Option("zoo", "folder of a clone of the Model Zoo", rule="needed", kind=PATH),
        Option("schema", "meta_schema_20240725.json, which you have downloaded", rule="none", kind=PATH),
        Option("labels", "label files: one, then those of other models", rule="needed", kind=PATH),
        Option("scan", "the scan that was segmented", rule="none", kind=PATH),
        Option("folder", "where the synthetic chests are written", "data/phantom", kind=PATH),
        Option("metrics", "metrics.csv of an evaluation", rule="needed", kind=PATH),
        Option(
            "network",
            "network or cascade; docs/networks.md lists them",
            rule="unet_3d; pneumo_net of DATA",
            known=networks,
        ),
        Option("networks", 'names with spaces between: "anam_net unet_3d"', rule="none", known=networks),
        Option(
            "cascade",
            'two networks, "unet_3d>anam_net": the first finds the lungs, the second the infection',
            rule="none",
        ),
        Option(
            "lungs",
            "what a second stage is trained with: reference, or predicted by the first",
            "reference",
            HOW,
            known=_one_of("reference", "predicted"),
        ),
        Option("folds", "parts that the patients are split into", 5, HOW, NUMBER),
        Option("fold", "number of one fold, from 0", -1, HOW, NUMBER, rule="all"),
        Option(
            "split",
            "patients, lopo (one patient a fold), published (of the public 20 CTs), or a JSON file",
            "patients",
            HOW,
            known=_one_of("patients", "lopo", "published"),
            open_ended=True,
        ),
        Option("seed", "whole number that decides all that is drawn", 0, HOW, NUMBER),
        Option(
            "preset",
            "how large and long: demo, quick or paper; docs/training.md",
            rule="demo, paper with DATA",
            group=HOW,
            known=_stems("presets"),
        ),
        Option("k", "slices (3D: scans) that a round draws", group=HOW, kind=NUMBER, rule="by preset"),
        Option("rounds", "rounds at most; 0 until all is drawn", group=HOW, kind=NUMBER, rule="by preset"),
        Option("method", "of an ensemble: vote or mean", "vote", HOW, known=_one_of("vote", "mean")),
        Option("weights", 'of METHOD=mean, a number a member: "2 1"', "", HOW, rule="equal"),
        Option(
            "mode",
            "exact, whole, windows, fast; int8, int8-windows, int8-fast; or auto; docs/segmenting.md",
            "",
            HOW,
            known=modes,
            rule="the model's own",
        ),
        Option("modes", "of MODE, compared with exact", "whole int8 int8-windows int8-fast", HOW, known=modes),
        Option("series", "UID of a DICOM series, UID:2 for its second stack", "", HOW, rule="the largest axial CT"),
        Option("pages", "writes no page of each scan", True, HOW, FLAG),
        Option("probabilities", "writes the infection's probability too, calibrated where MODEL can", False, HOW, FLAG),
        Option("rtstruct", "of DICOM, writes an RT structure set for planning systems too", False, HOW, FLAG),
        Option("trust", "runs what a bundle holds that this project does not have itself", False, HOW, FLAG),
        Option("anyway", "segments what is implausible; results say so", False, HOW, FLAG),
        Option("members", "what single members change: \"{3: {'learning_rate': 0.002}}\"", "{}", HOW, DICTIONARY),
        Option(
            "leaky",
            "adds the scores of models on patients that they were trained on, named as leaking",
            False,
            HOW,
            FLAG,
        ),
        Option("overrides", "keys of the YAML files to change: \"{'max_epochs': 20}\"", "{}", HOW, DICTIONARY),
        Option("against", "network that all others are tested against; choose before looking", "", HOW, rule="none"),
        Option(
            "structure", "structure that is tested alone, such as infection; choose before looking", "", HOW, rule="all"
        ),
        Option(
            "predictions",
            "folder of label files that another program or person made, named as the scans; or several",
            kind=PATH,
            several=True,
        ),
        Option(
            "with",
            'label files of others that are compared too, by name: "nnunet=folder reader2=folder"; docs/ensembles.md',
            rule="none",
        ),
        Option(
            "codes",
            'what their numbers mean: "1:right_lung 2:left_lung"; left_lung, right_lung, lungs, infection, background',
            "",
            rule="recognised",
        ),
        Option("name", "of what made them, for tables and pages", rule="the folder's"),
        Option("metric", "what is compared: a column of metrics.csv; severity: whether intervals held", "dice", HOW),
        Option("failed-below", "Dice coefficient below which a case has failed", 0.6, HOW),
        Option("paper", "whose experiment or ablation", "anam_net", known=papers),
        Option("exp", "number of the paper's experiment, where it has several", 0, kind=NUMBER, rule="by paper"),
        Option(
            "format",
            "formats to write",
            "onnx onnx-int8 torchscript",
            HOW,
            known=_one_of("onnx", "onnx-int8", "torchscript"),
        ),
        Option(
            "preparation",
            "of the slices: paper or window",
            "",
            HOW,
            rule="the paper's",
            known=_one_of("paper", "window"),
        ),
        Option("by-patient", "splits patients where the paper split slices", False, HOW, FLAG),
        Option("ensemble", "exports all finished folds as one network that votes", False, HOW, FLAG),
        Option("patients", "how many synthetic chests", 10, HOW, NUMBER),
        Option("first", "number of the first one", 1, HOW, NUMBER),
        Option("unlabelled", "writes scans alone, under other names; give another SEED", False, HOW, FLAG),
        Option("cases", "how many scans can be looked at in the report, 0 for none", 10, HOW, NUMBER),
        Option("public", "publishes for everybody, not for the owner alone", False, HOW, FLAG),
        Option(
            "jobs", "folds trained side by side; 0 for one a core", None, WHERE, NUMBER, rule="1; demo 0; lopo, quick 2"
        ),
        Option(
            "device",
            "cpu, cuda, cuda:1 or mps",
            "",
            WHERE,
            known=_one_of("auto", "cpu", "cuda", "mps"),
            open_ended=True,
            rule="a GPU where there is one",
        ),
        Option("gpus", "GPUs that train a fold together; divides the batch size", 1, WHERE, NUMBER),
        Option("shards", "array tasks that share the scans, with LAUNCH=slurm", 1, WHERE, NUMBER),
        Option("launch", "local, or slurm for jobs of a cluster", "local", WHERE, known=_one_of("local", "slurm")),
        Option("partition", "partition of the jobs", "", WHERE, rule="the cluster's"),
        Option("account", "account of the jobs", "", WHERE, rule="the cluster's"),
        Option("gres", "generic resources of a training, such as gpu:1", "", WHERE, rule="none"),
        Option(
            "time",
            "limit of a job, hours:minutes:seconds; before it a training saves and requeues",
            "",
            WHERE,
            rule="24:00:00",
        ),
        Option("cpus", "cores of a job", "", WHERE, rule="4"),
        Option("mem", "memory of a job", "", WHERE, rule="16G"),
        Option("extra", 'more options of sbatch: "--qos=high"', "", WHERE, rule="none"),
        Option(
            "cluster",
            "file of what differs at your site from bundles/common/cluster.yaml",
            "",
            WHERE,
            PATH,
            rule="cluster.yaml",
        ),
        Option(
            "container",
            "image that the jobs run in, such as pneumobundle.sif; docs/containers.md",
            "",
            WHERE,
            PATH,
            rule="none",
        ),
        Option("dry", "writes the sbatch files and submits nothing", False, WHERE, FLAG),
        Option("missing", "reports where folds have failed too, and names them (cv alone)", False, WHERE, FLAG),
        Option("url", "address of the folder that files over 25 MB can be had from", "", SHARED, rule="none"),
        Option("version", "of the bundle", "", SHARED, rule="0.1.0"),
        Option("changes", "line of the changelog for VERSION", "", SHARED, rule="none"),
        Option("data-license", "text file with the terms of the data", None, SHARED, PATH, rule="none"),
        Option("repo", "name on the Hugging Face hub, user/name", rule="needed"),
        Option("shard", "one of very many: leaves results.csv to the last job", False, WHERE, FLAG, hidden=True),
        Option("out", "folder for the results", kind=PATH),
        # Of the Makefile alone
        Option("goals", "some of: inference preparation training slices growth neighbours", rule="all"),
        Option(
            "keep",
            "puts the table into benchmarks/README.md, in place of that of the same kind of processor",
            False,
            HOW,
            FLAG,
        ),
        Option("count", "damaged files of each kind", 2000, HOW, NUMBER),
        Option("torch", 'pip requirement of another build: "torch==2.13.0 --index-url URL"', rule="constraints.txt's"),
        Option("python", "Python 3.10 or newer that .venv is made with; a torch that it has is kept", rule="python3"),
        Option("target", "target whose variables are told", rule="all of them"),
    )
}
# Of every command, and of none of the Makefile's targets
ALWAYS = (
    Option("quiet", "warnings, errors and results alone", False, TOLD, FLAG),
    Option("verbose", "what is of use to find a mistake, too", False, TOLD, FLAG),
    Option("log", "file that all is appended to, with date and level", None, TOLD, PATH),
    Option("json", "a line of JSON for each event, for programs", False, TOLD, FLAG),
)
