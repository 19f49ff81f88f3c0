"""A run of the load: who is started, killed, asked, and what is counted in the end."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from node_makers import associate, free_port
from orthanc_server import Orthanc

from pipeline.core.project import ROOT
from tests.load.senders import Senders, chests, malformed, renewed, send_until_taken

SETTINGS = """
aet: PNEUMO
port: {port}
quiet_s: 2
broken_off_s: 20
retry_s: 1
longest_retry_s: 5
limits: {{free_disk_mb: 500, queue: 1000}}
peers:
  ORTHANC: {{host: 127.0.0.1, port: {orthanc}, may_send: true}}
  MODALITY: {{host: 127.0.0.1, port: {orthanc}, may_send: true, send_to: [ORTHANC]}}
"""
LOOK_S = 2.0
# Without anything new for so long it is over
PATIENCE_S = 240.0


class Load:
    """Args are those of `python -m tests.load`."""

    def __init__(
        self, folder: Path, series: int, slices: int, senders: int, kills: int, malformed_objects: int, seed: int
    ) -> None:
        self.folder, self.count, self.senders = folder, series, senders
        self.malformed, self.draw = malformed_objects, random.Random(seed)
        self.chests = chests(slices)
        self.every = [renewed(self.chests[number % len(self.chests)], number) for number in range(series)]
        self.expected = {str(each[0].StudyInstanceUID) for each in self.every}
        # Which of both is killed once so many series are back
        self.kills = [
            (round((turn + 1) * series / (kills + 1)), name) for turn in range(kills) for name in ("node", "Orthanc")
        ]
        self.memory_mib: list[float] = []
        self.statuses: Counter[str] = Counter()

    def run(self) -> bool:
        """Whether each series came back, once."""
        self.port = free_port()
        self.orthanc = Orthanc(self.folder, self.port, stable_s=10)
        settings = SETTINGS.format(port=self.port, orthanc=self.orthanc.port)
        (self.folder / "node.yaml").write_text(settings)
        self.start_node()
        began = time.monotonic()
        senders = Senders(self.every, self.senders, self.orthanc.port)
        aside = threading.Thread(target=self.trouble, daemon=True)
        aside.start()
        back = self.watch(lambda: senders.are_done() and not aside.is_alive())
        seconds = time.monotonic() - began
        # What would come twice has time to
        time.sleep(3 * LOOK_S)
        good = self.tell(seconds, back)
        self.node.terminate()
        self.node.wait()
        self.orthanc.stop()
        return good

    def start_node(self) -> None:
        words = [sys.executable, "-m", "pneumobundle", "serve", str(self.folder / "node.yaml"), "--no-pages"]
        with (self.folder / "node.log").open("a") as log:
            self.node = subprocess.Popen([*words, "--out", str(self.folder / "out")], cwd=ROOT, stdout=log, stderr=log)

    def trouble(self) -> None:
        """What comes to the node itself beside the load, by MODALITY."""
        first, second = (renewed(self.chests[0], self.count + number) for number in range(2))
        self.expected |= {str(each[0].StudyInstanceUID) for each in (first, second)}
        send_until_taken(self.port, "PNEUMO", first, "MODALITY")
        # It breaks off in the middle, and sends all of it later
        association = associate(self.port, "MODALITY", "PNEUMO")
        if association.is_established:
            for each in second[: len(second) // 2]:
                association.send_c_store(each)
            association.abort()
        for each in malformed(self.chests[0], self.malformed):
            self.statuses[self.status_of(each)] += 1
        send_until_taken(self.port, "PNEUMO", first, "MODALITY")
        send_until_taken(self.port, "PNEUMO", second, "MODALITY")

    def status_of(self, dataset: object) -> str:
        """Of one object, sent until there is an answer."""
        while True:
            association = associate(self.port, "MODALITY", "PNEUMO")
            if association.is_established:
                try:
                    status = association.send_c_store(dataset).get("Status")
                except RuntimeError:
                    status = None
                association.release()
                if status is not None:
                    return f"{status:04X}"
            time.sleep(0.5)

    def watch(self, all_sent: object) -> Counter[str]:
        """Look until all is back; kill in between."""
        back: Counter[str] = Counter()
        changed = time.monotonic()
        while time.monotonic() - changed < PATIENCE_S:
            self.look_at_memory()
            self.orthanc.store_another()
            now = self.back()
            if now != back:
                back, changed = now, time.monotonic()
            self.kill_one(len(back))
            if all_sent() and not self.kills and self.expected <= {*back} and min(back.values()) >= 2:  # type: ignore[operator]
                break
            time.sleep(LOOK_S)
        return back

    def kill_one(self, back: int) -> None:
        if not self.kills or back < self.kills[0][0]:
            return
        _, name = self.kills.pop(0)
        time.sleep(self.draw.uniform(0, 3))
        if name == "node":
            self.node.kill()
            self.node.wait()
            self.start_node()
        else:
            self.orthanc.kill()
            self.orthanc.start()

    def look_at_memory(self) -> None:
        try:
            lines = Path(f"/proc/{self.node.pid}/status").read_text().splitlines()
        except OSError:
            return
        self.memory_mib += [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")]

    def back(self) -> Counter[str]:
        """Segmentations and reports in Orthanc, by study."""
        found: Counter[str] = Counter()
        for modality in ("SEG", "SR"):
            query = {"Level": "Instance", "Query": {"Modality": modality}, "Expand": True}
            for each in self.orthanc.ask("/tools/find", query):
                study = self.orthanc.ask(f"/instances/{each['ID']}/study")
                found[study["MainDicomTags"]["StudyInstanceUID"]] += 1
        return found

    def tell(self, seconds: float, back: Counter[str]) -> bool:
        back = self.back()
        lost = [study for study in self.expected if back[study] < 2]
        twice = [study for study, count in back.items() if count > 2]
        quarter = max(len(self.memory_mib) // 4, 1)
        early, late = (sorted(part)[len(part) // 2] for part in (self.memory_mib[:quarter], self.memory_mib[-quarter:]))
        print(f"{len(self.expected)} series in {seconds:.0f} s, {seconds / len(self.expected):.1f} s a series")
        print(f"lost {len(lost)}, back more than once {len(twice)}, kills left {len(self.kills)}")
        print(f"memory of the node, MiB: median of the first quarter {early:.0f}, of the last {late:.0f}, "
              f"highest {max(self.memory_mib):.0f}")  # fmt: skip
        print(f"answers to malformed objects: {dict(self.statuses)}")
        return not lost and not twice and not self.kills
