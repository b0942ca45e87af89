"""Worker processes for what one process is slow at: tokenising."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor


def worker_pool(num_proc: int) -> ProcessPoolExecutor:
    """`num_proc` processes whose tokenizers keep to one thread each.

    Spawned, not forked: by now this process has the threads of torch and of the tokenizer.
    """
    return ProcessPoolExecutor(num_proc, multiprocessing.get_context("spawn"), _one_thread)


def _one_thread() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
