#!/usr/bin/env bash
# Build the wheel and use it as somebody does who has nothing else: in an environment and a folder without the checkout,
# beside files that have the names of our folders. Then give what it made to the checkout, and the other way round.
#
# The environment has the packages of .venv; with FRESH=1 pip installs what the wheel asks for, which takes minutes. QUICK=1
# trains one fold and exports no bundle.
set -euo pipefail
cd "$(dirname "$0")/.."
checkout=$PWD
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset PYTHONPATH VIRTUAL_ENV
say() { echo "== $1"; }

say "wheel"
.venv/bin/python -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir "$scratch/dist" .
ls -l "$scratch"/dist/*.whl
.venv/bin/python -m venv "$scratch/env"
bin=$scratch/env/bin
pip=("$bin/python" -m pip --disable-pip-version-check install --quiet)
if [ -n "${FRESH:-}" ]; then
  "${pip[@]}" "$(grep '^torch==' constraints.txt)"
  "${pip[@]}" -c constraints.txt "$scratch"/dist/*.whl
else
  # A line of paths adds the folder, not what the .pth files in it add, such as this checkout
  "$bin/python" -c "import sysconfig; print(sysconfig.get_path('purelib'))" > "$scratch/purelib"
  .venv/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > "$(cat "$scratch/purelib")/packages.pth"
  "${pip[@]}" --no-deps "$scratch"/dist/*.whl
fi

mkdir "$scratch/work"
cd "$scratch/work"
for name in pipeline transforms evaluation; do echo "raise SystemExit('a foreign $name was imported')" > "$name.py"; done
quick="{'max_epochs': 1, 'iterations_per_epoch': 2}"
say "help, version, check"
"$bin/pneumobundle" --help > help.txt
"$bin/pneumobundle" --version
"$bin/pneumobundle" phantom --patients 4
"$bin/pneumobundle" check data/phantom --quiet
say "cross-validation"
"$bin/pneumobundle" cv --folds 2 ${QUICK:+--fold 0} --data data/phantom --preset demo --overrides "$quick" --out runs/cv --log cv.log
say "predict"
"$bin/pneumobundle" predict data/phantom/images/phantom_01.nii.gz --model runs/cv/fold0 --out labels
say "from Python"
"$bin/python" - <<'PYTHON'
import sys
from pathlib import Path

import SimpleITK as sitk

import pneumobundle as pb

sys.path.insert(0, "")
model = pb.load("runs/cv/fold0", device="cpu")
result = model.segment("data/phantom/images/phantom_01.nii.gz")
image = sitk.ReadImage("data/phantom/images/phantom_01.nii.gz")
voxels = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
again = pb.load("runs/cv/fold0", device="cpu").segment(voxels, affine=result.affine)
assert (again.label == result.label).all()
assert Path(pb.__file__).is_relative_to(sys.prefix), pb.__file__
rows = pb.evaluate(result.label, result.label, spacing_mm=result.spacing_mm)
print(result, len(rows), "rows")
result.save("saved")
PYTHON
cmp labels/phantom_01.nii.gz saved/phantom_01.nii.gz
if [ -z "${QUICK:-}" ]; then
  say "bundle"
  "$bin/pneumobundle" bundle --network unet_3d --run runs/cv --out bundles
fi

say "what the wheel made, in the checkout"
cd "$checkout"
run() { .venv/bin/python -m pneumobundle "$@"; }
scan=$scratch/work/data/phantom/images/phantom_01.nii.gz
run predict "$scan" --model "$scratch/work/runs/cv/fold0" --out "$scratch/by_checkout" --no-pages
cmp "$scratch/work/labels/phantom_01.nii.gz" "$scratch/by_checkout/phantom_01.nii.gz"
if [ -z "${QUICK:-}" ]; then
  # Without --trust: its code is this checkout's, to the byte
  run predict "$scan" --model "$scratch"/work/bundles/*_segmentation --out "$scratch/by_bundle" --no-pages
  cmp "$scratch/work/labels/phantom_01.nii.gz" "$scratch/by_bundle/phantom_01.nii.gz"
fi
run status "$scratch/work/runs/cv"
if [ -n "${CHECKOUT_RUN:-}" ]; then
  say "what the checkout made, with the wheel"
  run predict "$scan" --model "$CHECKOUT_RUN" --out "$scratch/own" --no-pages
  model=$(realpath "$CHECKOUT_RUN")
  (cd "$scratch/work" && "$bin/pneumobundle" predict "$scan" --model "$model" --out ../by_wheel --no-pages)
  cmp "$scratch/own/phantom_01.nii.gz" "$scratch/by_wheel/phantom_01.nii.gz"
fi
say "the wheel works alone"
