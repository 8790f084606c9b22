"""Loading a GGUF file with xllamacpp, and with what: the only module that knows its parameters."""

import logging
import secrets
import threading
from pathlib import Path
from typing import Any, Final

from node.inference.errors import ModelUnloadable
from node.inference.gguf import GgufFacts
from node.inference.machine import Fit, Gpu, Machine, Wanted, fit

logger = logging.getLogger(__name__)

BATCH_TOKENS: Final = 128
"""Of a prompt at once. It is also the time until a cancellation is noticed: half a second on one slow core."""

GPU_BATCH_TOKENS: Final = 512
"""A GPU reads as many in the time in which a core reads a few."""

_QUIET: Final = -1
_GPU_KINDS: Final = ("GPU", "IGPU")

_importing = threading.Lock()


def load(path: Path, facts: GgufFacts, machine: Machine, wanted: Wanted) -> tuple[Any, Fit]:
    """The library's server over the model at `path`, and how it runs. Blocks. Raises ModelUnloadable."""
    with _importing:
        import xllamacpp

    gpus = _gpus(xllamacpp.get_device_info())
    machine = Machine(
        cores=machine.cores,
        free_bytes=machine.free_bytes,
        gpus=gpus or machine.gpus,
        gpu_library=bool(gpus),
        neighbours=machine.neighbours,
    )
    chosen = fit(facts, machine, wanted)
    for why in chosen.why:
        logger.info("the model %s: %s", facts.name, why)
    try:
        server = xllamacpp.Server(_params(xllamacpp, path, chosen))
        # Warms the model up and proves that it works; and a server that is closed before its loop has begun, which
        # the constructor does not wait for, never ends (xllamacpp 2026.10.11549).
        answer = server.handle_completions({"prompt": "1, 2,", "n_predict": 1})
    except (RuntimeError, ValueError) as error:
        raise ModelUnloadable(f"llama.cpp cannot load {path}: {error}") from error
    if "error" in answer:
        raise ModelUnloadable(f"llama.cpp cannot run {path}: {answer['error']}")
    return server, chosen


def _gpus(devices: Any) -> tuple[Gpu, ...]:
    """The GPUs among the devices that the library was built for and has found."""
    return tuple(
        Gpu(str(device["description"]), int(device["memory_free"]))
        for device in devices
        if str(device["type"].name).rpartition("_")[2] in _GPU_KINDS
    )


def _params(xllamacpp: Any, path: Path, chosen: Fit) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = chosen.context_tokens * chosen.parallel  # the library divides it among its slots
    params.n_parallel = chosen.parallel
    params.n_gpu_layers = chosen.gpu_layers
    params.fit_params = False  # it would choose again, from the same figures
    params.n_batch = params.n_ubatch = GPU_BATCH_TOKENS if chosen.gpu_layers else BATCH_TOKENS
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = chosen.threads
        cpu.poll = 0
    params.cache_ram_mib = 0  # its default keeps up to 8 GiB of old prompts
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [secrets.token_urlsafe(32)]
    params.n_threads_http = 1
    params.ui = params.endpoint_slots = False
    params.offline = True
    params.verbosity = _QUIET
    params.warmup = False
    return params
