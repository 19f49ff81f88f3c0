"""Series in by DICOM: associations of those who are known, whose CT images go into the spool as they come."""

from __future__ import annotations

import logging
import ssl
import threading
import uuid
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt
from pynetdicom.pdu_primitives import A_RELEASE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from pipeline.node.addresses import calls_from, is_among
from pipeline.node.arrival import OUT_OF_RESOURCES, PROCESSING_FAILED, TRANSFER_SYNTAXES, RefusedError, look_at
from pipeline.node.gatherer import Gatherer
from pipeline.node.settings import MIB, Settings, Tls
from pipeline.scans.dicom.headers import CT_CLASSES

logger = logging.getLogger(__name__)
SUCCESS = 0x0000
# DICOM's longest comment on an error
LONGEST_COMMENT = 64
# Of A-ASSOCIATE-RJ: for good, by the service's user, since the calling title is not known
UNKNOWN_CALLER = (1, 1, 3)
PDU_BYTES = 1 << 17


class Receiver:
    """Listens for associations from the moment it is made until `stop`.

    Args:
        settings: who is known, and how much one may bring.
        gatherer: that takes the images. The process's folder for temporary files is to be `incoming` of its spool.
    """

    def __init__(self, settings: Settings, gatherer: Gatherer) -> None:
        self.settings, self.gatherer = settings, gatherer
        self.brought: dict[Any, int] = {}
        self.names: dict[Any, str] = {}
        self.lock = threading.Lock()
        # An image is written as it comes: memory holds no whole one
        _config.STORE_RECV_CHUNKED_DATASET = True
        # They quote what was sent, which may name a patient; what matters is told below
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
        self.server: Any = self._application().start_server(
            (settings.host, settings.port),
            block=False,
            evt_handlers=[
                (evt.EVT_REQUESTED, self.requested),
                (evt.EVT_ESTABLISHED, self.established),
                (evt.EVT_DATA_RECV, self.came),
                (evt.EVT_C_ECHO, lambda event: SUCCESS),
                (evt.EVT_C_STORE, self.stored),
                (evt.EVT_REJECTED, self.rejected),
                (evt.EVT_ACSE_RECV, self.told),
                (evt.EVT_ABORTED, lambda event: self.ended(event, False)),
                (evt.EVT_CONN_CLOSE, lambda event: self.ended(event, False)),
            ],
            ssl_context=server_context(settings.tls) if settings.tls else None,
        )

    def _application(self) -> AE:
        application = AE(self.settings.aet)
        application.maximum_associations = self.settings.limits.associations
        application.maximum_pdu_size = PDU_BYTES
        application.network_timeout = self.settings.idle_s
        application.require_called_aet = True
        application.require_calling_aet = [peer.name for peer in self.settings.peers.values() if peer.may_send] or [""]
        application.add_supported_context(Verification)
        for sop_class in CT_CLASSES:
            application.add_supported_context(sop_class, [*TRANSFER_SYNTAXES])
        return application

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def listens(self) -> bool:
        return bool(self.server.socket.fileno() >= 0)

    def stop(self) -> None:
        """Take no more; who is sending is told so."""
        self.server.shutdown()

    def requested(self, event: Any) -> None:
        """Somebody calls: by a title that is not known pynetdicom refuses, from an address that is not, this does."""
        requestor = event.assoc.requestor
        peer = self.settings.peers.get(_title(event))
        if peer is not None and not is_among(requestor.address, calls_from(peer)):
            event.assoc.acse.send_reject(*UNKNOWN_CALLER)
            self.rejected(event)
            event.assoc.kill()

    def rejected(self, event: Any) -> None:
        # A title is somebody's words, and nobody known said them
        known = _title(event) if _title(event) in self.settings.peers else "an unknown title"
        logger.warning("refused an association of %s from %s", known, event.assoc.requestor.address)

    def established(self, event: Any) -> None:
        with self.lock:
            self.names[event.assoc] = uuid.uuid4().hex
            self.brought[event.assoc] = 0

    def came(self, event: Any) -> None:
        """Count bytes; one who brings more than an association or an object may have is cut off."""
        with self.lock:
            if event.assoc not in self.brought:
                return
            self.brought[event.assoc] += len(event.data)
            brought = self.brought[event.assoc]
        message = event.assoc.dimse.message
        file = getattr(message, "_data_set_file", None)
        of_object = file.tell() if file and not file.closed else 0
        limits = self.settings.limits
        if brought > limits.association_mb * MIB or of_object > limits.object_mb * MIB:
            logger.warning("%s sent more than an association or an object may have; cut off", _title(event))
            event.assoc.abort()

    def stored(self, event: Any) -> int | Dataset:
        """C-STORE: the status that the sender gets, of success only when the image is on the disk for good."""
        path = event.dataset_path
        if path is None:
            return _status(PROCESSING_FAILED, "it came without an image")
        event.request._dataset_file.flush()
        try:
            arrival = look_at(path, event.request.AffectedSOPClassUID, event.request.AffectedSOPInstanceUID)
        except RefusedError as error:
            self.gatherer.refused(error.series, error.instance)
            return self.refused(event, error)
        try:
            self.gatherer.add(arrival, path, _title(event), self.names[event.assoc])
        except RefusedError as error:
            return self.refused(event, error)
        except OSError as error:
            self.gatherer.refused(arrival.series, arrival.instance)
            why = f"it cannot be written ({error.strerror})"
            return self.refused(event, RefusedError(OUT_OF_RESOURCES, why, arrival.series))
        return SUCCESS

    def refused(self, event: Any, error: RefusedError) -> Dataset:
        of = f"an image of series_{error.series}" if error.series else "an object"
        logger.warning("refused %s from %s (%04X): %s", of, _title(event), error.status, error)
        return _status(error.status, str(error))

    def told(self, event: Any) -> None:
        """A sender that asks to end is done, which is noted before it is answered: a kill in between loses nothing."""
        if isinstance(event.primitive, A_RELEASE):
            self.ended(event, True)

    def ended(self, event: Any, in_order: bool) -> None:
        with self.lock:
            name = self.names.pop(event.assoc, None)
            self.brought.pop(event.assoc, None)
        if name is None:
            return
        if not in_order:
            logger.warning("%s broke off its association", _title(event))
        self.gatherer.association_ended(name, _title(event), in_order)


def _title(event: Any) -> str:
    return str(event.assoc.requestor.ae_title or event.assoc.requestor.primitive.calling_ae_title).strip()


def _status(status: int, why: str) -> Dataset:
    told = Dataset()
    told.Status, told.ErrorComment = status, why[:LONGEST_COMMENT]
    return told


def server_context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls.authorities or None)
    context.load_cert_chain(tls.certificate, tls.key)
    context.verify_mode = ssl.CERT_REQUIRED if tls.authorities else ssl.CERT_NONE
    return context
