#!/usr/bin/env bash
# Make $VENV with $PYTHON and install the project into it under constraints.txt, with the extra of setup.cfg that
# $INSTALL_EXTRA names (dev). A torch that $PYTHON has already (an environment module, a container, an earlier set-up), or
# that $TORCH names, is kept.
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { echo "error: $1" >&2; exit 2; }

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
  fail "$PYTHON is not Python 3.10 or newer; name one that is, such as: make setup PYTHON=python3.11"
if [ ! -x "$VENV/bin/python" ]; then
  see_torch=()
  if "$PYTHON" -c 'import torch' 2>/dev/null; then see_torch=(--system-site-packages); fi
  "$PYTHON" -m venv "${see_torch[@]}" "$VENV" ||
    fail "$PYTHON cannot make a virtual environment; on Debian: apt-get install python3-venv"
fi

# Compiled by all cores at once instead, and without the packages' own tests
pip=("$VENV/bin/python" -m pip --disable-pip-version-check install --quiet --no-compile)
constraints=$(mktemp)
trap 'rm -f "$constraints"' EXIT

compile_modules() {
  # A few files are templates, or of other Pythons
  "$VENV/bin/python" -m compileall -qq -j 0 -x '[/\\]tests?[/\\]' "$VENV"/lib/python*/site-packages || true
}

torch_version() { "$VENV/bin/python" -c 'import importlib.metadata as m; print(m.version("torch"))' 2>/dev/null; }

echo "Setting up $VENV (once; a few minutes)"
if [ -n "${TORCH:-}" ]; then
  # shellcheck disable=SC2086 # a requirement and its options are several words
  "${pip[@]}" $TORCH
elif ! torch_version >/dev/null; then
  # By itself and before all others: asked for as a dependency, pip may choose another build, gigabytes larger.
  "${pip[@]}" "$(grep '^torch==' constraints.txt)"
fi
# Beside what pip downloads
compile_modules &
sed "s/^torch==.*/torch==$(torch_version)/" constraints.txt > "$constraints"
"${pip[@]}" -c "$constraints" -e ".[${INSTALL_EXTRA:-dev}]"
wait
compile_modules
echo "Ready: torch $(torch_version)"
