"""Publish a bundle as a repository of the Hugging Face hub, by MONAI's own function.

pneumobundle push build/bundles/lung_ct_covid_unet_3d_segmentation --repo user/name
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from monai.bundle import push_to_hf_hub
from monai.utils import optional_import

from pipeline.bundle_files.archive import check_checksums, copy_files
from pipeline.core.atomic import read_json
from pipeline.core.errors import InputError


def push(bundle: Path, repo: str, private: bool = True) -> str:
    """Upload a bundle and tag it with its version; gives its address.

    The token is the one that `hf auth login` stored, or HF_TOKEN. Raises InputError for a missing package, a name that
    is none of a repository, and files that are not those of the checksum file.
    """
    if not optional_import("huggingface_hub")[1]:
        raise InputError(
            "huggingface_hub is not installed, which publishing needs; install it with "
            "`.venv/bin/python -m pip install huggingface_hub`."
        )
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise InputError(f"REPO is {repo!r}, expected the name of a repository such as user/{bundle.name}.")
    if not (bundle / "configs" / "metadata.json").is_file():
        raise InputError(f"BUNDLE is {bundle}, which has no configs/metadata.json; give the folder of a bundle.")
    check_checksums(bundle)
    version = read_json(bundle / "configs" / "metadata.json")["version"]
    with tempfile.TemporaryDirectory() as scratch:
        # A copy: MONAI writes the hub's page into the folder that it uploads
        copy_files(bundle, Path(scratch) / bundle.name)
        return str(push_to_hf_hub(repo=repo, name=bundle.name, bundle_dir=scratch, private=private, version=version))
