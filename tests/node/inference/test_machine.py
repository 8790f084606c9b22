"""What a model gets of a machine, and what is seen of the machine."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.inference.gguf import GgufFacts
from node.inference.machine import (
    Gpu,
    Machine,
    Wanted,
    control_groups,
    fit,
    look,
    one_of_the_engines,
    seen_gpus,
    usable_cores,
    usable_memory,
)

GB = 10**9
SMALL = GgufFacts(
    name="small",
    architecture="llama",
    parameters=135_000_000,
    trained_context=8192,
    layers=30,
    embedding=576,
    size_bytes=98_000_000,
    cache_bytes_per_token=23_040,
)
LARGE = replace(SMALL, name="large", parameters=8 * GB, trained_context=131_072, layers=32, size_bytes=5 * GB)
DESK = Machine(cores=8, free_bytes=16 * GB)


def test_half_of_the_cores_and_as_many_chats_as_fit() -> None:
    got = fit(SMALL, DESK)
    assert (got.threads, got.context_tokens, got.parallel, got.gpu_layers) == (4, 4096, 4, 0)
    assert len(got.why) == 4
    assert fit(LARGE, DESK).context_tokens == 8192


def test_what_the_owner_wants_stands_as_far_as_the_model_can() -> None:
    got = fit(SMALL, DESK, Wanted(threads=7, context_tokens=1000, parallel=3))
    assert (got.threads, got.context_tokens, got.parallel) == (7, 1000, 3)
    assert "[inference] threads" in got.why[0]
    capped = fit(SMALL, DESK, Wanted(context_tokens=100_000))
    assert capped.context_tokens == 8192
    assert "the model knows no longer one" in capped.why[1]


def test_several_twins_share_the_cores() -> None:
    assert [fit(SMALL, replace(DESK, neighbours=count)).threads for count in (0, 1, 3, 30)] == [4, 2, 1, 1]
    assert "shared by 2 models" in fit(SMALL, replace(DESK, neighbours=1)).why[0]


def test_little_memory_means_fewer_chats_then_a_shorter_context() -> None:
    got = fit(SMALL, replace(DESK, free_bytes=1 * GB))
    assert (got.context_tokens, got.parallel) == (4096, 1)
    got = fit(SMALL, replace(DESK, free_bytes=200_000_000))
    assert (got.context_tokens, got.parallel) == (1024, 1)
    assert "would not fit" in got.why[1]
    assert "slow" in fit(LARGE, replace(DESK, free_bytes=4 * GB)).why[-1]


@pytest.mark.parametrize(
    ("gpus", "library", "layers", "said"),
    [
        ((), None, 0, "none is seen"),
        ((Gpu("Big", 80 * GB),), False, 0, "cannot use it"),
        ((Gpu("Big", 80 * GB),), None, 0, "seen when it is loaded"),
        ((Gpu("Big", 80 * GB),), True, -1, "all layers on Big"),
        ((Gpu("Small", 3 * GB),), True, 15, "15 of 32 layers"),
        ((Gpu("Full", 0),), True, 0, "0 of 32 layers"),
    ],
)
def test_layers_go_to_a_gpu_that_the_library_can_use(
    gpus: tuple[Gpu, ...], library: bool | None, layers: int, said: str
) -> None:
    got = fit(LARGE, replace(DESK, gpus=gpus, gpu_library=library))
    assert got.gpu_layers == layers
    assert any(said in why for why in got.why)
    assert got.context_tokens == (32_768 if layers == -1 else 8192)


@given(
    st.builds(Machine, cores=st.integers(1, 512), free_bytes=st.integers(0, 2**42), neighbours=st.integers(0, 99)),
    st.integers(0, 2**20),
    st.integers(0, 2**21),
)
def test_there_is_always_something_that_runs(machine: Machine, context: int, cache: int) -> None:
    got = fit(replace(SMALL, trained_context=context, cache_bytes_per_token=cache), machine)
    assert 1 <= got.threads <= max(1, machine.cores)
    assert got.parallel >= 1
    assert 0 < got.context_tokens <= (context or 4096)


def test_a_containers_quota_bounds_the_cores(tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    free = usable_cores(())
    for text, cores in (("max 100000", free), ("100000 100000", 1), ("50000 100000", 1), ("nonsense", free)):
        quota.write_text(text)
        assert usable_cores((tmp_path, tmp_path / "absent")) == cores


def test_a_containers_limit_bounds_the_memory(tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner", tmp_path
    inner.mkdir()
    free = usable_memory(())
    for folder, limit, current, cached in ((inner, "max", 9, 0), (outer, "1000000", 900_000, 300_000)):
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{current}\n")
        (folder / "memory.stat").write_text(f"anon 5\nactive_file 9\ninactive_file {cached}\nslab 7\n")
    assert usable_memory((inner,)) == pytest.approx(free, rel=0.2)
    assert usable_memory((inner, outer)) == 400_000
    (inner / "memory.max").write_text("5")
    assert usable_memory((inner, outer)) == 0
    (inner / "memory.stat").unlink()
    (outer / "memory.max").write_text("nonsense")
    assert usable_memory((inner, outer)) == pytest.approx(free, rel=0.2)


def test_the_control_groups_of_a_process_are_those_above_it(tmp_path: Path) -> None:
    root, own = tmp_path / "cgroup", tmp_path / "own"
    (root / "system.slice" / "twin.service").mkdir(parents=True)
    own.write_text("0::/system.slice/twin.service\n")
    service = root / "system.slice" / "twin.service"
    assert control_groups(own, root) == (service, service.parent, root)
    for text in ("0::/\n", "0::/seen/from/outside\n", "12:cpu:/old\n", "0::/../../etc\n", ""):
        own.write_text(text)
        assert control_groups(own, root) == (root,)
    assert control_groups(tmp_path / "absent", root) == (root,)


def test_gpus_are_seen_without_the_library(tmp_path: Path) -> None:
    card = tmp_path / "card0" / "device"
    card.mkdir(parents=True)
    (card / "mem_info_vram_total").write_text("8000000000\n")
    (card / "mem_info_vram_used").write_text("1000000000\n")
    seen = seen_gpus(lambda: "NVIDIA H200, 143000\nbroken line\nNo Memory, [N/A]\n", tmp_path)
    assert seen == (Gpu("NVIDIA H200", 143_000 * 1024**2), Gpu("AMD GPU", 7 * GB))
    assert seen_gpus(lambda: "", tmp_path / "none") == ()


_HOLDER = """
import sys
from pathlib import Path
from node.inference.machine import one_of_the_engines
with one_of_the_engines(Path(sys.argv[1])) as others:
    print(others, flush=True)
    input()
"""


@pytest.mark.slow
def test_engines_of_other_processes_are_counted_while_they_live(tmp_path: Path) -> None:
    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", _HOLDER, str(tmp_path)],
            cwd=Path(__file__).parents[3],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    with start() as one, start() as other:
        assert one.stdout is not None
        assert other.stdout is not None
        assert sorted([one.stdout.readline(), other.stdout.readline()]) in (["0\n", "1\n"], ["0\n", "0\n"])
        with one_of_the_engines(tmp_path) as others:
            assert others == 2
            with one_of_the_engines(tmp_path) as again:  # the same process is no neighbour of itself
                assert again == 2
        one.kill()
        one.wait()
        other.kill()
    with one_of_the_engines(tmp_path) as others:
        assert others == 0


def test_where_nobody_can_be_counted_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with one_of_the_engines(tmp_path / "file" / "folder") as others:
        assert others == 0


def test_this_machine_has_something() -> None:
    machine = look()
    assert machine.cores >= 1
    assert machine.free_bytes > 0
