"""How many images a series has, asked of whoever sent it: by C-FIND, which archives answer."""

from __future__ import annotations

import logging

from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as Find  # type: ignore[attr-defined]

from pipeline.node.delivery import client_context
from pipeline.node.series import Series
from pipeline.node.settings import Settings

logger = logging.getLogger(__name__)
SECONDS = 5.0
PENDING = (0xFF00, 0xFF01)


def images_of(settings: Settings, series: Series) -> int:
    """Images of a series as its sender says; 0 where it does not, as most modalities, or is away."""
    peer = settings.peers.get(series.sender)
    if peer is None or not peer.host or not peer.find:
        return 0
    application = AE(settings.aet)
    application.acse_timeout = application.dimse_timeout = application.connection_timeout = SECONDS
    application.add_requested_context(Find)
    tls = (client_context(settings.tls), peer.host) if peer.tls and settings.tls else None
    association = application.associate(peer.host, peer.port, ae_title=peer.name, tls_args=tls)
    if not association.is_established:
        return 0
    asked = Dataset()
    asked.QueryRetrieveLevel = "SERIES"
    asked.StudyInstanceUID, asked.SeriesInstanceUID = series.study_uid, series.series_uid
    asked.NumberOfSeriesRelatedInstances = None
    try:
        answers = [found for status, found in association.send_c_find(asked, Find) if status.get("Status") in PENDING]
    finally:
        association.release()
    told = [int(found.get("NumberOfSeriesRelatedInstances") or 0) for found in answers if found is not None]
    logger.info("%s: %s says that it has %d images", series.case, peer.name, max(told, default=0))
    return max(told, default=0)
