"""A node with a model that is loaded once."""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.core.claims import FOLDER, Claims
from pipeline.core.errors import InputError
from pipeline.core.machine import keep_allocations
from pipeline.folders.inputs import Input
from pipeline.folders.manifest import Manifest
from pipeline.inference.chosen_model import Model
from pipeline.node.node import RESULTS, Node
from pipeline.node.settings import Settings
from pipeline.node.worker import Segment
from pipeline.prediction.batch import Batch
from pipeline.prediction.case_segmenter import CaseSegmenter

logger = logging.getLogger(__name__)


def serve(settings: Settings, model: Model, folder: Path, pages: bool = True) -> None:
    """Be a node until this process is told to end. InputError where another one has the folder, or the port."""
    keep_allocations()
    results = folder / RESULTS
    results.mkdir(parents=True, exist_ok=True)
    with Claims(folder / FOLDER) as nodes, nodes.held("node") as mine, Claims(results / FOLDER) as claims:
        if not mine:
            raise InputError(f"OUT is {folder}, where another node works; end it, or give another folder.")
        cases = CaseSegmenter(model, results, pages, rtstruct=settings.rtstruct)
        software = cases.scans.made_by.software.get("pneumobundle", "")
        named = str(model.facts.get("network") or model.facts.get("bundle") or "")
        segment = segment_of(Batch(cases, merged=False), claims)
        node = Node(settings, folder, segment, named, f"PneumoBundle {software}")
        with node.open():
            web = f", http://{settings.web.host}:{settings.web.port}" if settings.web else ""
            port = node.receiver.port
            logger.info("%s listens on %s:%d%s", settings.aet, settings.host, port, web)
            node.run()


def segment_of(batch: Batch, claims: Claims) -> Segment:
    """What segments by a batch: each series once, and one at which the process ended too often not again."""

    def segment(item: Input) -> Manifest:
        found = batch.settled_or_claimed(claims, item)
        if found is None:
            raise InputError(f"{item.case}: another process segments in the node's folder; end it.")
        return found[0]

    return segment
