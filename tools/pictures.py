"""Take the pictures of the README: a report's first screen, and the page of a scan that its first fold has not seen.

    python -m tools.pictures runs/unet_3d/cv

Both are of the synthetic chests; a run on anything else is refused, since pictures of patients do not belong there. It
needs Chromium on the path and the extra `browser`.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
from pathlib import Path

from PIL import Image

from pipeline.core.errors import InputError, report_plainly

PICTURES = Path("docs/pictures")
PHANTOM = Path("data/phantom")
LABELS = Path("build/pictures")
SCREEN = {"width": 1060, "height": 780}
QUALITY = 80


def main(run: Path) -> None:
    """Write `report.webp` and `scan.webp`; InputError for a run of other scans, or one that is not finished."""
    report = run / "report.html"
    if not report.is_file():
        raise InputError(f"{run}: there is no report; `make cv FOLDS=5 OUT={run}` writes one.")
    check_synthetic(run)
    case = json.loads((run / "folds.json").read_text(encoding="utf-8"))["folds"][0]["test"][0]
    for page, picture in ((report, "report"), (page_of(case, run), "scan")):
        file = PICTURES / f"{picture}.webp"
        Image.open(io.BytesIO(screenshot(page))).convert("RGB").save(file, quality=QUALITY, method=6)
        print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


def check_synthetic(run: Path) -> None:
    """Raise InputError unless every scan of a run is one of the synthetic chests, by its hash."""
    known = PHANTOM / "manifest.json"
    if not known.is_file():
        raise InputError(f"{known} is missing, which tells synthetic scans from others; `make data` writes it.")
    synthetic = {case["image_sha256"] for case in json.loads(known.read_text(encoding="utf-8"))["cases"]}
    cases = json.loads((run / "datalist.json").read_text(encoding="utf-8"))["training"]
    others = [case["case"] for case in cases if case["image_sha256"] not in synthetic]
    if others:
        raise InputError(f"{run}: {others[0]} is none of {PHANTOM}; pictures are taken of synthetic scans alone.")


def page_of(case: str, run: Path) -> Path:
    """The page of a scan, segmented by the model of a run's first fold."""
    given = (f"INPUT={PHANTOM}/images/{case}.nii.gz", f"OUT={LABELS}", f"MODEL={run}/fold0")
    subprocess.run(["make", "--silent", "--no-print-directory", "predict", *given], check=True)
    return LABELS / f"{case}.html"


def screenshot(page: Path) -> bytes:
    """The first screen of a page on the disk, as PNG."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError as error:
        raise InputError(
            "pictures are taken by playwright, which is not installed: "
            ".venv/bin/python -m pip install -c constraints.txt -e '.[browser]'"
        ) from error
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise InputError("pictures are taken by Chromium, and there is none on the path: apt-get install chromium")
    with sync_playwright() as started:
        # A container's root has no sandbox; the pages are our own
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shown = browser.new_page(viewport=SCREEN, color_scheme="light")
        shown.goto(page.resolve().as_uri())
        shown.wait_for_selector("#viewer[data-case]")
        picture = shown.screenshot()
        browser.close()
    return bytes(picture)


if __name__ == "__main__":
    report_plainly()
    parser = argparse.ArgumentParser(prog="python -m tools.pictures", description="Take the pictures of the README.")
    parser.add_argument("run", type=Path, help="folder of a finished cross-validation of data/phantom")
    main(parser.parse_args().run)
