#!/usr/bin/env bash
# Make the environments of the tests marked `clients`, each with a program that runs bundles, or trains on our data, and
# with what it needs, below a folder (build/clients):
#   tools/clients_for_tests.sh [FOLDER] [monai_label] [deploy] [nnunet]
# What is there already stays. These programs ask for more than they use here, gigabytes of CUDA among it; so they come
# without their dependencies, and what they do use is named. $PYTHON (python3) must be 3.10 or 3.11: MONAI Label 0.8.5
# imports distutils, which ended with 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."
FOLDER=${1:-build/clients}
shift || true
CLIENTS=("${@:-monai_label deploy nnunet}")

begin() { # NAME: a new environment with the torch and MONAI that the bundles are of
  environment=$FOLDER/$1
  echo "Making $environment (a few minutes)"
  "${PYTHON:-python3}" -m venv --clear "$environment"
  pip=("$environment/bin/python" -m pip --disable-pip-version-check install --quiet)
  # By itself and before all others: asked for as a dependency, pip may choose another build, gigabytes larger
  "${pip[@]}" "$(grep '^torch==' constraints.txt)"
}

finish() { # IMPORTED: marked as whole only when that can be imported
  (cd "$environment" && bin/python -W ignore -c "import $1")
  touch "$environment/complete"
  echo "Ready: $environment"
}

# Of bundles: required_packages_version of their metadata.json
BUNDLES=(fire jsonschema nibabel pytorch-ignite SimpleITK batchgenerators scipy numpy pyyaml tensorboard tqdm)

monai_label() {
  begin monai_label
  # torchvision, of which MONAI Label uses the grids of pictures: 0.15.2 can be imported beside another torch than its
  # own, 0.28 cannot. itk-core and itk-io in place of itk: 0.5 of 1.5 GB. numpymaxflow: 0.0.6 is the newest that installs.
  # Without sam2, whose models are then not offered
  "${pip[@]}" --no-deps monailabel==0.8.5 "$(grep '^monai==' constraints.txt)" pydicom==2.4.4 dicomweb-client==0.59.1 \
    pynetdicom==2.0.2 pydicom-seg==0.4.1 torchvision==0.15.2 itk-core==5.4.6 itk-io==5.4.6 numpymaxflow==0.0.6
  # pip says what of it asks for others than these, and goes on
  grep -vE '^(pydicom|highdicom)==' constraints.txt >"$environment/constraints.txt"
  "${pip[@]}" -c "$environment/constraints.txt" "${BUNDLES[@]}" \
    bcrypt cachetools einops expiring_dict expiringdict fastapi filelock girder-client google-auth httpx passlib pillow \
    psutil pydantic pydantic-settings pyjwt pynrrd python-dotenv python-multipart requests requests-toolbelt retrying \
    schedule scikit-image shapely timeloop uvicorn watchdog
  finish monailabel.main
}

deploy() {
  begin deploy
  # Of holoscan the import alone is used, which does without CUDA and cupy; wheel-axle-runtime, with which it is laid out,
  # has to be there first
  "${pip[@]}" 'wheel-axle-runtime<1.0'
  "${pip[@]}" --no-deps monai-deploy-app-sdk==4.0.0 holoscan-cu13==4.2.0 "$(grep '^monai==' constraints.txt)"
  "${pip[@]}" -c constraints.txt "${BUNDLES[@]}" pydicom highdicom cloudpickle colorama typeguard 'tritonclient[http,grpc]'
  finish monai.deploy.operators.monai_bundle_inference_operator
}

nnunet() {
  begin nnunet
  "${pip[@]}" --no-deps nnunetv2==2.8.1 dynamic-network-architectures==0.4.4 batchgeneratorsv2==0.3.6 acvl-utils==0.2.6 \
    batchgenerators==0.25.5 blosc2==4.14.1 unittest2 "$(grep '^monai==' constraints.txt)"
  "${pip[@]}" einops graphviz imagecodecs matplotlib nibabel numpy pandas requests scikit-image scikit-learn scipy seaborn \
    SimpleITK tifffile tqdm yacs future pillow threadpoolctl httpx msgpack ndindex numexpr pydantic rich \
    connected-components-3d
  finish nnunetv2.experiment_planning.plan_and_preprocess_api
}

for client in ${CLIENTS[*]}; do
  case $client in monai_label | deploy | nnunet) ;; *) sed -n '2,8s/^# //p' "$0"; exit 2 ;; esac
  [ -e "$FOLDER/$client/complete" ] || "$client"
done
