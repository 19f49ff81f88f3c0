#!/usr/bin/env bash
# Build the wheel, and of it a container image with docker, podman or apptainer, the first of them that works here. $PY is
# the Python of the environment; $TORCH is as tools/image_install.sh takes it, $SOURCE an address for the image's label.
set -euo pipefail
cd "$(dirname "$0")/.."
TORCH=${TORCH:-cpu}

# Its command may be there without the daemon that does the work
if docker info &>/dev/null; then
  builder=docker
elif command -v podman >/dev/null; then
  builder=podman
elif command -v apptainer >/dev/null; then
  builder=apptainer
else
  echo "error: neither docker (with its daemon running), podman nor apptainer works here; install one of them" >&2
  exit 2
fi

rm -f dist/pneumobundle-*.whl
"$PY" -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir dist .
wheels=(dist/pneumobundle-*.whl)
version=$(basename "${wheels[0]}" | cut -d- -f2)

if [ $builder = apptainer ]; then
  exec apptainer build --force --build-arg "TORCH=$TORCH" "pneumobundle-$version.sif" apptainer.def
fi
# Images of OCI's own format, podman's usual one, have no HEALTHCHECK
format=()
[ $builder = docker ] || format=(--format docker)
exec $builder build "${format[@]}" --build-arg "TORCH=$TORCH" --build-arg "VERSION=$version" \
  --build-arg "REVISION=$(git describe --always --abbrev=40 --exclude='*' --dirty 2>/dev/null || true)" \
  --build-arg "SOURCE=${SOURCE:-}" --tag "pneumobundle:$version" --tag pneumobundle:latest .
