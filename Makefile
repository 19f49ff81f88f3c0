# Every target sets up what it needs. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV ?= .venv
PYTHON ?= python3
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

# What a user may give: paths, and other texts. TORCH is a pip requirement for a build of your choice, such as
# "torch==2.13.0 --index-url URL"; a CASCADE is "unet_3d>anam_net".
PATHS := DATA OUT INPUT MODEL RUN TEST UNLABELED SUPERVISED REPAIR BUNDLE ZOO CLUSTER SCHEMA DATA_LICENSE
TEXTS := NETWORK CASCADE LUNGS FOLDS FOLD SPLIT SEED PRESET K ROUNDS METHOD MODE SERIES PAGES TRUST ANYWAY WEIGHTS MEMBERS \
  LEAKY JOBS GPUS SHARDS LAUNCH PARTITION ACCOUNT GRES TIME CPUS MEM EXTRA DRY MISSING OVERRIDES NETWORKS AGAINST STRUCTURE \
  PAPER EXP FORMAT PREPARATION BY_PATIENT GOALS COUNT ENSEMBLE URL VERSION CHANGES REPO TORCH
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
JOBS ?= $(if $(filter demo quick,$(PRESET)),2,1)
# The same of make cv, compare and ablation, which run one after the other unless JOBS is given
SIDE_BY_SIDE := $(if $(filter-out file undefined,$(origin JOBS)),$(JOBS),1)
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

.PHONY: help
help: ## print this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z_-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables: NETWORK="$(call quoted,$(NETWORK))" DATA=folder FOLDS="$(call quoted,$(FOLDS))" FOLD=k PRESET=demo|quick|paper OUT=folder"
	@echo "             UNLABELED=folder K=n ROUNDS=n SUPERVISED=folder"
	@echo "             NETWORKS=\"a b\" PAPER=name EXP=1|2|3 PREPARATION=paper|window BY_PATIENT=1"
	@echo "             AGAINST=network STRUCTURE=infection"
	@echo "             LAUNCH=local|slurm PARTITION= GRES=gpu:1 TIME=24:00:00 CPUS= MEM= ACCOUNT= EXTRA=\"--qos=x\" CLUSTER=file DRY=1 MISSING=1 GPUS=n SHARDS=n"
	@echo "             TEST=folder METHOD=vote|mean WEIGHTS=\"2 1\" MEMBERS=\"{3: {'learning_rate': 0.002}}\" LEAKY=1 JOBS="$(call quoted,$(JOBS))
	@echo "             SPLIT=patients|lopo|published SEED="$(call quoted,$(SEED))" INPUT=scans MODEL=fold OVERRIDES=\"{'max_epochs': 20}\""

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

.PHONY: data
data: $(PHANTOM)/manifest.json ## write the built-in synthetic chest CTs to data/phantom

$(PHANTOM)_unlabelled/manifest.json: $(READY) pipeline/phantom/dataset.py pipeline/phantom/anatomy.py
	@$(PY) -m pipeline.phantom $(PHANTOM)_unlabelled --unlabelled --seed 1
	@touch $@

.PHONY: fetch-data
fetch-data: $(READY) ## download the public 20 COVID-19 CTs (Zenodo 3757476, 1 GB) to data/covid20
	@$(PY) -m pipeline.data.fetch data/covid20

.PHONY: check-data
check-data: $(READY) $(if $(DATA),,data) ## read every file of DATA, say what is wrong, write a data card: make check-data DATA= [REPAIR=new folder OUT=]
	@$(PY) -m pipeline.check_data $(call quoted,$(DATASET)) $(if $(REPAIR),--repair $(call quoted,$(REPAIR)),) $(if $(OUT),--out $(call quoted,$(OUT)),)

.PHONY: cv
cv: $(READY) $(if $(DATA),,data) ## cross-validate: make cv FOLDS=5 [NETWORK= DATA= PRESET= SPLIT= OUT= FOLD=k for one alone]
	@$(BUNDLE_RUN) --config_file bundles/common/cross_validation.yaml --meta_file bundles/common/metadata.json \
	  --network $(call text,$(NETWORK)) --dataset_dir $(call text,$(DATASET)) --preset $(call text,$(PRESET)) --folds $(call quoted,$(FOLDS)) --only_fold $(call quoted,$(FOLD)) \
	  --split $(call text,$(SPLIT)) --seed $(call quoted,$(SEED)) --overrides $(call text,$(OVERRIDES)) --lungs $(call text,$(LUNGS)) --jobs $(call quoted,$(SIDE_BY_SIDE)) --gpus $(call quoted,$(GPUS)) \
	  --where $(call text,$(LAUNCH)) --cluster $(call text,$(CLUSTER_SETTINGS)) $(if $(OUT),--output_dir $(call text,$(OUT)),)

.PHONY: cache
cache: $(READY) $(if $(DATA),,data) ## prepare every scan of a cross-validation for training elsewhere: make cache [as make cv]
	@$(BUNDLE_RUN) fill_cache --config_file bundles/common/cross_validation.yaml --meta_file bundles/common/metadata.json \
	  --network $(call text,$(NETWORK)) --dataset_dir $(call text,$(DATASET)) --preset $(call text,$(PRESET)) --folds $(call quoted,$(FOLDS)) \
	  --split $(call text,$(SPLIT)) --seed $(call quoted,$(SEED)) --overrides $(call text,$(OVERRIDES)) --lungs $(call text,$(LUNGS)) \
	  $(if $(OUT),--output_dir $(call text,$(OUT)),)

.PHONY: report
report: $(READY) ## write a cross-validation's report again: make report [NETWORK= OUT=its folder]
	@$(PY) -m evaluation.report $(call quoted,$(if $(OUT),$(OUT),runs/$(subst >,-,$(NETWORK))/cv))

.PHONY: semi
semi: $(READY) $(if $(DATA),,data) $(if $(filter $(PHANTOM)_unlabelled,$(UNLABELED)),$(PHANTOM)_unlabelled/manifest.json) ## train on unlabelled scans too: make semi NETWORK=inf_net UNLABELED=folder [DATA= FOLDS= K= ROUNDS= SUPERVISED= OUT=]
	@$(BUNDLE_RUN) --config_file bundles/common/semi_supervised.yaml --meta_file bundles/common/metadata.json \
	  --network $(call text,$(NETWORK)) --dataset_dir $(call text,$(DATASET)) --unlabelled_dir $(call text,$(UNLABELED)) --preset $(call text,$(PRESET)) \
	  --folds $(call quoted,$(FOLDS)) --only_fold $(call quoted,$(FOLD)) --split $(call text,$(SPLIT)) --seed $(call quoted,$(SEED)) --overrides $(call text,$(OVERRIDES)) \
	  $(if $(K),--per_round $(call quoted,$(K)),) $(if $(ROUNDS),--rounds $(call quoted,$(ROUNDS)),) \
	  $(if $(SUPERVISED),--supervised_dir $(call text,$(SUPERVISED)),) $(if $(OUT),--output_dir $(call text,$(OUT)),)

.PHONY: lopo
lopo: $(READY) $(if $(DATA),,data) $(if $(filter $(PHANTOM_TEST),$(TEST)),$(PHANTOM_TEST)/manifest.json) ## leave one patient out, then vote: make lopo NETWORK=amc_net [DATA= TEST=other patients PRESET= METHOD= MEMBERS= LEAKY=1 JOBS= OUT=]
	@$(BUNDLE_RUN) --config_file bundles/common/leave_one_out.yaml --meta_file bundles/common/metadata.json \
	  --network $(call text,$(NETWORK)) --dataset_dir $(call text,$(DATASET)) --preset $(call text,$(PRESET)) --seed $(call quoted,$(SEED)) --lungs $(call text,$(LUNGS)) \
	  --overrides $(call text,$(OVERRIDES)) --members $(call text,$(MEMBERS)) --method $(call text,$(METHOD)) --jobs $(call quoted,$(JOBS)) --gpus $(call quoted,$(GPUS)) \
	  --where $(call text,$(LAUNCH)) --cluster $(call text,$(CLUSTER_SETTINGS)) \
	  --leaky $(if $(filter-out 0,$(LEAKY)),True,False) $(if $(TEST),--test_dir $(call text,$(TEST)),) $(if $(OUT),--output_dir $(call text,$(OUT)),)

.PHONY: ensemble
ensemble: $(READY) $(if $(DATA),,$(PHANTOM_TEST)/manifest.json) ## score trained models as one: make ensemble MODEL="runs/a/cv runs/b/cv" DATA=labelled [METHOD=vote|mean WEIGHTS= LEAKY=1 OUT=]
	@$(BUNDLE_RUN) --config_file bundles/common/score_ensemble.yaml --meta_file bundles/common/metadata.json \
	  --models $(call text,$(MODEL)) --dataset_dir $(call text,$(if $(DATA),$(DATA),$(PHANTOM_TEST))) --method $(call text,$(METHOD)) --weights $(call text,$(WEIGHTS)) \
	  --leaky $(if $(filter-out 0,$(LEAKY)),True,False) $(if $(OUT),--output_dir $(call text,$(OUT)),)

.PHONY: experiment
experiment: $(READY) $(if $(DATA),,data) ## a paper's experiment: make experiment PAPER=anam_net|chs_net|small_covid_net DATA=folder [EXP= NETWORKS= PRESET= OUT=]
	@$(PY) -m pipeline.experiments.experiment --paper $(call quoted,$(PAPER)) --data $(call quoted,$(DATASET)) --preset $(call quoted,$(PRESET)) \
	  --overrides $(call quoted,$(OVERRIDES)) $(if $(NETWORKS),--networks $(call quoted,$(NETWORKS)),) $(if $(OUT),--output $(call quoted,$(OUT)),) \
	  $(if $(EXP),--experiment $(call quoted,$(EXP)),) $(if $(PREPARATION),--preparation $(call quoted,$(PREPARATION)),) $(if $(BY_PATIENT),--by-patient,)

.PHONY: ablation
ablation: $(READY) $(if $(DATA),,data) ## a paper's ablation table: make ablation PAPER=chs_net|eamc_loss|eamc_dilation [DATA= FOLDS= PRESET= OUT=]
	@$(PY) -m pipeline.experiments.ablation --paper $(call quoted,$(PAPER)) --data $(call quoted,$(DATASET)) --preset $(call quoted,$(PRESET)) --folds $(call quoted,$(FOLDS)) \
	  --split $(call quoted,$(SPLIT)) --seed $(call quoted,$(SEED)) --overrides $(call quoted,$(OVERRIDES)) $(if $(OUT),--output $(call quoted,$(OUT)),) \
	  --jobs $(call quoted,$(SIDE_BY_SIDE)) --gpus $(call quoted,$(GPUS)) --launch $(call quoted,$(LAUNCH)) --cluster $(call quoted,$(CLUSTER_SETTINGS))

.PHONY: compare
compare: $(READY) $(if $(DATA),,data) ## cross-validate several networks, compare them: make compare NETWORKS="a b" [DATA= FOLDS= PRESET= SPLIT= OUT= AGAINST= STRUCTURE=]
	@$(PY) -m pipeline.runs.compare --networks $(call quoted,$(NETWORKS)) --data $(call quoted,$(DATASET)) --preset $(call quoted,$(PRESET)) --folds $(call quoted,$(FOLDS)) \
	  --split $(call quoted,$(SPLIT)) --seed $(call quoted,$(SEED)) --overrides $(call quoted,$(OVERRIDES)) $(if $(OUT),--output $(call quoted,$(OUT)),) \
	  --structures $(call quoted,$(STRUCTURE)) --against $(call quoted,$(AGAINST)) \
	  --jobs $(call quoted,$(SIDE_BY_SIDE)) --gpus $(call quoted,$(GPUS)) --launch $(call quoted,$(LAUNCH)) --cluster $(call quoted,$(CLUSTER_SETTINGS))

.PHONY: evaluate
evaluate: $(READY) ## score the folds that are done so far, and name the others: make evaluate RUN=runs/unet_3d/cv
	@$(PY) -m pipeline.runs.launch --finished $(call quoted,$(if $(RUN),$(RUN),$(if $(OUT),$(OUT),runs/$(subst >,-,$(NETWORK))/cv)))

.PHONY: status
status: $(READY) ## what of a run is queued, running, done, failed and why: make status RUN=runs/unet_3d/cv
	@$(PY) -m pipeline.runs.status $(call quoted,$(if $(RUN),$(RUN),$(if $(OUT),$(OUT),runs/$(subst >,-,$(NETWORK))/cv)))

.PHONY: cancel
cancel: $(READY) ## end the jobs and processes of a run; the same command goes on later: make cancel RUN=runs/unet_3d/cv
	@$(PY) -m pipeline.runs.status --cancel $(call quoted,$(if $(RUN),$(RUN),$(if $(OUT),$(OUT),runs/$(subst >,-,$(NETWORK))/cv)))

.PHONY: profile
profile: $(READY) ## what networks cost, beside the Anam-Net paper's table: make profile [NETWORKS="anam_net enet" OUT=]
	@$(PY) -m evaluation.costs.cost --networks $(call quoted,$(NETWORKS)) --output $(call quoted,$(if $(OUT),$(OUT),runs/profile))

.PHONY: predict
predict: $(READY) ## segment scans: make predict INPUT=scan, DICOM folder or folder of these OUT=labels MODEL=runs/unet_3d/cv/fold0; several are an ensemble [MODE=exact|whole|windows|fast SERIES=uid PAGES=0 ANYWAY=1] [LAUNCH=slurm SHARDS=n]
	@$(PY) -m $(if $(filter local,$(LAUNCH)),pipeline.prediction.predict,pipeline.runs.shards --shards $(call quoted,$(SHARDS)) --launch $(call quoted,$(LAUNCH)) --cluster $(call quoted,$(CLUSTER_SETTINGS))) \
	  --model $(call quoted,$(MODEL)) --input $(call quoted,$(INPUT)) --output $(call quoted,$(if $(OUT),$(OUT),predictions)) \
	  --method $(call quoted,$(METHOD)) --weights $(call quoted,$(WEIGHTS)) --mode $(call quoted,$(MODE)) --series $(call quoted,$(SERIES)) $(if $(filter 0,$(PAGES)),--no-pages,) \
	  $(if $(filter-out 0,$(TRUST)),--trust,) $(if $(filter-out 0,$(ANYWAY)),--anyway,)

.PHONY: features
features: $(READY) $(if $(filter file,$(origin INPUT)),data) ## what each block of a network makes of a scan: make features NETWORK=amc_net [MODEL= INPUT=scan OUT=]
	@$(PY) -m pipeline.inference.features --network $(call quoted,$(NETWORK)) --input $(call quoted,$(INPUT)) --preset $(call quoted,$(PRESET)) \
	  $(if $(filter-out file,$(origin MODEL)),--model $(call quoted,$(MODEL)),) $(if $(OUT),--output $(call quoted,$(OUT)),)

.PHONY: bundle
bundle: $(READY) ## export as a bundle of the Model Zoo: make bundle NETWORK= [RUN=runs/x/cv FOLD=k | ENSEMBLE=1 METHOD= WEIGHTS=] [OUT= URL= VERSION= CHANGES= DATA_LICENSE=file]
	@$(PY) -m pipeline.export --network $(call quoted,$(NETWORK)) --run $(call quoted,$(RUN)) --fold $(call quoted,$(FOLD)) $(BUNDLE_DETAILS) \
	  $(if $(filter-out 0,$(ENSEMBLE)),--ensemble --method $(call quoted,$(if $(filter-out file,$(origin METHOD)),$(METHOD),)) --weights $(call quoted,$(WEIGHTS)),)

.PHONY: bundles
bundles: $(READY) ## export every network and cascade, from its run where there is one
	@$(PY) -m pipeline.export --all $(BUNDLE_DETAILS)

.PHONY: verify-bundle
verify-bundle: $(READY) ## check a bundle by the Model Zoo's rules: make verify-bundle BUNDLE=folder [SCHEMA=file]
	@$(PY) -m pipeline.export.verify $(call quoted,$(BUNDLE)) --schema $(call quoted,$(SCHEMA))

.PHONY: zoo-pr
zoo-pr: $(READY) ## lay a bundle and its unit test into a clone of the Model Zoo: make zoo-pr BUNDLE=folder ZOO=clone
	@$(PY) -m pipeline.export.zoo --bundle $(call quoted,$(BUNDLE)) --zoo $(call quoted,$(ZOO))

.PHONY: push-bundle
push-bundle: $(READY) ## publish a bundle on the Hugging Face hub: make push-bundle BUNDLE=folder REPO=user/name
	@$(PY) -m pipeline.export.push --bundle $(call quoted,$(BUNDLE)) --repo $(call quoted,$(REPO))

.PHONY: export
export: $(READY) $(if $(DATA),,data) ## a model for small devices: make export NETWORK=anam_net [FORMAT="onnx onnx-int8 torchscript" MODEL=fold INPUT=scans OUT=]
	@$(PY) -m pipeline.small_devices.export --network $(call quoted,$(NETWORK)) --formats $(call quoted,$(FORMAT)) --preset $(call quoted,$(PRESET)) \
	  --data $(call quoted,$(DATASET)) $(if $(filter-out file,$(origin INPUT)),--input $(call quoted,$(INPUT)),) \
	  $(if $(filter-out file,$(origin MODEL)),--model $(call quoted,$(MODEL)),) $(if $(OUT),--output $(call quoted,$(OUT)),)

.PHONY: benchmark
benchmark: $(READY) ## measure this project against stock MONAI: make benchmark [GOALS="inference growth" MODEL=a trained fold OUT=]
	@$(PY) -m benchmarks $(if $(GOALS),--goals $(call quoted,$(GOALS)),) --run $(call quoted,$(MODEL)) $(if $(OUT),--output $(call quoted,$(OUT)),)

.PHONY: test
test: $(READY) ## run the tests, slow ones excepted
	@$(PY) -m pytest -n 2 --dist loadfile

.PHONY: fuzz
fuzz: $(READY) ## read thousands of damaged files and count what becomes of them: make fuzz [COUNT=2000 of each kind, SEED=0]
	@$(PY) -m tests.fuzz --count $(call quoted,$(COUNT)) --seed $(call quoted,$(SEED))

.PHONY: lint
lint: $(READY) ## check style and types
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

.PHONY: clean
clean: ## remove .venv and caches; data/ and runs/ stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache build *.egg-info data/cache
