#!/usr/bin/env bash
# Make build/nnunet, a Python environment with nnU-Net v2 beside the torch of this project: with it `make benchmark` has
# a row of nnU-Net. Its package asks for torchvision, of which no build fits every CPU build of torch, and inference does
# without; so what it needs is named here one by one.
set -euo pipefail
cd "$(dirname "$0")/.."
environment=build/nnunet
"${PYTHON:-python3}" -m venv "$environment"
pip=("$environment/bin/python" -m pip --disable-pip-version-check install --quiet)
# By itself and before all others: asked for as a dependency, pip may choose another build, gigabytes larger
"${pip[@]}" "$(grep '^torch==' constraints.txt)"
"${pip[@]}" --no-deps nnunetv2==2.8.1 dynamic-network-architectures==0.4.4 batchgeneratorsv2==0.3.6 acvl-utils==0.2.6 \
  batchgenerators==0.25.5 blosc2==4.14.1 "$(grep '^monai==' constraints.txt)"
"${pip[@]}" connected-components-3d einops future graphviz httpx imagecodecs matplotlib msgpack ndindex nibabel numexpr \
  numpy pandas pillow pydantic pyyaml requests rich scikit-image scikit-learn scipy seaborn SimpleITK threadpoolctl tifffile \
  tqdm unittest2 yacs
"$environment/bin/python" -W ignore -c 'import nnunetv2.inference.predict_from_raw_data'
echo "Ready: $environment"
