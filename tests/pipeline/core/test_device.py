"""The device is what was asked for, else the best of the machine; what is not there is refused by name."""

from __future__ import annotations

import ast
import logging
import re

import pytest
import torch

from pipeline.core import device as devices
from pipeline.core.device import ENVIRONMENT, check_device, chosen_device, disagreement, name_of
from pipeline.core.errors import InputError
from pipeline.core.project import FOLDERS, ROOT

# Where a name of a kind is compared all the same: bf16 by oneDNN and 8 bits by OpenVINO are of processors alone
NAMES_CPU = {"pipeline/inferers/precision.py", "pipeline/inference/eight_bits.py"}


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A machine without any GPU, and a way to give it some: `machine(cuda=2, hip="6.4")`."""

    def given(cuda=0, hip=None, mps=False, built="12.8", trouble="", driver=False):
        monkeypatch.setattr("torch.cuda.is_available", lambda: cuda > 0)
        monkeypatch.setattr("torch.cuda.device_count", lambda: cuda)
        monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"GPU of {device}")
        monkeypatch.setattr("torch.version.cuda", built if hip is None else None)
        monkeypatch.setattr("torch.version.hip", hip)
        monkeypatch.setattr("torch.backends.mps.is_available", lambda: mps)
        monkeypatch.setattr("torch.backends.mps.is_built", lambda: mps)
        monkeypatch.setattr(devices, "apple_trouble", lambda: trouble)
        monkeypatch.setattr(devices, "_nvidia_there", lambda: driver)
        monkeypatch.setattr(devices, "_amd_there", lambda: False)
        monkeypatch.setattr("platform.system", lambda: "Linux")
        devices._tell.cache_clear()

    monkeypatch.delenv(ENVIRONMENT, raising=False)
    given()
    return given


@pytest.mark.parametrize(
    ("there", "kind"), [({}, "cpu"), ({"mps": True}, "mps"), ({"cuda": 1}, "cuda"), ({"cuda": 1, "mps": True}, "cuda")]
)
def test_unasked_the_best_is_taken_cuda_before_mps_before_the_processor(machine, there, kind):
    machine(**there)
    assert chosen_device() == torch.device(kind)
    assert chosen_device("auto") == torch.device(kind)


def test_the_environment_is_asked_before_the_machine(machine, monkeypatch):
    machine(cuda=1)
    monkeypatch.setenv(ENVIRONMENT, "cpu")
    assert chosen_device() == torch.device("cpu")


def test_a_name_is_asked_before_the_environment(machine, monkeypatch):
    machine(cuda=2)
    monkeypatch.setenv(ENVIRONMENT, "cpu")
    assert chosen_device("cuda:1") == torch.device("cuda:1")
    assert chosen_device(torch.device("cuda")) == torch.device("cuda")


def test_rocm_is_torch_s_cuda_and_called_by_its_name(machine):
    machine(cuda=1, hip="6.4")
    assert chosen_device() == torch.device("cuda")
    assert name_of(chosen_device()) == "GPU of cuda (ROCm)"


@pytest.mark.parametrize(
    ("name", "there", "said"),
    [
        ("cuda", {"built": None}, r"is a CPU build; .*; there is cpu\.$"),
        ("cuda", {}, r"for CUDA sees none .*; there is cpu\.$"),
        ("cuda", {"hip": "6.4"}, r"for ROCm sees none .*; there is cpu\.$"),
        ("cuda:2", {"cuda": 2}, r"no GPU of that number; there is cuda:0 \(GPU of cuda:0\), cuda:1 \(.*\), cpu\.$"),
        ("mps", {"cuda": 1}, r"is a build without mps; there is cuda:0 \(GPU of cuda:0\), cpu\.$"),
        ("mps", {"mps": True, "trouble": "it lacks pooling"}, r"but it lacks pooling; a newer torch may help"),
        ("gpu", {}, r"device is 'gpu', expected cpu, cuda, cuda:<number>, mps or auto; there is cpu\.$"),
        ("xpu", {}, "expected cpu, cuda"),
    ],
)
def test_what_is_asked_for_and_not_there_is_refused_with_what_is(machine, name, there, said):
    machine(**there)
    with pytest.raises(InputError, match=said):
        chosen_device(name)


def test_what_the_environment_asks_for_is_refused_by_the_environment_s_name(monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, "cuda")
    with pytest.raises(InputError, match=f"^{ENVIRONMENT} is 'cuda', but"):
        chosen_device()


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"driver": True, "built": None}, "seems to have a GPU, but this torch .* is a CPU build"),
        ({"driver": True}, "seems to have a GPU, but torch .* for CUDA sees none"),
        ({"mps": True, "trouble": "it computes wrong numbers"}, "not on Apple's GPU: it computes wrong numbers"),
    ],
)
def test_why_a_gpu_is_passed_over_is_told_once(machine, caplog, there, said):
    machine(**there)
    with caplog.at_level(logging.WARNING):
        assert {chosen_device().type for _ in range(3)} == {"cpu"}
    (record,) = caplog.records
    assert re.search(said, record.message)


def test_a_machine_without_a_gpu_has_nothing_to_tell(caplog):
    chosen_device()
    assert caplog.records == []


def test_a_name_is_checked_where_a_configuration_has_one(machine):
    assert check_device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="device is 'cuda:0', but"):
        check_device("cuda:0")


def test_the_processor_agrees_with_itself_on_a_small_network():
    assert disagreement(torch.device("cpu")) == ""


def test_a_device_that_computes_something_else_is_found_out(monkeypatch):
    right = devices._logits_and_gradients
    monkeypatch.setattr(
        devices,
        "_logits_and_gradients",
        lambda device: [each * (1 if device.type == "cpu" else 1.01) for each in right(torch.device("cpu"))],
    )
    assert "computes wrong numbers" in disagreement(torch.device("mps"))


def test_a_device_that_computes_no_numbers_is_found_out(monkeypatch):
    right = devices._logits_and_gradients
    monkeypatch.setattr(
        devices,
        "_logits_and_gradients",
        lambda device: [each * (1 if device.type == "cpu" else float("nan")) for each in right(torch.device("cpu"))],
    )
    assert "computes wrong numbers" in disagreement(torch.device("mps"))


def test_a_device_that_lacks_an_operation_is_found_out_in_its_own_words(monkeypatch):
    def lacks(device):
        raise NotImplementedError("The operator 'aten::max_pool3d_with_indices' is not implemented.\nPlease wait")

    monkeypatch.setattr(devices, "_logits_and_gradients", lacks)
    assert "(The operator 'aten::max_pool3d_with_indices' is not implemented)" in disagreement(torch.device("mps"))


def test_trying_a_device_draws_no_random_number():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    disagreement(torch.device("cpu"))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(("kind", "mixed", "bfloat16", "size"), [
    ("cpu", True, True, 2), ("cpu", True, False, 4), ("cpu", False, True, 4),
    ("cuda", True, False, 2), ("cuda", False, False, 4), ("mps", True, True, 4),
])  # fmt: skip
def test_numbers_are_as_long_as_the_fastest_precision_of_the_device(monkeypatch, kind, mixed, bfloat16, size):
    monkeypatch.setattr(devices, "computes_bfloat16", lambda: bfloat16)
    assert devices.value_bytes(torch.device(kind), mixed) == size


@pytest.mark.parametrize(("kind", "workers"), [("cpu", 2), ("cuda", 7), ("mps", 7)])
def test_beside_a_gpu_the_processor_loads(monkeypatch, kind, workers):
    monkeypatch.setattr(devices, "cores", lambda: 8)
    assert devices.loader_workers(torch.device(kind)) == workers


@pytest.mark.parametrize(("kind", "by"), [("cpu", "gloo"), ("cuda", "nccl")])
def test_processes_talk_by_what_their_device_has(kind, by):
    assert devices.process_group(torch.device(kind)) == by


def compared_names(text: str) -> set[str]:
    """Kinds of devices that a module compares something with."""
    nodes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Compare))
    constants = (part.value for node in nodes for part in ast.walk(node) if isinstance(part, ast.Constant))
    return {value for value in constants if value in ("cpu", "cuda", "mps")}


def test_no_other_module_asks_what_kind_a_device_is():
    files = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")]
    asking = {file.relative_to(ROOT).as_posix(): compared_names(file.read_text(encoding="utf-8")) for file in files}
    assert {file for file, names in asking.items() if names} == NAMES_CPU
    assert set().union(*(asking[file] for file in NAMES_CPU)) == {"cpu"}


@pytest.mark.parametrize("name", ["is_available()", ".type =="])
def test_no_configuration_asks_what_kind_a_device_is(name):
    files = [file for file in (ROOT / "bundles").rglob("*.yaml") if name in file.read_text(encoding="utf-8")]
    assert files == []
