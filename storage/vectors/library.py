"""faiss, loaded at the first use: it costs a third of a second that a run without memories need not spend."""

import threading
import warnings
from types import ModuleType

_importing = threading.Lock()


def faiss() -> ModuleType:
    """The module, with one thread inside it for calls from this thread (OpenMP counts for each thread by itself).

    A single query is over before more threads have woken, and the others belong to the rest of the node.
    """
    with _importing, warnings.catch_warnings():
        # Its SWIG wrappers make types without a __module__, which Python 3.12 and later warn of.
        warnings.simplefilter("ignore", DeprecationWarning)
        import faiss as library

    library.omp_set_num_threads(1)
    module: ModuleType = library
    return module
