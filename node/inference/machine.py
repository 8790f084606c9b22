"""What this machine has for a model, and what a model gets of it: threads, context, requests at once, GPU layers.

`look` asks the system, in milliseconds and without the model library; `fit` is pure and says why for each choice. Twins
of one user on one machine share its cores: each running engine holds a lock file that the next one counts.
"""

import contextlib
import fcntl
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from node.inference.gguf import GgufFacts

MAX_THREADS: Final = 16
"""Beyond that the memory is the bound, not the cores."""

SMALL_CONTEXT_TOKENS: Final = 4096
"""For one request, prompt and answer together. A recall of five memories and an answer need about 1,500."""

LARGE_CONTEXT_TOKENS: Final = 8192
"""For a model that chooses tools: their list and the playbook stand in each prompt."""

GPU_CONTEXT_TOKENS: Final = 32_768
"""A GPU reads so much in seconds; a processor would need minutes."""

LEAST_CONTEXT_TOKENS: Final = 512

PARALLEL: Final = (4, 2)
"""Requests at once, the first that fits. Each keeps its own context, so also as many chats go on without being read
again (docs/decisions/engine.md)."""

CONTEXT_SHARE: Final = 8
"""One context takes at most this part of the free memory, and several together half as much: the rest is the
owner's."""

GPU_RESERVE: Final = 0.1
"""Of a GPU's free memory, for what computing needs beside weights and contexts."""

NVIDIA_SMI_TIMEOUT_S: Final = 5.0

_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. `free_bytes` is 0 where nobody knows."""

    name: str
    free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is here for a model. `cores` and `free_bytes` are what this process may use; `neighbours` are the engines of
    this user that run already. `gpu_library` says whether the model library can use a GPU, None before it is loaded."""

    cores: int
    free_bytes: int
    gpus: tuple[Gpu, ...] = ()
    gpu_library: bool | None = None
    neighbours: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the owner decided; None is left to the machine."""

    threads: int | None = None
    context_tokens: int | None = None
    parallel: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How a model is run. `gpu_layers` is -1 for all; `why` has a sentence for each choice."""

    threads: int
    context_tokens: int
    parallel: int
    gpu_layers: int
    why: tuple[str, ...]


def fit(model: GgufFacts, machine: Machine, wanted: Wanted = Wanted()) -> Fit:
    """What `model` gets of `machine`. What the owner wants stands, and is only capped by what the model can do."""
    threads, why_threads = _threads(machine, wanted.threads)
    gpu_layers, why_gpu = _gpu_layers(model, machine)
    context_tokens, why_context = _context(model, machine, wanted.context_tokens, on_gpu=gpu_layers == -1)
    parallel, why_parallel = _parallel(model, machine, wanted.parallel, context_tokens)
    why = [why_threads, why_context, why_parallel, why_gpu]
    if gpu_layers == 0 and model.size_bytes > machine.free_bytes:
        why.append(
            f"slow: the file has {_mib(model.size_bytes)} and only {_mib(machine.free_bytes)} of memory are free"
        )
    return Fit(threads=threads, context_tokens=context_tokens, parallel=parallel, gpu_layers=gpu_layers, why=tuple(why))


def _threads(machine: Machine, wanted: int | None) -> tuple[int, str]:
    if wanted is not None:
        return wanted, f"{_many(wanted, 'thread')}, as [inference] threads says"
    engines = 1 + machine.neighbours
    threads = max(1, min(MAX_THREADS, machine.cores // (2 * engines)))
    shared = f", shared by {engines} models that run here" if machine.neighbours else ""
    # llama.cpp's threads wait for each other by spinning: on busy cores more of them are far slower than fewer.
    return (
        threads,
        f"{_many(threads, 'thread')}: half of {_many(machine.cores, 'core')}{shared}, the rest is for others",
    )


def _context(model: GgufFacts, machine: Machine, wanted: int | None, *, on_gpu: bool) -> tuple[int, str]:
    most = model.trained_context or SMALL_CONTEXT_TOKENS
    if wanted is not None:
        if wanted <= most:
            return wanted, f"{wanted} tokens of context, as [inference] context_tokens says"
        return (
            most,
            f"{most} tokens of context: the model knows no longer one, whatever [inference] context_tokens says",
        )
    usual = GPU_CONTEXT_TOKENS if on_gpu else LARGE_CONTEXT_TOKENS if model.capable else SMALL_CONTEXT_TOKENS
    context_tokens = min(usual, most)
    why = "all that the model knows" if most <= usual else "as much as is read in reasonable time here"
    room = machine.free_bytes // CONTEXT_SHARE
    while context_tokens > LEAST_CONTEXT_TOKENS and context_tokens * model.cache_bytes_per_token > room:
        context_tokens //= 2
        why = f"more would not fit into {_mib(machine.free_bytes)} of free memory"
    return context_tokens, f"{context_tokens} tokens of context: {why}"


def _parallel(model: GgufFacts, machine: Machine, wanted: int | None, context_tokens: int) -> tuple[int, str]:
    each = context_tokens * model.cache_bytes_per_token
    room = machine.free_bytes // (2 * CONTEXT_SHARE)
    parallel = wanted or next((count for count in PARALLEL if count * each <= room), 1)
    return parallel, f"{_many(parallel, 'request')} at once: each keeps {_mib(each)} of context"


def _gpu_layers(model: GgufFacts, machine: Machine) -> tuple[int, str]:
    if not machine.gpus:
        return 0, "no layer on a GPU: none is seen"
    names = ", ".join(gpu.name for gpu in machine.gpus)
    if machine.gpu_library is None:
        return 0, f"{names} is here; whether this build of the library can use it is seen when it is loaded"
    if not machine.gpu_library:
        return 0, f"no layer on a GPU: {names} is here, but this build of the library cannot use it"
    usable = int(sum(gpu.free_bytes for gpu in machine.gpus) * (1 - GPU_RESERVE))
    contexts = min(GPU_CONTEXT_TOKENS, model.trained_context) * model.cache_bytes_per_token
    if model.size_bytes + contexts <= usable:
        return -1, f"all layers on {names}: the model has {_mib(model.size_bytes)}, {_mib(usable)} are free there"
    each = (model.size_bytes + contexts) // max(1, model.layers)
    layers = min(model.layers, usable // max(1, each))
    return layers, f"{layers} of {model.layers} layers on {names}: {_mib(usable)} are free there"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _mib(size_bytes: int) -> str:
    return f"{size_bytes // _MIB} MiB"


def look(*, neighbours: int = 0) -> Machine:
    """What this process may use now. Blocks for the time that `nvidia-smi` takes, where there is one."""
    return Machine(cores=usable_cores(), free_bytes=usable_memory(), gpus=seen_gpus(), neighbours=neighbours)


def usable_cores(groups: Sequence[Path] | None = None) -> int:
    """The cores that this process may keep busy: real ones, of those it is bound to, within its container's quota."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = min(bound, psutil.cpu_count(logical=False) or bound)
    for group in control_groups() if groups is None else groups:
        with contextlib.suppress(OSError, ValueError):
            quota, period = (group / "cpu.max").read_text().split()  # "max 100000" is no quota
            cores = min(cores, int(quota) // int(period))
    return max(1, cores)


def usable_memory(groups: Sequence[Path] | None = None) -> int:
    """The bytes that this process may still take: what is free here, within what its container may have."""
    free_bytes: int = psutil.virtual_memory().available
    for group in control_groups() if groups is None else groups:
        with contextlib.suppress(OSError, ValueError, KeyError):
            most = int((group / "memory.max").read_text())  # "max" is no limit
            used = int((group / "memory.current").read_text())
            kinds = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            free_bytes = min(free_bytes, most - used + int(kinds["inactive_file"]))  # files are given up when needed
    return max(0, free_bytes)


def control_groups(own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> tuple[Path, ...]:
    """The control groups (version 2) whose limits hold for this process, the innermost first."""
    with contextlib.suppress(OSError, ValueError):
        folder = (root / own.read_text().strip().rpartition("0::/")[2]).resolve()
        if folder.is_dir() and folder.is_relative_to(root):
            return tuple(group for group in (folder, *folder.parents) if group.is_relative_to(root))
    return (root,)


def seen_gpus(run: Callable[[], str] | None = None, drm: Path = Path("/sys/class/drm")) -> tuple[Gpu, ...]:
    """The GPUs that the system tells of: NVIDIA's by its tool, AMD's by the kernel, Apple's by the platform."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return (Gpu("Apple GPU", psutil.virtual_memory().available),)
    return (*_nvidia((run or _nvidia_smi)()), *_amd(drm))


def _nvidia_smi() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    asked = [program, "--query-gpu=name,memory.free", "--format=csv,noheader,nounits"]
    try:
        return subprocess.run(
            asked, capture_output=True, text=True, timeout=NVIDIA_SMI_TIMEOUT_S, stdin=subprocess.DEVNULL, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""  # a broken driver is no GPU


def _nvidia(lines: str) -> list[Gpu]:
    found = []
    for line in lines.splitlines():
        name, _, free = line.rpartition(",")
        if name and free.strip().isdigit():
            found.append(Gpu(name.strip(), int(free) * _MIB))
    return found


def _amd(drm: Path) -> list[Gpu]:
    found = []
    for total in sorted(drm.glob("card*/device/mem_info_vram_total")):
        with contextlib.suppress(OSError, ValueError):
            used = int(total.with_name("mem_info_vram_used").read_text())
            found.append(Gpu("AMD GPU", int(total.read_text()) - used))
    return found


@contextmanager
def one_of_the_engines(folder: Path) -> Iterator[int]:
    """Be counted as a running engine; gives how many others of this user run already.

    A lock goes with the process that holds it, however that ends, so the files of dead ones are nobody's.
    """
    own: int | None = None
    others = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = sum(_is_held(path) for path in folder.glob("engine-*"))
        own = os.open(folder / f"engine-{os.getpid()}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(own, fcntl.LOCK_SH)
    except OSError:
        pass  # nobody can be counted here, which costs speed and nothing else
    try:
        yield others
    finally:
        if own is not None:
            os.close(own)


def _is_held(path: Path) -> bool:
    """Whether a process of another number holds it; one that nobody holds is removed."""
    if path.name == f"engine-{os.getpid()}":
        return False
    with contextlib.suppress(OSError):
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        except BlockingIOError:
            return True
        finally:
            os.close(file)
    return False
