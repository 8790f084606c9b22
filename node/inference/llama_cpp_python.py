"""The second engine: the same llama.cpp through the package `llama-cpp-python`, an extra that is installed apart.

Its object holds one conversation and crashes the process when two threads use it, so requests run one after the other
and only the last one's beginning is remembered. It speaks here as the first engine's library does, so that everything
around it is the same engine.
"""

import asyncio
import codecs
import importlib
import importlib.util
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from node.inference.errors import EngineMissing, ModelUnloadable
from node.inference.gguf import GgufFacts, read_facts
from node.inference.llama import LlamaEngine
from node.inference.llama_library import BATCH_TOKENS
from node.inference.machine import Fit, Wanted, fit, look, one_of_the_engines
from node.inference.models import cache_folder

logger = logging.getLogger(__name__)

_CHATML: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)
"""For a file without a chat template of its own."""

_GREEDY: Final = 0.0

Callback = Callable[[Mapping[str, Any]], bool]


@asynccontextmanager
async def open_engine(
    model: Path, *, threads: int | None = None, context_tokens: int | None = None, engines: Path | None = None
) -> AsyncIterator[LlamaEngine]:
    """As node.inference.llama.open_engine, but one request at a time. Raises EngineMissing where the extra is not
    installed, ModelMissing, NotAModel or ModelUnloadable."""
    if importlib.util.find_spec("llama_cpp") is None:
        raise EngineMissing("the package llama-cpp-python is not installed")
    wanted = Wanted(threads=threads, context_tokens=context_tokens, parallel=1)
    facts = await asyncio.to_thread(read_facts, model)
    with one_of_the_engines(engines or cache_folder() / "running") as neighbours:
        machine = await asyncio.to_thread(look, neighbours=neighbours)
        library = await asyncio.to_thread(importlib.import_module, "llama_cpp")
        machine = replace(machine, gpu_library=bool(library.llama_supports_gpu_offload()))
        chosen = fit(facts, machine, wanted)
        for why in chosen.why:
            logger.info("the model %s: %s", facts.name, why)
        server = await asyncio.to_thread(_Server, library, model, facts, chosen)
        engine = LlamaEngine(server, model.stem, capable=facts.capable, lists_tools=facts.lists_tools, chosen=chosen)
        try:
            yield engine
        finally:
            await engine.aclose()
            await asyncio.to_thread(server.close)


class _Server:
    """One model of this library, in the terms of the other: chat completions as a stream of chunks."""

    def __init__(self, library: Any, path: Path, facts: GgufFacts, chosen: Fit) -> None:
        self._library = library
        self._one_thread = threading.Lock()
        try:
            self._model = library.Llama(
                str(path),
                n_ctx=chosen.context_tokens,
                n_batch=BATCH_TOKENS,
                n_ubatch=BATCH_TOKENS,
                n_threads=chosen.threads,
                n_threads_batch=chosen.threads,
                n_gpu_layers=chosen.gpu_layers,
                verbose=False,
            )
            self._format = self._formatter()
            next(self._model.generate(self._model.tokenize(b"1, 2,"), temp=_GREEDY))  # proves that it works
        except (ValueError, RuntimeError, AssertionError) as error:
            raise ModelUnloadable(f"llama.cpp cannot load {path}: {error}") from error
        self._vocabulary = library.llama_model_get_vocab(self._model.model)

    def close(self) -> None:
        with self._one_thread:
            self._model.close()

    def handle_chat_completions(self, request: Mapping[str, Any], callback: Callback) -> None:
        """Answer one request; `callback` returns True to stop. Raises ValueError for what cannot be used."""
        with self._one_thread:
            prompt = self._prompt(request)
            cached = self._common(prompt)
            if callback({"choices": [], "prompt_progress": {"total": len(prompt)}}) or not self._read(prompt, callback):
                return
            self._write(prompt, request, cached, callback)

    def _formatter(self) -> Callable[..., Any]:
        said = self._model.metadata
        formats = importlib.import_module("llama_cpp.llama_chat_format")

        def token(key: str, absent: int) -> str:
            number = int(said.get(f"tokenizer.ggml.{key}_token_id", absent))
            return str(self._model.detokenize([number], special=True).decode("utf-8", "replace")) if number >= 0 else ""

        made: Callable[..., Any] = formats.Jinja2ChatFormatter(
            template=said.get("tokenizer.chat_template", _CHATML),
            eos_token=token("eos", self._model.token_eos()),
            bos_token=token("bos", self._model.token_bos()),
        )
        return made

    def _prompt(self, request: Mapping[str, Any]) -> list[int]:
        messages = [_with_parsed_arguments(message) for message in request["messages"]]
        try:
            formatted = self._format(messages=messages, tools=request.get("tools"))
        except Exception as error:  # a model's own template is a program, and raises whatever it likes
            raise ValueError(f"the model's chat template refuses it: {error}") from error
        text = formatted.prompt.encode("utf-8", "replace")
        tokens: list[int] = self._model.tokenize(text, add_bos=not formatted.added_special, special=True)
        return tokens

    def _common(self, prompt: Sequence[int]) -> int:
        """How many tokens of the prompt are known from before. The last one is always computed again."""
        known = self._model.input_ids[: self._model.n_tokens].tolist()
        common = next((at for at, (one, other) in enumerate(zip(known, prompt, strict=False)) if one != other), None)
        return min(min(len(known), len(prompt)) if common is None else common, len(prompt) - 1)

    def _read(self, prompt: Sequence[int], callback: Callback) -> bool:
        """Compute the prompt in pieces, as each call goes on from the longest beginning that is known; whether to go
        on. The library itself would only stop at the prompt's end."""
        for end in range(self._common(prompt) + BATCH_TOKENS, len(prompt), BATCH_TOKENS):
            with closing(self._model.generate(list(prompt[:end]), temp=_GREEDY)) as tokens:
                next(tokens)
            if callback({"choices": []}):
                return False
        return True

    def _write(self, prompt: Sequence[int], request: Mapping[str, Any], cached: int, callback: Callback) -> None:
        grammar = self._grammar(request.get("response_format"))
        if (seed := request.get("seed")) is not None:
            self._model.set_seed(seed)
        generating = self._model.generate(
            list(prompt), temp=request["temperature"], top_p=request["top_p"], grammar=grammar
        )
        count, ended = 0, False
        text = _Text(request["stop"])
        with closing(generating):
            for token in generating:
                count += 1
                ended = bool(self._library.llama_vocab_is_eog(self._vocabulary, token))
                shown = "" if ended else text.feed(self._model.detokenize([token], prev_tokens=list(prompt)))
                if callback({"choices": [{"delta": {"content": shown}}]} if shown else {"choices": []}):
                    return
                if ended or text.stopped or count == request["max_tokens"]:
                    break
        cut = not (ended or text.stopped)
        rest = "" if text.stopped else text.end()
        callback(
            {
                "choices": [{"delta": {"content": rest}, "finish_reason": "length" if cut else "stop"}],
                "usage": {
                    "prompt_tokens": len(prompt),
                    "completion_tokens": count,
                    "prompt_tokens_details": {"cached_tokens": cached},
                },
            }
        )

    def _grammar(self, wanted: Mapping[str, Any] | None) -> Any:
        if wanted is None:
            return None
        try:
            return self._library.LlamaGrammar.from_json_schema(
                json.dumps(wanted["json_schema"]["schema"]), verbose=False
            )
        except Exception as error:  # the library's converter raises what comes of a schema it does not foresee
            raise ValueError(f"the JSON Schema cannot be used: {error}") from error


def _with_parsed_arguments(message: Mapping[str, Any]) -> dict[str, Any]:
    """The templates take a call's arguments as an object."""
    calls = [
        {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
        for call in message.get("tool_calls", ())
    ]
    return {**message, "tool_calls": calls} if calls else dict(message)


class _Text:
    """Bytes of tokens become text that ends before any of the stop texts."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.stopped = False

    def feed(self, data: bytes) -> str:
        """What may be shown now: nothing that can still become a stop text."""
        self._held += self._decoder.decode(data)
        found = min((at for stop in self._stops if (at := self._held.find(stop)) >= 0), default=None)
        if found is not None:
            self.stopped = True
            return self._take(found)
        return self._take(len(self._held) - max(self._unsure(), default=0))

    def end(self) -> str:
        """The rest."""
        self._held += self._decoder.decode(b"", final=True)
        return self._take(len(self._held))

    def _unsure(self) -> Iterator[int]:
        for stop in self._stops:
            for size in range(1, len(stop)):
                if self._held.endswith(stop[:size]):
                    yield size

    def _take(self, count: int) -> str:
        shown, self._held = self._held[:count], self._held[count:]
        return shown
