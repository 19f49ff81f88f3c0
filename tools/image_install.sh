#!/usr/bin/env bash
# What Dockerfile and apptainer.def install, in one place: an environment /opt/pneumobundle with torch and, under
# constraints.txt, the wheel of a folder that has both:
#   tools/image_install.sh FOLDER
# $TORCH: requirement and options of pip for another torch; cpu, or nothing, is the constraints' from the index of builds
# for CPUs.
set -euo pipefail
FOLDER=$1
PREFIX=/opt/pneumobundle
TORCH=${TORCH:-cpu}
CPU_BUILDS=https://download.pytorch.org/whl/cpu
fail() { echo "error: $1" >&2; exit 2; }

wheels=("$FOLDER"/pneumobundle-*.whl)
[ -e "${wheels[0]}" ] || fail "$FOLDER has no wheel pneumobundle-*.whl; make one with: make wheel"
[ ${#wheels[@]} = 1 ] || fail "$FOLDER has ${#wheels[@]} wheels, expected one; remove those of other versions: ${wheels[*]}"

python3 -m venv "$PREFIX"
python=$PREFIX/bin/python
pip=("$python" -m pip --disable-pip-version-check --no-cache-dir install --quiet --no-compile)
# By itself and before all others: asked for as a dependency, pip may choose another build, gigabytes larger
[ "$TORCH" != cpu ] || TORCH="$(grep '^torch==' "$FOLDER/constraints.txt") --index-url $CPU_BUILDS"
# shellcheck disable=SC2086 # a requirement and its options are several words
"${pip[@]}" $TORCH
torch=$("$python" -c 'import importlib.metadata as m; print(m.version("torch"))')
constraints=$(mktemp)
trap 'rm -f "$constraints"' EXIT
sed "s/^torch==.*/torch==$torch/" "$FOLDER/constraints.txt" >"$constraints"
"${pip[@]}" -c "$constraints" "${wheels[0]}[node]"
"$python" -m pip --disable-pip-version-check check
# pip is for this script alone
"$python" -m pip --disable-pip-version-check uninstall --quiet --yes pip
# Nothing is written there when it runs. A few files are templates, or of other Pythons
"$python" -m compileall -qq -j 0 -x '[/\\]tests?[/\\]' "$PREFIX"/lib/python*/site-packages || true
"$PREFIX/bin/pneumobundle" --version
