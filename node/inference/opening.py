"""How this twin's own model is opened: with which library, and with what the owner decided."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from node.config import InferenceConfig
from node.inference.engine import Engine
from node.inference.local import Open


def opener(config: InferenceConfig) -> Open:
    """Opens a model as `[inference]` says. The model library is loaded with the first model, not before."""

    def open_(path: Path) -> AbstractAsyncContextManager[Engine]:
        if config.engine == "llama-cpp-python":
            from node.inference.llama_cpp_python import open_engine as open_second

            return open_second(path, threads=config.threads, context_tokens=config.context_tokens)
        from node.inference.llama import open_engine

        return open_engine(path, threads=config.threads, context_tokens=config.context_tokens)

    return open_
