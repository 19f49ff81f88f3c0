"""Every command: one table, for `pneumobundle --help` and for the Makefile, whose targets have the same names.

Any Python reads this: what a command runs is named, and loaded when it runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from pneumobundle.options import Option, of_command

GROUPS = {
    "daily": "Daily",
    "data": "Data",
    "training": "Training",
    "several": "Several models, and papers",
    "cost": "Costs, and a look inside",
    "sharing": "Sharing a model",
    "project": "The project",
}
_CLUSTER = "device launch partition account gres time cpus mem extra cluster container dry missing"
_NETWORK = "network cascade"


@dataclass(frozen=True)
class Command:
    """What can be done.

    Args:
        name: of the command; of the Makefile's target too, unless `target` is given.
        group: one of GROUPS.
        what: one line.
        options: names of OPTIONS in the order of the help, each as `of_command` takes it.
        runs: `module.function` of `pneumobundle.run`; empty for what only the Makefile does.
        examples: what follows `pneumobundle` on the command line, with what it does.
        words: the option that words without a name are for, one or several.
        target: name of the Makefile's target; "-" for none.
        hidden: for other processes of this program.
        notes: sentences for its help, of what no option alone tells.
        only_segments: whether its process segments and does nothing else, so that it needs less of MONAI.
    """

    name: str
    group: str
    what: str
    options: str = ""
    runs: str = ""
    examples: tuple[tuple[str, str], ...] = ()
    words: str = ""
    target: str = ""
    hidden: bool = False
    notes: str = ""
    only_segments: bool = False

    @property
    def in_make(self) -> str:
        """Its target; empty for none."""
        return "" if self.target == "-" else self.target or self.name

    @property
    def every_option(self) -> list[Option]:
        return [of_command(word) for word in self.options.split()]

    @property
    def needed(self) -> set[str]:
        """Names of the options that have to be given."""
        return {option.name for option in self.every_option if option.rule == "needed"}


COMMANDS = (
    Command(
        "cv",
        "daily",
        "cross-validate a network: train, segment, evaluate, report",
        f"{_NETWORK} lungs data preset overrides folds fold split seed out=runs/<network>/cv jobs gpus {_CLUSTER}",
        "training.cross_validate",
        (
            ("cv --folds 5", "five trainings on synthetic chests"),
            ("cv --data scans --network anam_net --preset quick", "your own scans, in under an hour on two cores"),
        ),
    ),
    Command(
        "predict",
        "daily",
        "segment scans with a trained model, with several, or with a bundle",
        "input out=predictions model=starter network=none cascade mode method weights series pages probabilities "
        f"rtstruct anyway trust shards {_CLUSTER} shard",
        "segmenting.predict",
        (
            ("predict scan.nii.gz --out labels", "one scan, by the starter model"),
            (
                "predict archive --out labels --model bundle.zip --no-pages --launch slurm --shards 8",
                "an archive, by a model that is named, on a cluster",
            ),
        ),
        words="input",
        notes="Without MODEL it is the first fold of the NETWORK or CASCADE that is named, runs/<network>/cv/fold0, "
        "and the starter model that comes with the program where none is: research only, not a medical device; its "
        "weights are CC BY-NC-SA 4.0, the code is Apache-2.0.",
        only_segments=True,
    ),
    Command(
        "serve",
        "sharing",
        "be a DICOM node: gets CT series by C-STORE or STOW-RS, sends segmentations and reports back",
        "settings=needed out=runs/node model=starter network=none cascade mode method weights pages trust device",
        "serving.serve",
        (
            ("serve node.yaml", "as docs/node.md says, with the starter model"),
            ("serve node.yaml --model bundle.zip --out /var/lib/node --no-pages", "by a model that is named"),
        ),
        words="settings",
        target="node",
        notes="It listens on this machine alone unless SETTINGS say otherwise, and takes what the peers that they name "
        "send. For research only, not a medical device.",
        only_segments=True,
    ),
    Command(
        "check",
        "daily",
        "read every file of a data set, say what is wrong with which, write a data card",
        "data repair out=runs/check-data/<data>",
        "data.check",
        (
            ("check scans", "says what is wrong, and writes a page of all"),
            ("check scans --repair mended", "a copy in which the safe part is mended"),
        ),
        words="data",
        target="check-data",
    ),
    Command(
        "compare",
        "daily",
        "cross-validate several networks on the same folds, and compare them",
        f"networks=needed with against structure data preset overrides folds split seed out=runs jobs gpus {_CLUSTER}",
        "training.compare",
        (
            ("compare anam_net unet_3d", "on synthetic chests"),
            ("compare anam_net unet_3d --data scans --against unet_3d --structure infection", "a question asked first"),
        ),
        words="networks",
    ),
    Command(
        "report",
        "daily",
        "write a cross-validation's report again",
        f"run=OUT out {_NETWORK} cases",
        "looking.report",
        (
            ("report runs/unet_3d/cv", "report.html in that folder"),
            ("report --network anam_net", "of the network's usual run"),
        ),
        words="run",
    ),
    Command(
        "status",
        "daily",
        "what of a run is queued, running, done, failed and why",
        f"run=OUT out {_NETWORK}",
        "training.status",
        (("status runs/unet_3d/cv", "of one run"), ("status --network anam_net", "of the network's usual run")),
        words="run",
    ),
    Command(
        "bundle",
        "daily",
        "export a trained network as a bundle of the Model Zoo",
        f"{_NETWORK} run fold=first ensemble method=run's weights out=build/bundles url version changes data-license "
        "preset=paper overrides",
        "sharing.bundle",
        (
            ("bundle --network unet_3d", "the first trained fold of its usual run"),
            ("bundle --network amc_net --run runs/amc_net/lopo --ensemble", "all folds, as one network that votes"),
        ),
    ),
    Command("help", "daily", "print this list: make help [TARGET=cv]", "target"),
    Command("setup", "daily", "make .venv and install the project with its development tools", "python torch"),
    Command("test", "daily", "run the tests, slow ones excepted"),
    Command(
        "phantom",
        "data",
        "write the built-in synthetic chest CTs",
        "folder patients seed first unlabelled",
        "data.phantom",
        (
            ("phantom", "ten chests in data/phantom"),
            ("phantom data/phantom_test --first 11", "ten other patients"),
        ),
        words="folder",
        target="data",
    ),
    Command(
        "fetch",
        "data",
        "download the public 20 COVID-19 CTs (Zenodo 3757476, 1 GB)",
        "out=data/covid20",
        "data.fetch",
        (("fetch", "to data/covid20"), ("fetch --out ct20", "elsewhere")),
        target="fetch-data",
    ),
    Command(
        "scans",
        "data",
        "list what predict would segment, and the series of DICOM studies",
        "input=needed",
        "data.list_scans",
        (("scans archive", "a line a scan"), ("scans dicom.zip", "its series with their UIDs, for SERIES")),
        words="input",
        target="-",
    ),
    Command(
        "datalist",
        "data",
        "check labelled scans, and list them in a JSON file, as a run does",
        "data=needed out=needed",
        "data.datalist",
        (
            ("datalist scans --out scans.json", "of a folder"),
            ("datalist scans --out runs/unet_3d/cv/datalist.json", "where that of a run was lost"),
        ),
        words="data",
        target="-",
    ),
    Command(
        "cache",
        "training",
        "prepare every scan of a cross-validation for training elsewhere",
        f"{_NETWORK} lungs data preset overrides folds split seed out=runs/<network>/cv",
        "training.fill_cache",
        (
            ("cache --data scans", "what cv with these options would prepare"),
            ("cache --data scans --network anam_net --preset quick", "likewise, of another network"),
        ),
    ),
    Command(
        "starter",
        "training",
        "make the starter model again: cross-validate its recipe, train on all scans, write models/",
        "data=needed network=recipe's preset=recipe's folds=recipe's overrides seed out=runs/starter models jobs "
        "device",
        "training.starter",
        (
            ("starter --data scans", "as bundles/common/starter.yaml says"),
            ("starter --data scans --models elsewhere --network unet_3d", "another network, into another folder"),
        ),
    ),
    Command(
        "semi",
        "training",
        "train on unlabelled scans too, and compare with the supervised network",
        "network cascade data unlabeled k rounds supervised preset overrides folds fold split seed "
        "out=runs/<network>/semi device",
        "training.semi_supervised",
        (
            ("semi --network inf_net", "on synthetic chests"),
            ("semi --network inf_net --data scans --unlabeled more_scans", "your own"),
        ),
    ),
    Command(
        "evaluate",
        "training",
        "score the folds that are done so far, and name the others",
        f"run=OUT out {_NETWORK}",
        "training.evaluate",
        (("evaluate runs/unet_3d/cv", "of one run"), ("evaluate --network anam_net", "of the network's usual run")),
        words="run",
    ),
    Command(
        "cancel",
        "training",
        "end the jobs and processes of a run; the same command goes on later",
        f"run=OUT out {_NETWORK}",
        "training.cancel",
        (("cancel runs/unet_3d/cv", "of one run"), ("cancel --network anam_net", "of the network's usual run")),
        words="run",
    ),
    Command(
        "lopo",
        "several",
        "leave one patient out, then vote",
        f"{_NETWORK} lungs data test method members leaky preset overrides seed out=runs/<network>/lopo jobs gpus "
        f"{_CLUSTER}",
        "training.leave_one_out",
        (
            ("lopo --network amc_net", "on synthetic chests, scored on others"),
            ("lopo --network amc_net --data scans --test other_patients", "your own"),
        ),
    ),
    Command(
        "score",
        "several",
        "score label files that another program or person made, as a cross-validation is scored",
        "predictions=needed data=needed codes name out=runs/score/<name>",
        "training.score",
        (
            ("score nnunet_predictions --data scans", "of a program; numbers as in its dataset.json, or recognised"),
            ("score reader2 --data scans --codes '1:right_lung 2:left_lung 3:infection'", "of a second reader"),
        ),
        words="predictions",
    ),
    Command(
        "nnunet",
        "several",
        "write a data set as nnU-Net wants it, with the folds of cv, and say what to type there",
        "data folds split seed out=runs/nnunet",
        "training.nnunet",
        (
            ("nnunet scans --folds 5", "of your own scans, to runs/nnunet"),
            ("nnunet mosmed covid20 --out both", "of two folders as one data set"),
        ),
        words="data",
        notes="nnU-Net itself is not part of this project; what it finds in the patients that a fold holds out is "
        "scored by `make score` as a cross-validation is.",
    ),
    Command(
        "ensemble",
        "several",
        "score trained models as one on labelled scans, each patient by those that have not seen it",
        f"model method weights leaky data=data/phantom_test {_NETWORK} out=runs/ensemble device",
        "training.score_ensemble",
        (
            ("ensemble runs/amc_net/lopo", "on other synthetic chests"),
            ("ensemble runs/anam_net/cv runs/unet_3d/cv --data labelled --method mean", "of two networks"),
        ),
        words="model",
    ),
    Command(
        "experiment",
        "several",
        "run a paper's experiment",
        "paper exp networks=paper's data preparation by-patient preset overrides out=runs/<paper>_paper/<preset> "
        "device",
        "training.experiment",
        (
            ("experiment --paper small_covid_net --data slices", "five models on folds of slices, a tenth held out"),
            ("experiment --paper chs_net --data sets --preset quick", "in less time"),
        ),
    ),
    Command(
        "ablation",
        "several",
        "run a paper's ablation table",
        f"paper=needed data preset overrides folds split seed out=runs/ablation/<paper> jobs gpus {_CLUSTER}",
        "training.ablation",
        (
            ("ablation --paper chs_net", "on synthetic chests"),
            ("ablation --paper eamc_loss --data scans --preset quick", "your own"),
        ),
    ),
    Command(
        "statistics",
        "several",
        "intervals of finished cross-validations, and paired comparisons between them",
        "run=needed metric structure",
        "looking.statistics",
        (
            ("statistics runs/unet_3d/cv runs/anam_net/cv --structure infection", "Dice of one structure"),
            ("statistics runs/unet_3d/cv other/cv --metric severity", "whether severity's intervals held, of any data"),
        ),
        words="run",
        target="-",
    ),
    Command(
        "compare-runs",
        "several",
        "compare finished cross-validations on one page",
        "run=needed against structure out=runs/compare",
        "looking.compare_runs",
        (
            ("compare-runs runs/unet_3d/cv runs/anam_net/cv", "a page of both"),
            ("compare-runs runs/unet_3d/cv runs/anam_net/cv --against runs/unet_3d/cv", "the others against one"),
        ),
        words="run",
        target="-",
    ),
    Command(
        "profile",
        "cost",
        "what networks cost, beside the Anam-Net paper's table",
        "networks=all out=runs/profile",
        "looking.profile",
        (("profile", "of every network"), ("profile anam_net enet", "of two")),
        words="networks",
    ),
    Command(
        "features",
        "cost",
        "what each block of a network makes of a scan",
        f"{_NETWORK} model input preset=demo out=runs/<network>/features",
        "looking.features",
        (
            ("features --network amc_net", "of its usual fold, or of initial weights"),
            ("features --network amc_net --model runs/amc_net/lopo/fold0 --input scan.nii.gz", "of your own"),
        ),
    ),
    Command(
        "flags",
        "cost",
        "signs that a segmentation failed, without a reference",
        "labels scan",
        "looking.flags",
        (
            ("flags label.nii.gz --scan scan.nii.gz", "of one label file"),
            ("flags label.nii.gz other.nii.gz", "where two models disagree, too"),
        ),
        words="labels",
        target="-",
    ),
    Command(
        "flag-worth",
        "cost",
        "how well the flags tell failed cases of cross-validations from the others",
        "run=needed structure=infection failed-below",
        "looking.flag_worth",
        (
            ("flag-worth runs/unet_3d/cv", "of one run"),
            ("flag-worth runs/unet_3d/cv runs/anam_net/cv --failed-below 0.5", "of two, together"),
        ),
        words="run",
        target="-",
    ),
    Command(
        "summary",
        "cost",
        "summarise a table of metrics again",
        "metrics",
        "looking.summary",
        (
            ("summary runs/unet_3d/cv/metrics.csv", "summary.json beside it"),
            ("summary metrics.csv", "in this folder"),
        ),
        words="metrics",
        target="-",
    ),
    Command(
        "fidelity",
        "cost",
        "what modes of inference change in held-out scans, and what they take",
        "model=needed modes device",
        "looking.fidelity",
        (
            ("fidelity runs/unet_3d/cv/fold0", "the modes that MODE=auto chooses from"),
            ('fidelity runs/unet_3d/cv/fold0 --modes "fast windows"', "others"),
        ),
        words="model",
        target="-",
    ),
    Command(
        "calibrate",
        "cost",
        "make a model's 8 bits, and keep them beside it",
        "model=needed",
        "looking.calibrate",
        (
            ("calibrate runs/unet_3d/cv/fold0/model.pt", "as the first MODE=int8 does"),
            ("calibrate runs/anam_net/cv/fold1/model.pt", "of another fold"),
        ),
        words="model",
        target="-",
    ),
    Command(
        "benchmark",
        "cost",
        "measure this project against stock MONAI",
        f"goals keep model {_NETWORK} out=runs/benchmark",
    ),
    Command(
        "bundles",
        "sharing",
        "export every network and cascade, from its run where there is one",
        "preset=paper overrides out=build/bundles url version changes data-license",
        "sharing.bundles",
        (("bundles", "to build/bundles"), ("bundles --out zoo --version 1.0.0", "elsewhere, as a version")),
    ),
    Command(
        "verify",
        "sharing",
        "check a bundle by the Model Zoo's rules",
        "bundle schema",
        "sharing.verify",
        (
            ("verify build/bundles/lung_ct_covid_unet_3d_segmentation", "all checks"),
            ("verify a_bundle --schema meta_schema_20240725.json", "with the official schema"),
        ),
        words="bundle",
        target="verify-bundle",
    ),
    Command(
        "zoo-pr",
        "sharing",
        "lay a bundle and its unit test into a clone of the Model Zoo",
        "bundle zoo",
        "sharing.zoo_pr",
        (
            ("zoo-pr a_bundle --zoo model-zoo", "into the clone model-zoo"),
            ("zoo-pr --bundle a_bundle --zoo ../model-zoo", "likewise"),
        ),
        words="bundle",
    ),
    Command(
        "push",
        "sharing",
        "publish a bundle on the Hugging Face hub",
        "bundle repo public",
        "sharing.push",
        (
            ("push a_bundle --repo user/name", "for the owner alone"),
            ("push a_bundle --repo user/name --public", "for everybody"),
        ),
        words="bundle",
        target="push-bundle",
    ),
    Command(
        "export",
        "sharing",
        "write a model for small devices: ONNX, 8 bits, TorchScript",
        f"{_NETWORK} format model input=held-out data preset=demo out=runs/<network>/export",
        "sharing.export",
        (
            ("export --network anam_net", "of its usual fold, or of initial weights"),
            ("export --network anam_net --model runs/anam_net/cv/fold1 --format onnx", "one file"),
        ),
    ),
    Command("fuzz", "project", "read thousands of damaged files and count what becomes of them", "count seed"),
    Command("lint", "project", "check style and types"),
    Command("docs", "project", "build the documentation as a site, build/site/index.html"),
    Command("wheel", "project", "build the wheel, dist/pneumobundle-*.whl"),
    Command(
        "image",
        "project",
        "build a container image with docker, podman or apptainer, whichever is there",
        "torch=cpu",
    ),
    Command(
        "pictures",
        "project",
        "take the pictures of README.md anew, of a run on the synthetic chests",
        f"run {_NETWORK}",
    ),
    Command("clean", "project", "remove .venv and caches; data/ and runs/ stay"),
    # Of other processes of this program
    Command("run-unit", "training", "run one fold of a begun run", runs="cluster.run_unit", hidden=True, target="-"),
    Command("finish", "training", "evaluate and report a run", runs="cluster.finish", hidden=True, target="-"),
    Command(
        "merge", "training", "write results.csv of an output folder", runs="cluster.merge", hidden=True, target="-"
    ),
)
BY_NAME = {command.name: command for command in COMMANDS}
# The names of targets are names of commands too
OTHER_NAMES = {command.target: command.name for command in COMMANDS if command.runs and command.target not in ("", "-")}
# Name of a target of the Makefile -> what it does
TARGETS = {command.in_make: command for command in COMMANDS if command.in_make}
