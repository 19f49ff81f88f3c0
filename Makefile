# Every target sets up what it needs. `make help` lists them, `make help TARGET=cv` tells the variables of one; both are
# read by tools/help.awk from the comments: `##` behind a target, `#>` above it, `#:` once for each variable.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# As pipeline/core/waiting.py says, for programs that load torch before they load that, as MONAI's does
ifndef OMP_WAIT_POLICY
export GOMP_SPINCOUNT ?= 10000
export KMP_BLOCKTIME ?= 1
endif
VENV ?= .venv
PYTHON ?= python3
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

# What a user may give: paths, and other texts. TORCH is a pip requirement for a build of your choice, such as
# "torch==2.13.0 --index-url URL"; a CASCADE is "unet_3d>anam_net".
PATHS := DATA OUT INPUT MODEL RUN TEST UNLABELED SUPERVISED REPAIR BUNDLE ZOO CLUSTER SCHEMA DATA_LICENSE
TEXTS := NETWORK CASCADE LUNGS FOLDS FOLD SPLIT SEED PRESET K ROUNDS METHOD MODE SERIES PAGES TRUST ANYWAY WEIGHTS MEMBERS \
  LEAKY JOBS GPUS SHARDS LAUNCH PARTITION ACCOUNT GRES TIME CPUS MEM EXTRA DRY MISSING OVERRIDES NETWORKS AGAINST STRUCTURE \
  PAPER EXP FORMAT PREPARATION BY_PATIENT GOALS KEEP COUNT ENSEMBLE URL VERSION CHANGES REPO TORCH PYTHON TARGET

#: DATA = the synthetic chests | folder of scans and labels, in a layout of docs/data.md
#: OUT | folder for the results
#: INPUT = data/phantom/images | scan, DICOM folder or zip file, or a folder of these
#: MODEL = runs/<network>/cv/fold0 | folder of a trained fold, or a bundle; several, or a folder of folds, are an ensemble
#: RUN = runs/<network>/cv | folder of a run
#: TEST = none | labelled scans of other patients (without DATA: more synthetic chests)
#: UNLABELED = none | folder of scans without labels (without DATA: synthetic ones)
#: SUPERVISED = runs/<network>/cv | supervised run on the same folds; trained first where there is none alike
#: REPAIR = none | new folder, which gets a mended copy where that is safe
#: BUNDLE = needed | folder of an exported bundle
#: ZOO = needed | folder of a clone of the Model Zoo
#: CLUSTER = cluster.yaml | file of what differs at your site from bundles/common/cluster.yaml
#: SCHEMA = none | meta_schema_20240725.json, which you have downloaded
#: DATA_LICENSE = none | text file with the terms of the data
#: NETWORK = unet_3d | network or cascade, a folder of bundles/; README.md lists them
#: CASCADE = none | two networks, "unet_3d>anam_net": the first finds the lungs, the second the infection
#: LUNGS = reference | what a second stage is trained with: reference, or predicted by the first
#: FOLDS = 5 | parts that the patients are split into
#: FOLD = all | number of one fold, from 0
#: SPLIT = patients | patients, lopo (one patient a fold), published (of the public 20 CTs), or a JSON file
#: SEED = 0 | whole number that decides all that is drawn
#: PRESET = demo, paper with DATA | how large and long: demo, quick or paper; docs/training.md
#: K = by preset | slices (3D: scans) that a round draws
#: ROUNDS = by preset | rounds at most; 0 until all is drawn
#: METHOD = vote | of an ensemble: vote or mean
#: MODE = the model's own | exact, whole, windows, fast; int8, int8-windows, int8-fast; or auto; docs/segmenting.md
#: SERIES = the largest axial CT | UID of a DICOM series, UID:2 for its second stack
#: PAGES = 1 | 0 writes no page of each scan
#: TRUST = 0 | 1 runs what a bundle holds that this project does not have itself
#: ANYWAY = 0 | 1 segments what is implausible; results say so
#: WEIGHTS = equal | of METHOD=mean, a number a member: "2 1"
#: MEMBERS = {} | what single members change: "{3: {'learning_rate': 0.002}}"
#: LEAKY = 0 | 1 adds the scores of models on patients that they were trained on, named as leaking
#: JOBS = 1; demo 0; lopo, quick 2 | folds trained side by side; 0 for one a core
#: GPUS = 1 | GPUs that train a fold together; divides the batch size
#: SHARDS = 1 | array tasks that share the scans, with LAUNCH=slurm
#: LAUNCH = local | local, or slurm for jobs of a cluster
#: PARTITION = the cluster's | partition of the jobs
#: ACCOUNT = the cluster's | account of the jobs
#: GRES = none | generic resources of a training, such as gpu:1
#: TIME = 24:00:00 | limit of a job, hours:minutes:seconds; before it a training saves and requeues
#: CPUS = 4 | cores of a job
#: MEM = 16G | memory of a job
#: EXTRA = none | more options of sbatch: "--qos=high"
#: DRY = 0 | 1 writes the sbatch files and submits nothing
#: MISSING = 0 | 1 reports where folds have failed too, and names them (make cv alone)
#: OVERRIDES = {} | keys of the YAML files to change: "{'max_epochs': 20}"
#: NETWORKS = none | names with spaces between: "anam_net unet_3d"
#: AGAINST = none | network that all others are tested against; choose before looking
#: STRUCTURE = all | structure that is tested alone, such as infection; choose before looking
#: PAPER = anam_net | whose experiment or ablation
#: EXP = by paper | number of the paper's experiment, where it has several
#: FORMAT = onnx onnx-int8 torchscript | formats to write
#: PREPARATION = the paper's | of the slices: paper or window
#: BY_PATIENT = 0 | 1 splits patients where the paper split slices
#: GOALS = all | some of: inference preparation training slices growth neighbours
#: KEEP = 0 | 1 puts the table into benchmarks/README.md, in place of that of the same kind of processor
#: COUNT = 2000 | damaged files of each kind
#: ENSEMBLE = 0 | 1 exports all finished folds as one network that votes
#: URL = none | address of the folder that files over 25 MB can be had from
#: VERSION = 0.1.0 | of the bundle
#: CHANGES = none | line of the changelog for VERSION
#: REPO = needed | name on the Hugging Face hub, user/name
#: TORCH = constraints.txt's | pip requirement of another build: "torch==2.13.0 --index-url URL"
#: PYTHON = python3 | Python 3.10 or newer that .venv is made with; a torch that it has is kept
#: TARGET = all of them | target whose variables are told
define newline


endef
hash := \#
given = $(filter command environment,$(firstword $(origin $(1))))
# As it is: make would take a $ for its own. A line break would end the command that it stands in.
take = $(if $(findstring $(newline),$(value $(1))),$(error $(1) has a line break; name it without))$(value $(1))
# No option of a program, and nothing that MONAI would look up
take_path = $(if $(filter -% @% \%% $$%,$(firstword $(value $(1)))),./)$(take)
$(foreach name,$(PATHS),$(if $(call given,$(name)),$(eval override $(name) := $$(call take_path,$(name)))))
$(foreach name,$(TEXTS),$(if $(call given,$(name)),$(eval override $(name) := $$(call take,$(name)))))
# MONAI has a # in a text of its configuration for a separator, and an @ in an expression for a reference
TRAINING := cv cache semi lopo ensemble compare ablation experiment
HELD := $(if $(filter $(TRAINING) predict features export bundle bundles benchmark,$(MAKECMDGOALS)),OUT MODEL RUN SUPERVISED)
SIGNS := $(hash) $(if $(filter $(TRAINING),$(MAKECMDGOALS)),@)
$(foreach name,$(HELD),$(foreach sign,$(SIGNS),$(if $(findstring $(sign),$($(name))),\
  $(error $(name) is $($(name)): MONAI reads $(sign) in it as a sign of its own; choose a folder without))))

NETWORK ?= $(if $(CASCADE),$(CASCADE),unet_3d)
LUNGS ?= reference
FOLDS ?= 5
FOLD ?= -1
SPLIT ?= patients
SEED ?= 0
PHANTOM := data/phantom
# Other patients of the same kind, on which the members of an ensemble are compared with it
PHANTOM_TEST := data/phantom_test
# Without DATA: the built-in phantom and the demo preset. With DATA: the paper's preset.
ifeq ($(strip $(DATA)),)
DATASET := $(PHANTOM)
TEST ?= $(PHANTOM_TEST)
PRESET ?= demo
else
DATASET := $(DATA)
PRESET ?= paper
endif
# Of make semi: scans without labels
UNLABELED ?= $(if $(strip $(DATA)),,$(PHANTOM)_unlabelled)
METHOD ?= vote
MEMBERS ?= {}
# Members trained side by side: on two cores two are done in the time of one; large ones may not fit into memory
JOBS ?= $(if $(filter demo,$(PRESET)),0,$(if $(filter quick,$(PRESET)),2,1))
# The same of make cv, compare and ablation, which but for the demo run one after the other unless JOBS is given
SIDE_BY_SIDE := $(if $(filter-out file undefined,$(origin JOBS))$(filter demo,$(PRESET)),$(JOBS),1)
# Of the same four: GPUs that train a fold together, sharing its batches
GPUS ?= 1
# Of predict on a cluster: array tasks that share the scans
SHARDS ?= 1
# Where cv, lopo, compare, ablation and predict run: here, or as jobs of a cluster; see bundles/common/cluster.yaml
LAUNCH ?= local
MODEL ?= runs/$(subst >,-,$(NETWORK))/cv/fold0
INPUT ?= $(PHANTOM)/images
OVERRIDES ?= {}
PAPER ?= anam_net
# Of make export
FORMAT ?= onnx onnx-int8 torchscript
# Of make fuzz
COUNT ?= 2000

# A text as one word of the shell; as Python writes it; and as a word that `monai.bundle` takes for just this text: as an
# expression where it has a sign that MONAI would look up or replace
quoted = '$(subst ','\'',$(1))'
python = "$(subst ",\",$(subst \,\\,$(1)))"
escaped = $(subst $(hash),\x23,$(subst @,\x40,$(subst %,\x25,$(subst $$,\x24,$(python)))))
text = $(call quoted,$(if $(findstring \x,$(escaped)),$$)$(escaped))

CLUSTER_SETTINGS = {'file': $(call python,$(CLUSTER)), 'partition': $(call python,$(PARTITION)), \
  'account': $(call python,$(ACCOUNT)), 'gres': $(call python,$(GRES)), 'time': $(call python,$(TIME)), \
  'cpus': $(call python,$(CPUS)), 'mem': $(call python,$(MEM)), 'extra': $(call python,$(EXTRA)), \
  'dry': $(call python,$(filter-out 0,$(DRY))), 'report_anyway': $(call python,$(MISSING))}
BUNDLE_DETAILS = --preset $(call quoted,$(PRESET)) --overrides $(call quoted,$(OVERRIDES)) \
  --output $(call quoted,$(if $(OUT),$(OUT),build/bundles)) --url $(call quoted,$(URL)) --version $(call quoted,$(VERSION)) \
  --changes $(call quoted,$(CHANGES)) $(if $(DATA_LICENSE),--data-license $(call quoted,$(DATA_LICENSE)))
BUNDLE_RUN := PYTHONWARNINGS=ignore::UserWarning:monai.bundle.scripts $(PY) -m monai.bundle run

#> daily: TARGET
.PHONY: help
help: ## print this list: make help [TARGET=cv]
	@TARGET=$(call quoted,$(TARGET)) awk -f tools/help.awk $(firstword $(MAKEFILE_LIST))
	@echo "Now: NETWORK="$(call quoted,$(NETWORK))" DATA="$(call quoted,$(DATASET))" PRESET="$(call quoted,$(PRESET))

#> daily: PYTHON TORCH
.PHONY: setup
setup: $(READY) ## make .venv and install the project with its development tools

$(READY): setup.cfg pyproject.toml constraints.txt
	@VENV="$(VENV)" PYTHON="$(PYTHON)" TORCH=$(call quoted,$(TORCH)) bash tools/install.sh
	@touch $@

$(PHANTOM_TEST)/manifest.json: $(READY) pipeline/phantom/dataset.py pipeline/phantom/anatomy.py
	@$(PY) -m pipeline.phantom $(PHANTOM_TEST) --first 11
	@touch $@

$(PHANTOM)/manifest.json: $(READY) pipeline/phantom/dataset.py pipeline/phantom/anatomy.py
	@$(PY) -m pipeline.phantom $(PHANTOM)
	@touch $@

#> data:
.PHONY: data
data: $(PHANTOM)/manifest.json ## write the built-in synthetic chest CTs to data/phantom

$(PHANTOM)_unlabelled/manifest.json: $(READY) pipeline/phantom/dataset.py pipeline/phantom/anatomy.py
	@$(PY) -m pipeline.phantom $(PHANTOM)_unlabelled --unlabelled --seed 1
	@touch $@

#> data:
.PHONY: fetch-data
fetch-data: $(READY) ## download the public 20 COVID-19 CTs (Zenodo 3757476, 1 GB) to data/covid20
	@$(PY) -m pipeline.data.fetch data/covid20

#> daily: DATA REPAIR OUT=runs/check-data
.PHONY: check-data
check-data: $(READY) $(if $(DATA),,data) ## read every file of DATA, say what is wrong, write a data card: make check-data DATA= [REPAIR=new folder OUT=]
	@$(PY) -m pipeline.check_data $(call quoted,$(DATASET)) $(if $(REPAIR),--repair $(call quoted,$(REPAIR)),) $(if $(OUT),--out $(call quoted,$(OUT)),)

#> daily: NETWORK CASCADE LUNGS DATA PRESET OVERRIDES FOLDS FOLD SPLIT SEED OUT=runs/<network>/cv JOBS GPUS
#> LAUNCH PARTITION ACCOUNT GRES TIME CPUS MEM EXTRA CLUSTER DRY MISSING
.PHONY: cv
cv: $(READY) $(if $(DATA),,data) ## cross-validate: make cv FOLDS=5 [NETWORK= DATA= PRESET= SPLIT= OUT= FOLD=k for one alone]
	@$(BUNDLE_RUN) --config_file bundles/common/cross_validation.yaml --meta_file bundles/common/metadata.json \
	  --network $(call text,$(NETWORK)) --dataset_dir $(call text,$(DATASET)) --preset $(call text,$(PRESET)) --folds $(call quoted,$(FOLDS)) --only_fold $(call quoted,$(FOLD)) \
	  --split $(call text,$(SPLIT)) --seed $(call quoted,$(SEED)) --overrides $(call text,$(OVERRIDES)) --lungs $(call text,$(LUNGS)) --jobs $(call quoted,$(SIDE_BY_SIDE)) --gpus $(call quoted,$(GPUS)) \
	  --where $(call text,$(LAUNCH)) --cluster $(call text,$(CLUSTER_SETTINGS)) $(if $(OUT),--output_dir $(call text,$(OUT)),)

#> training: NETWORK CASCADE LUNGS DATA PRESET OVERRIDES FOLDS SPLIT SEED OUT=runs/<network>/cv
.PHONY: cache
cache: $(READY) $(if $(DATA),,data) ## prepare every scan of a cross-validation for training elsewhere: make cache [as make cv]
	@$(BUNDLE_RUN) fill_cache --config_file bundles/common/cross_validation.yaml --meta_file bundles/common/metadata.json \
	  --network $(call text,$(NETWORK)) --dataset_dir $(call text,$(DATASET)) --preset $(call text,$(PRESET)) --folds $(call quoted,$(FOLDS)) \
	  --split $(call text,$(SPLIT)) --seed $(call quoted,$(SEED)) --overrides $(call text,$(OVERRIDES)) --lungs $(call text,$(LUNGS)) \
	  $(if $(OUT),--output_dir $(call text,$(OUT)),)

#> daily: NETWORK CASCADE OUT=runs/<network>/cv
.PHONY: report
report: $(READY) ## write a cross-validation's report again: make report [NETWORK= OUT=its folder]
	@$(PY) -m evaluation.report $(call quoted,$(if $(OUT),$(OUT),runs/$(subst >,-,$(NETWORK))/cv))

#> training: NETWORK CASCADE DATA UNLABELED K ROUNDS SUPERVISED PRESET OVERRIDES FOLDS FOLD SPLIT SEED OUT=runs/<network>/semi
.PHONY: semi
semi: $(READY) $(if $(DATA),,data) $(if $(filter $(PHANTOM)_unlabelled,$(UNLABELED)),$(PHANTOM)_unlabelled/manifest.json) ## train on unlabelled scans too: make semi NETWORK=inf_net UNLABELED=folder [DATA= FOLDS= K= ROUNDS= SUPERVISED= OUT=]
	@$(BUNDLE_RUN) --config_file bundles/common/semi_supervised.yaml --meta_file bundles/common/metadata.json \
	  --network $(call text,$(NETWORK)) --dataset_dir $(call text,$(DATASET)) --unlabelled_dir $(call text,$(UNLABELED)) --preset $(call text,$(PRESET)) \
	  --folds $(call quoted,$(FOLDS)) --only_fold $(call quoted,$(FOLD)) --split $(call text,$(SPLIT)) --seed $(call quoted,$(SEED)) --overrides $(call text,$(OVERRIDES)) \
	  $(if $(K),--per_round $(call quoted,$(K)),) $(if $(ROUNDS),--rounds $(call quoted,$(ROUNDS)),) \
	  $(if $(SUPERVISED),--supervised_dir $(call text,$(SUPERVISED)),) $(if $(OUT),--output_dir $(call text,$(OUT)),)

#> several: NETWORK CASCADE LUNGS DATA TEST METHOD MEMBERS LEAKY PRESET OVERRIDES SEED OUT=runs/<network>/lopo JOBS GPUS
#> LAUNCH PARTITION ACCOUNT GRES TIME CPUS MEM EXTRA CLUSTER DRY MISSING
.PHONY: lopo
lopo: $(READY) $(if $(DATA),,data) $(if $(filter $(PHANTOM_TEST),$(TEST)),$(PHANTOM_TEST)/manifest.json) ## leave one patient out, then vote: make lopo NETWORK=amc_net [DATA= TEST=other patients PRESET= METHOD= MEMBERS= LEAKY=1 JOBS= OUT=]
	@$(BUNDLE_RUN) --config_file bundles/common/leave_one_out.yaml --meta_file bundles/common/metadata.json \
	  --network $(call text,$(NETWORK)) --dataset_dir $(call text,$(DATASET)) --preset $(call text,$(PRESET)) --seed $(call quoted,$(SEED)) --lungs $(call text,$(LUNGS)) \
	  --overrides $(call text,$(OVERRIDES)) --members $(call text,$(MEMBERS)) --method $(call text,$(METHOD)) --jobs $(call quoted,$(JOBS)) --gpus $(call quoted,$(GPUS)) \
	  --where $(call text,$(LAUNCH)) --cluster $(call text,$(CLUSTER_SETTINGS)) \
	  --leaky $(if $(filter-out 0,$(LEAKY)),True,False) $(if $(TEST),--test_dir $(call text,$(TEST)),) $(if $(OUT),--output_dir $(call text,$(OUT)),)

#> several: MODEL METHOD WEIGHTS LEAKY DATA=data/phantom_test NETWORK CASCADE OUT=runs/ensemble
.PHONY: ensemble
ensemble: $(READY) $(if $(DATA),,$(PHANTOM_TEST)/manifest.json) ## score trained models as one: make ensemble MODEL="runs/a/cv runs/b/cv" DATA=labelled [METHOD=vote|mean WEIGHTS= LEAKY=1 OUT=]
	@$(BUNDLE_RUN) --config_file bundles/common/score_ensemble.yaml --meta_file bundles/common/metadata.json \
	  --models $(call text,$(MODEL)) --dataset_dir $(call text,$(if $(DATA),$(DATA),$(PHANTOM_TEST))) --method $(call text,$(METHOD)) --weights $(call text,$(WEIGHTS)) \
	  --leaky $(if $(filter-out 0,$(LEAKY)),True,False) $(if $(OUT),--output_dir $(call text,$(OUT)),)

#> several: PAPER EXP NETWORKS=paper's DATA PREPARATION BY_PATIENT PRESET OVERRIDES OUT=runs/<paper>_paper/<preset>
.PHONY: experiment
experiment: $(READY) $(if $(DATA),,data) ## a paper's experiment: make experiment PAPER=anam_net|chs_net|small_covid_net DATA=folder [EXP= NETWORKS= PRESET= OUT=]
	@$(PY) -m pipeline.experiments.experiment --paper $(call quoted,$(PAPER)) --data $(call quoted,$(DATASET)) --preset $(call quoted,$(PRESET)) \
	  --overrides $(call quoted,$(OVERRIDES)) $(if $(NETWORKS),--networks $(call quoted,$(NETWORKS)),) $(if $(OUT),--output $(call quoted,$(OUT)),) \
	  $(if $(EXP),--experiment $(call quoted,$(EXP)),) $(if $(PREPARATION),--preparation $(call quoted,$(PREPARATION)),) $(if $(BY_PATIENT),--by-patient,)

#> several: PAPER=needed DATA PRESET OVERRIDES FOLDS SPLIT SEED OUT=runs/ablation/<paper> JOBS GPUS
#> LAUNCH PARTITION ACCOUNT GRES TIME CPUS MEM EXTRA CLUSTER DRY MISSING
.PHONY: ablation
ablation: $(READY) $(if $(DATA),,data) ## a paper's ablation table: make ablation PAPER=chs_net|eamc_loss|eamc_dilation [DATA= FOLDS= PRESET= OUT=]
	@$(PY) -m pipeline.experiments.ablation --paper $(call quoted,$(PAPER)) --data $(call quoted,$(DATASET)) --preset $(call quoted,$(PRESET)) --folds $(call quoted,$(FOLDS)) \
	  --split $(call quoted,$(SPLIT)) --seed $(call quoted,$(SEED)) --overrides $(call quoted,$(OVERRIDES)) $(if $(OUT),--output $(call quoted,$(OUT)),) \
	  --jobs $(call quoted,$(SIDE_BY_SIDE)) --gpus $(call quoted,$(GPUS)) --launch $(call quoted,$(LAUNCH)) --cluster $(call quoted,$(CLUSTER_SETTINGS))

#> daily: NETWORKS=needed AGAINST STRUCTURE DATA PRESET OVERRIDES FOLDS SPLIT SEED OUT=runs JOBS GPUS
#> LAUNCH PARTITION ACCOUNT GRES TIME CPUS MEM EXTRA CLUSTER DRY MISSING
.PHONY: compare
compare: $(READY) $(if $(DATA),,data) ## cross-validate several networks, compare them: make compare NETWORKS="a b" [DATA= FOLDS= PRESET= SPLIT= OUT= AGAINST= STRUCTURE=]
	@$(PY) -m pipeline.runs.compare --networks $(call quoted,$(NETWORKS)) --data $(call quoted,$(DATASET)) --preset $(call quoted,$(PRESET)) --folds $(call quoted,$(FOLDS)) \
	  --split $(call quoted,$(SPLIT)) --seed $(call quoted,$(SEED)) --overrides $(call quoted,$(OVERRIDES)) $(if $(OUT),--output $(call quoted,$(OUT)),) \
	  --structures $(call quoted,$(STRUCTURE)) --against $(call quoted,$(AGAINST)) \
	  --jobs $(call quoted,$(SIDE_BY_SIDE)) --gpus $(call quoted,$(GPUS)) --launch $(call quoted,$(LAUNCH)) --cluster $(call quoted,$(CLUSTER_SETTINGS))

#> training: RUN OUT=RUN NETWORK CASCADE
.PHONY: evaluate
evaluate: $(READY) ## score the folds that are done so far, and name the others: make evaluate RUN=runs/unet_3d/cv
	@$(PY) -m pipeline.runs.launch --finished $(call quoted,$(if $(RUN),$(RUN),$(if $(OUT),$(OUT),runs/$(subst >,-,$(NETWORK))/cv)))

#> daily: RUN OUT=RUN NETWORK CASCADE
.PHONY: status
status: $(READY) ## what of a run is queued, running, done, failed and why: make status RUN=runs/unet_3d/cv
	@$(PY) -m pipeline.runs.status $(call quoted,$(if $(RUN),$(RUN),$(if $(OUT),$(OUT),runs/$(subst >,-,$(NETWORK))/cv)))

#> training: RUN OUT=RUN NETWORK CASCADE
.PHONY: cancel
cancel: $(READY) ## end the jobs and processes of a run; the same command goes on later: make cancel RUN=runs/unet_3d/cv
	@$(PY) -m pipeline.runs.status --cancel $(call quoted,$(if $(RUN),$(RUN),$(if $(OUT),$(OUT),runs/$(subst >,-,$(NETWORK))/cv)))

#> cost: NETWORKS=all OUT=runs/profile
.PHONY: profile
profile: $(READY) ## what networks cost, beside the Anam-Net paper's table: make profile [NETWORKS="anam_net enet" OUT=]
	@$(PY) -m evaluation.costs.cost --networks $(call quoted,$(NETWORKS)) --output $(call quoted,$(if $(OUT),$(OUT),runs/profile))

#> daily: INPUT OUT=predictions MODEL NETWORK CASCADE MODE METHOD WEIGHTS SERIES PAGES ANYWAY TRUST SHARDS
#> LAUNCH PARTITION ACCOUNT GRES TIME CPUS MEM EXTRA CLUSTER DRY MISSING
.PHONY: predict
predict: $(READY) ## segment scans: make predict INPUT=scan, DICOM folder or folder of these OUT=labels MODEL=runs/unet_3d/cv/fold0; several are an ensemble [MODE=exact|whole|windows|fast|int8|auto SERIES=uid PAGES=0 ANYWAY=1] [LAUNCH=slurm SHARDS=n]
	@$(PY) -m $(if $(filter local,$(LAUNCH)),pipeline.prediction.predict,pipeline.runs.shards --shards $(call quoted,$(SHARDS)) --launch $(call quoted,$(LAUNCH)) --cluster $(call quoted,$(CLUSTER_SETTINGS))) \
	  --model $(call quoted,$(MODEL)) --input $(call quoted,$(INPUT)) --output $(call quoted,$(if $(OUT),$(OUT),predictions)) \
	  --method $(call quoted,$(METHOD)) --weights $(call quoted,$(WEIGHTS)) --mode $(call quoted,$(MODE)) --series $(call quoted,$(SERIES)) $(if $(filter 0,$(PAGES)),--no-pages,) \
	  $(if $(filter-out 0,$(TRUST)),--trust,) $(if $(filter-out 0,$(ANYWAY)),--anyway,)

#> cost: NETWORK CASCADE MODEL INPUT PRESET OUT=runs/<network>/features
.PHONY: features
features: $(READY) $(if $(filter file,$(origin INPUT)),data) ## what each block of a network makes of a scan: make features NETWORK=amc_net [MODEL= INPUT=scan OUT=]
	@$(PY) -m pipeline.inference.features --network $(call quoted,$(NETWORK)) --input $(call quoted,$(INPUT)) --preset $(call quoted,$(PRESET)) \
	  $(if $(filter-out file,$(origin MODEL)),--model $(call quoted,$(MODEL)),) $(if $(OUT),--output $(call quoted,$(OUT)),)

#> daily: NETWORK CASCADE RUN FOLD=first ENSEMBLE METHOD=run's WEIGHTS OUT=build/bundles URL VERSION CHANGES DATA_LICENSE PRESET OVERRIDES
.PHONY: bundle
bundle: $(READY) ## export as a bundle of the Model Zoo: make bundle NETWORK= [RUN=runs/x/cv FOLD=k | ENSEMBLE=1 METHOD= WEIGHTS=] [OUT= URL= VERSION= CHANGES= DATA_LICENSE=file]
	@$(PY) -m pipeline.export --network $(call quoted,$(NETWORK)) --run $(call quoted,$(RUN)) --fold $(call quoted,$(FOLD)) $(BUNDLE_DETAILS) \
	  $(if $(filter-out 0,$(ENSEMBLE)),--ensemble --method $(call quoted,$(if $(filter-out file,$(origin METHOD)),$(METHOD),)) --weights $(call quoted,$(WEIGHTS)),)

#> sharing: PRESET OVERRIDES OUT=build/bundles URL VERSION CHANGES DATA_LICENSE
.PHONY: bundles
bundles: $(READY) ## export every network and cascade, from its run where there is one
	@$(PY) -m pipeline.export --all $(BUNDLE_DETAILS)

#> sharing: BUNDLE SCHEMA
.PHONY: verify-bundle
verify-bundle: $(READY) ## check a bundle by the Model Zoo's rules: make verify-bundle BUNDLE=folder [SCHEMA=file]
	@$(PY) -m pipeline.export.verify $(call quoted,$(BUNDLE)) --schema $(call quoted,$(SCHEMA))

#> sharing: BUNDLE ZOO
.PHONY: zoo-pr
zoo-pr: $(READY) ## lay a bundle and its unit test into a clone of the Model Zoo: make zoo-pr BUNDLE=folder ZOO=clone
	@$(PY) -m pipeline.export.zoo --bundle $(call quoted,$(BUNDLE)) --zoo $(call quoted,$(ZOO))

#> sharing: BUNDLE REPO
.PHONY: push-bundle
push-bundle: $(READY) ## publish a bundle on the Hugging Face hub: make push-bundle BUNDLE=folder REPO=user/name
	@$(PY) -m pipeline.export.push --bundle $(call quoted,$(BUNDLE)) --repo $(call quoted,$(REPO))

#> sharing: NETWORK CASCADE FORMAT MODEL INPUT=held-out DATA PRESET OUT=runs/<network>/export
.PHONY: export
export: $(READY) $(if $(DATA),,data) ## a model for small devices: make export NETWORK=anam_net [FORMAT="onnx onnx-int8 torchscript" MODEL=fold INPUT=scans OUT=]
	@$(PY) -m pipeline.small_devices.export --network $(call quoted,$(NETWORK)) --formats $(call quoted,$(FORMAT)) --preset $(call quoted,$(PRESET)) \
	  --data $(call quoted,$(DATASET)) $(if $(filter-out file,$(origin INPUT)),--input $(call quoted,$(INPUT)),) \
	  $(if $(filter-out file,$(origin MODEL)),--model $(call quoted,$(MODEL)),) $(if $(OUT),--output $(call quoted,$(OUT)),)

#> cost: GOALS KEEP MODEL NETWORK CASCADE OUT=runs/benchmark
.PHONY: benchmark
benchmark: $(READY) ## measure this project against stock MONAI: make benchmark [GOALS="inference growth" MODEL=a trained fold KEEP=1 OUT=]
	@$(PY) -m benchmarks $(if $(GOALS),--goals $(call quoted,$(GOALS)),) --run $(call quoted,$(MODEL)) $(if $(filter-out 0,$(KEEP)),--keep) $(if $(OUT),--output $(call quoted,$(OUT)),)

#> daily:
.PHONY: test
test: $(READY) ## run the tests, slow ones excepted
	@$(PY) -m pytest -n 2 --dist loadfile

#> project: COUNT SEED
.PHONY: fuzz
fuzz: $(READY) ## read thousands of damaged files and count what becomes of them: make fuzz [COUNT=2000 of each kind, SEED=0]
	@$(PY) -m tests.fuzz --count $(call quoted,$(COUNT)) --seed $(call quoted,$(SEED))

#> project:
.PHONY: lint
lint: $(READY) ## check style and types
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

#> project:
.PHONY: docs
docs: $(READY) ## build the documentation as a site, build/site/index.html
	@$(PY) -c 'import material' 2>/dev/null || VENV="$(VENV)" PYTHON="$(PY)" INSTALL_EXTRA=docs bash tools/install.sh
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict
	@echo "Documentation: build/site/index.html"

#> project: RUN NETWORK CASCADE
.PHONY: pictures
pictures: $(READY) ## take the pictures of README.md anew, of a run on the synthetic chests: make pictures [RUN=runs/unet_3d/cv]
	@$(PY) -m tools.pictures $(call quoted,$(if $(RUN),$(RUN),runs/$(subst >,-,$(NETWORK))/cv))

#> project:
.PHONY: clean
clean: ## remove .venv and caches; data/ and runs/ stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache build *.egg-info data/cache
