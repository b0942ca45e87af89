"""Worker processes for what one process is slow at: tokenising."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, TypeVar

AHEAD = 2  # items given out for each worker; the rest is not read yet

Tools = TypeVar("Tools")
Item = TypeVar("Item")
Result = TypeVar("Result")
_tools: Any = None  # in a worker process: what all its items need


def in_workers(
    work: Callable[[Tools, Item], Result], tools: Tools, items: Iterable[Item], num_proc: int
) -> Iterator[Result]:
    """`work(tools, item)` of every item, in order, by `num_proc` processes whose tokenizers keep to one thread each.

    `tools` (a tokenizer is 15 MB) go to each worker once. Items are taken as results are: of endless or large ones
    only a few are held. With one process, or nothing to share, no worker is started.
    """
    if num_proc == 1:
        yield from (work(tools, item) for item in items)
        return
    # Not forked, since by now this process has threads of torch and of the tokenizer.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_proc, spawn, _receive, (tools,)) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(_do, work, item))
                if len(waiting) == AHEAD * num_proc:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # after an error in one item do not wait for the others
            pool.shutdown(wait=False, cancel_futures=True)


def _receive(tools: Any) -> None:
    global _tools
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _tools = tools


def _do(work: Callable[[Any, Any], Any], item: Any) -> Any:
    return work(_tools, item)
