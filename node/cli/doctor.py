"""The command doctor: is everything that a twin needs in order, and what is to be done where it is not.

Most checks look at this machine and work without a running twin.
"""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from identity.errors import PagiError
from node.cli.command import Call, Commands
from node.cli.doctor_running import RUNNING, answering
from node.cli.errors import EXIT_FAILED, NodeNotRunning, problem_document
from node.cli.finding import Check, Finding
from node.cli.output import say

if TYPE_CHECKING:
    from node.config import InferenceConfig

_LIBRARIES: Final = ("aiohttp", "cryptography", "faiss", "libipld", "libp2p", "nacl", "numpy", "wordllama", "xllamacpp")
_IMPORT_TIMEOUT_S: Final = 120
_LOW_DISK_BYTES: Final = 1024**3
_NO_DISK_BYTES: Final = 100 * 1024**2
_CLOCK_TOLERANCE_S: Final = 86_400
"""Time zones and file systems may differ by hours; a clock that is behind the installation by a day is wrong."""


def register(commands: Commands) -> None:
    """Add the command."""
    commands.add("doctor", "check what the twin needs, and say what to do", run)


def run(call: Call) -> int:
    findings = [_run_check(check, call) for check in _CHECKS]
    well = all(finding.state != "fail" for finding in findings)

    def human() -> None:
        for finding in findings:
            say(f"{finding.state:<4}  {finding.name:<10}  {finding.detail}")
            if finding.hint and finding.state != "ok":
                say(f"                  {finding.hint}")

    call.show({"ok": well, "checks": [asdict(finding) for finding in findings]}, human)
    return 0 if well else EXIT_FAILED


def _run_check(check: Check, call: Call) -> Finding:
    try:
        return check(call)
    except (PagiError, OSError) as error:
        name = check.__name__.removeprefix("check_")
        hint = problem_document(error)["hint"] if isinstance(error, PagiError) else ""
        return Finding(name, "fail", str(error), hint)


def check_python(_: Call) -> Finding:
    here = ".".join(str(part) for part in sys.version_info[:3])
    if sys.maxsize < 2**32:
        return Finding("python", "fail", f"{here} of 32 bits", "Install a 64-bit Python.")
    return Finding("python", "ok", f"{here} on {sys.platform}")


def check_libraries(_: Call) -> Finding:
    """Import them in another process: one that is broken may crash the interpreter."""
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    try: importlib.import_module(name)\n"
        "    except BaseException as error: print(f'{name}: {type(error).__name__}')\n"
        "print('end')\n"
    )
    hint = "Install pagi-twin again in a fresh environment: remove .venv, then ./scripts/up makes a new one."
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code, *_LIBRARIES],
            capture_output=True,
            text=True,
            timeout=_IMPORT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Finding("libraries", "fail", f"importing them took over {_IMPORT_TIMEOUT_S} s", hint)
    lines = done.stdout.split("\n")
    broken = [line for line in lines if line and line != "end"]
    if "end" not in lines:
        broken.append(f"the interpreter ended with status {done.returncode}")
    if broken:
        return Finding("libraries", "fail", "; ".join(broken), hint)
    return Finding("libraries", "ok", f"{len(_LIBRARIES)} can be imported")


def check_home(call: Call) -> Finding:
    home = call.home
    if not home.exists():
        return Finding("home", "warn", f"{home} does not exist yet", "`pagi up` or `pagi init` makes it.")
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return Finding("home", "fail", f"{home} cannot be written", "Change its owner, or use another with --home.")
    if home.stat().st_mode & 0o077:
        return Finding("home", "warn", f"others can look into {home}", f"chmod 700 {home}")
    return Finding("home", "ok", str(home))


def check_keystore(call: Call) -> Finding:
    import json

    path = call.home / "identity.json"
    if not path.exists():
        return Finding("keystore", "warn", "there is no key yet", "`pagi up` or `pagi init` makes one.")
    if path.stat().st_mode & 0o077:
        return Finding("keystore", "fail", "others can read identity.json", f"chmod 600 {path}")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        did, sealed = document["did"], document["sealed"]
    except (ValueError, KeyError, TypeError):
        return Finding("keystore", "fail", "identity.json is damaged", "Restore it from a backup.")
    if not sealed:
        return Finding("keystore", "warn", f"{did}, not sealed", "Only the file's mode guards the key.")
    return Finding("keystore", "ok", f"{did}, sealed")


def check_node(call: Call) -> Finding:
    """Who holds the home, and whether that process answers and is ready."""
    from storage.errors import HomeBusy
    from storage.home import Home

    if not (call.home / "identity.json").exists():
        return Finding("node", "warn", "not running", "Start it with `pagi up`.")
    try:
        with Home(call.home).lock():
            return Finding("node", "warn", "not running", "Start it with `pagi up`.")
    except HomeBusy as error:
        pid = error.pid
    if not (call.home / "api").exists():
        detail = f"process {pid} holds the home and is not up yet"
        return Finding(
            "node", "warn", detail, "It may be starting, or asking for the passphrase. Look at its terminal."
        )
    try:
        status, health = call.client().ready()
    except NodeNotRunning:
        return Finding("node", "fail", f"process {pid} holds the home but does not answer", f"Look at process {pid}.")
    checks = health.get("checks", {})
    faults = [f"{name}: {check['detail']}" for name, check in checks.items() if not check["ok"]]
    if status != 200:
        return Finding("node", "fail", f"process {pid} is not ready: {'; '.join(faults)}", "Look at the twin's log.")
    if checks.get("model", {}).get("detail", "").startswith("degraded"):
        detail = f"process {pid} is ready, {checks['model']['detail']}"
        return Finding("node", "warn", detail, "Start it with `--model bundled`, or with `--model` and a GGUF file.")
    return Finding("node", "ok", f"process {pid} answers and is ready")


def check_model(call: Call) -> Finding:
    """What answers in the running twin; where none runs, the file that the next start would load."""
    return answering(call) or _next_model(call)


def _next_model(call: Call) -> Finding:
    from node.config import load_config
    from node.inference.choice import chosen_model
    from node.inference.models import SMOLLM2, cache_folder

    settings = load_config(call.home / "config.toml").inference
    wanted = chosen_model(call.home / "models", settings.model)
    if wanted == "none":
        return Finding("model", "warn", "none is configured: answers are degraded", "Set [inference] model.")
    if wanted == "bundled":
        file = cache_folder() / SMOLLM2.file_name
        megabytes = round(SMOLLM2.size_bytes / 1e6)
        if not file.exists() or file.stat().st_size != SMOLLM2.size_bytes:
            return Finding(
                "model", "warn", "the bundled model is not here yet", f"`pagi up` fetches it, {megabytes} MB."
            )
        return _fitted(file, f"bundled, {megabytes} MB", settings)
    if not Path(wanted).is_file():
        return Finding("model", "fail", f"{wanted} does not exist", "Correct [inference] model in config.toml.")
    return _fitted(Path(wanted), wanted, settings)


def _fitted(file: Path, name: str, settings: "InferenceConfig") -> Finding:
    """What the model gets of this machine. Whether the library can use a GPU is only known where it runs."""
    from node.inference.gguf import read_facts
    from node.inference.machine import Wanted, fit, look

    try:
        facts = read_facts(file)
    except PagiError as error:
        return Finding("model", "fail", str(error), error.hint)
    chosen = fit(facts, look(), Wanted(threads=settings.threads, context_tokens=settings.context_tokens))
    return Finding("model", "ok", "; ".join((name, *chosen.why)))


def check_disk(call: Call) -> Finding:
    folder = call.home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1024**3:.1f} GiB free"
    if free < _NO_DISK_BYTES:
        return Finding("disk", "fail", detail, "Free space: the twin stores nothing on a full disk.")
    return Finding("disk", "warn" if free < _LOW_DISK_BYTES else "ok", detail, "Free some space.")


def check_clock(_: Call) -> Finding:
    """Messages carry times, and others refuse those that are far off."""
    installed = Path(__file__).stat().st_mtime
    now = time.time()
    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    if now < installed - _CLOCK_TOLERANCE_S:
        return Finding("clock", "fail", f"{text} is before this program was installed", "Set the clock (NTP).")
    return Finding("clock", "ok", text)


_CHECKS: Final[tuple[Check, ...]] = (
    check_python,
    check_libraries,
    check_home,
    check_keystore,
    check_node,
    *RUNNING,
    check_model,
    check_disk,
    check_clock,
)
