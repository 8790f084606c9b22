"""The node's `/v1/chat/completions` beside the bare engine: tokens/s, time per token and call, first token, cancel.

Ours is a twin with the bundled model, asked over loopback with the standard library's HTTP client; the peer is the same
model in this process, loaded with the same parameters and asked by its own callback, with nothing between. One thread
each, the sides take turns, the median counts. Every prompt is new to both, so that neither has it cached.
"""

import http.client
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import urlsplit

from benchmarks.startup import _wait_for_model
from benchmarks.table import Row
from node.cli.demo_swarm import Member
from node.cli.newhome import make_home
from node.inference.gguf import read_facts
from node.inference.llama_library import load
from node.inference.machine import Machine, Wanted
from node.inference.models import SMOLLM2, cache_folder

PEER = "bare xllamacpp, same model"
THREADS = 1
CONTEXT_TOKENS = 4096
PARALLEL = 4
ROUNDS = 7
ANSWER_TOKENS = 128
PROMPT_ITEMS = 110
"""Of a list that makes a prompt of some 1,100 tokens."""

Turns = list[dict[str, str]]
T = TypeVar("T")

_fresh = count()


@dataclass(frozen=True, slots=True)
class Asked:
    """Seconds to the first piece of text, seconds between the first and the last, pieces, and the text."""

    first_s: float
    rest_s: float
    pieces: int
    text: str

    @property
    def rate(self) -> float:
        """Tokens per second while it writes: a piece is a token."""
        return (self.pieces - 1) / self.rest_s


class Side(Protocol):
    def ask(self, turns: Turns, max_tokens: int) -> Asked: ...

    def cancel(self, turns: Turns) -> float:
        """Leave after the third piece; seconds until the engine is idle."""
        ...


def run() -> list[Row]:
    """Every figure of both sides; none where the model is not cached (`pagi demo` fetches it)."""
    model = cache_folder() / SMOLLM2.file_name
    if not model.exists():
        return []
    with _node(model) as node, _bare(model) as bare:
        sides = (node, bare)
        for side in sides:
            side.ask(_story(), 8)
        return [*_writing(sides), *_calling(sides), *_second_turn(sides), *_together(sides), *_cancelling(sides)]


def _writing(sides: Sequence[Side]) -> list[Row]:
    found = _in_turns(sides, lambda side, turns: side.ask(turns, ANSWER_TOKENS), _story)
    rates = [median(one.rate for one in asked) for asked in found]
    per_token = [median(one.rest_s / (one.pieces - 1) for one in asked) for asked in found]
    return [
        Row("one chat", rates[0], rates[1], "tokens/s", PEER, "higher", "at least 0.97 of the peer"),
        Row("added to each token", 1e3 * (per_token[0] - per_token[1]), None, "ms", "", "lower", ""),
    ]


def _calling(sides: Sequence[Side]) -> list[Row]:
    """A call of one token, whose prompt is short: most of its time is not the model's."""
    found = _in_turns(sides, lambda side, turns: side.ask(turns, 1).first_s, _story, rounds=3 * ROUNDS)
    ours, peer = (1e3 * median(times) for times in found)
    return [
        Row("a call of one token", ours, peer, "ms", PEER, "lower", ""),
        Row("added to each call", ours - peer, None, "ms", "", "lower", "at most 20"),
    ]


def _second_turn(sides: Sequence[Side]) -> list[Row]:
    def both(side: Side, turns: Turns) -> tuple[float, float]:
        first = side.ask(turns, 16)
        said = {"role": "assistant", "content": first.text}
        second = side.ask([*turns, said, {"role": "user", "content": "Go on."}], 4)
        return first.first_s, second.first_s

    found = _in_turns(sides, both, _long, rounds=3)
    firsts, seconds = ([1e3 * median(pair[turn] for pair in pairs) for pairs in found] for turn in (0, 1))
    return [
        Row("first token, turn 1", firsts[0], firsts[1], "ms", PEER, "lower", ""),
        Row("first token, turn 2", seconds[0], seconds[1], "ms", PEER, "lower", "under a tenth of turn 1"),
        Row("turn 2 beside turn 1", *(100 * two / one for one, two in zip(firsts, seconds, strict=True)), *_SHARE),
    ]


_SHARE: tuple[str, str, Literal["lower"], str] = ("%", PEER, "lower", "under 10")


def _together(sides: Sequence[Side]) -> list[Row]:
    def four(side: Side, _: Turns) -> float:
        asked: list[Asked] = []

        def chat(turns: Turns) -> None:
            asked.append(side.ask(turns, ANSWER_TOKENS))

        threads = [threading.Thread(target=chat, args=(_story(),)) for _ in range(PARALLEL)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(one.pieces for one in asked) / (time.perf_counter() - began)

    ours, peer = (median(rates) for rates in _in_turns(sides, four, _story, rounds=3))
    return [Row(f"{PARALLEL} chats at once", ours, peer, "tokens/s", PEER, "higher", "at least 0.97 of the peer")]


def _cancelling(sides: Sequence[Side]) -> list[Row]:
    ours, peer = (1e3 * median(times) for times in _in_turns(sides, lambda side, turns: side.cancel(turns), _story))
    return [Row("from leaving to idle", ours, peer, "ms", PEER, "lower", "")]


def _in_turns(
    sides: Sequence[Side], act: Callable[[Side, Turns], T], prompt: Callable[[], Turns], *, rounds: int = ROUNDS
) -> list[list[T]]:
    """What each side gives, in rounds in which both have the same prompt."""
    found: list[list[T]] = [[] for _ in sides]
    for number in range(rounds):
        turns = prompt()
        order = list(zip(sides, found, strict=True))
        for side, results in order if number % 2 else reversed(order):
            results.append(act(side, turns))
    return found


def _story() -> Turns:
    return [{"role": "user", "content": f"Tale {next(_fresh)}: tell a very long story about a ship, in many chapters."}]


def _long() -> Turns:
    number = next(_fresh)
    items = " ".join(f"Item {n} of list {number} is {n * 7 + number}." for n in range(PROMPT_ITEMS))
    return [{"role": "user", "content": f"{items} Say something about this list."}]


class Node:
    """A twin, over HTTP."""

    def __init__(self, twin: Member) -> None:
        place = urlsplit(str(twin.first_line["api"]))
        self._host, self._port = str(place.hostname), int(place.port or 0)
        self._client = twin.client()
        self._model = str(self._client.get("providers")["items"][-1]["model"])
        token = (twin.home / "api-token").read_text().strip()
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, turns: Turns, max_tokens: int) -> Asked:
        began = time.perf_counter()
        with self._opened(turns, max_tokens) as pieces:
            return _timed(pieces, began)

    def cancel(self, turns: Turns) -> float:
        with self._opened(turns, 1024) as pieces:
            for _ in range(3):
                next(pieces)
        left = time.perf_counter()
        while self._client.get("budget")["scopes"][0]["calls"]:
            time.sleep(0.001)
        return time.perf_counter() - left

    @contextmanager
    def _opened(self, turns: Turns, max_tokens: int) -> Iterator[Iterator[str]]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=120)
        body = {"model": self._model, "messages": turns, "max_tokens": max_tokens, "temperature": 0, "stream": True}
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), self._headers)
            yield _texts(connection.getresponse())
        finally:
            connection.close()


def _texts(response: http.client.HTTPResponse) -> Iterator[str]:
    if response.status != 200:
        raise RuntimeError(f"the twin answered {response.status}: {response.read()[:200]!r}")
    for line in response:
        if line.startswith(b"data: {"):
            choices = json.loads(line[6:])["choices"]
            if choices and (text := choices[0]["delta"].get("content")):
                yield text


class Bare:
    """The engine itself."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def ask(self, turns: Turns, max_tokens: int) -> Asked:
        began = time.perf_counter()
        times: list[float] = []
        pieces: list[str] = []

        def take(chunk: dict[str, Any]) -> bool:
            for choice in chunk.get("choices", ()):
                if text := choice["delta"].get("content"):
                    times.append(time.perf_counter())
                    pieces.append(text)
            return False

        self._server.handle_chat_completions(_request(turns, max_tokens), take)
        return Asked(times[0] - began, times[-1] - times[0], len(pieces), "".join(pieces))

    def cancel(self, turns: Turns) -> float:
        left, seen = 0.0, 0

        def take(chunk: dict[str, Any]) -> bool:
            nonlocal left, seen
            if left:  # told between two tokens, as whoever leaves tells it
                return True
            seen += sum(bool(choice["delta"].get("content")) for choice in chunk.get("choices", ()))
            left = time.perf_counter() if seen >= 3 else 0.0
            return False

        self._server.handle_chat_completions(_request(turns, 1024), take)
        return time.perf_counter() - left


def _request(turns: Turns, max_tokens: int) -> dict[str, Any]:
    return {"messages": turns, "max_tokens": max_tokens, "temperature": 0, "stream": True}


def _timed(pieces: Iterator[str], began: float) -> Asked:
    texts: list[str] = []
    first = last = began
    for text in pieces:
        last = time.perf_counter()
        first = last if not texts else first
        texts.append(text)
    return Asked(first - began, last - first, len(texts), "".join(texts))


@contextmanager
def _node(model: Path) -> Iterator[Node]:
    with tempfile.TemporaryDirectory(prefix="pagi-gateway-") as folder:
        home = Path(folder) / "twin"
        make_home(home, name="Ada", passphrase=None)
        with (home / "config.toml").open("a") as config:
            config.write(f"\n[inference]\nthreads = {THREADS}\ncontext_tokens = {CONTEXT_TOKENS}\n")
        command = [sys.executable, "-m", "node.cli", "up", "--model", str(model), "--no-mdns", "--unsealed"]
        command += ["--listen", "/ip4/127.0.0.1/tcp/0", "--api", "127.0.0.1:0"]
        twin = Member("twin", command, home)
        twin.start()
        try:
            _wait_for_model(twin)
            yield Node(twin)
        finally:
            twin.stop()


@contextmanager
def _bare(model: Path) -> Iterator[Bare]:
    """With the parameters that the twin uses."""
    facts, wanted = read_facts(model), Wanted(threads=THREADS, context_tokens=CONTEXT_TOKENS)
    server, _ = load(model, facts, Machine(cores=2, free_bytes=8 << 30), wanted)
    yield Bare(server)
