"""Read a published dataset back through the real client, and compare it row by row with what was built."""

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from foundation import push
from foundation.cli import UserError, one_line

from .fingerprint import Fingerprint, PartStatistics
from .made import MadeStatistics


def read_back(
    dataset: str, repo_id: str, commits: dict[str, str], nr_concats: Sequence[int], statistics: Sequence[PartStatistics]
) -> list[tuple[str, int]]:
    """Load both branches at these commits (branch -> commit) into an empty cache.

    Returns each call as a user makes it, with the rows that it gave. Raises UserError when the Hub does not give them,
    and at the first part whose rows differ in number or content from those that were built.
    """
    import datasets
    from tqdm import tqdm

    import hub_datasets

    by_script = int(datasets.__version__.split(".")[0]) < 4
    name = "all" if dataset == "xquad_long" else "squad"
    calls: list[tuple[str, int]] = []
    with tempfile.TemporaryDirectory(prefix="readback-") as cache_dir:
        for n in tqdm(nr_concats, desc="Reading back", unit="nr_concats", disable=None):
            expected = {part.part: part for part in statistics if part.nr_concats == n}
            main = {"nr_concats": n, "revision": commits["main"], "cache_dir": cache_dir}
            if by_script:
                call = f'datasets.load_dataset("{repo_id}", nr_concats={n}, trust_remote_code=True)'
                load = partial(datasets.load_dataset, repo_id, trust_remote_code=True, **main)
            else:
                call = f'hub_datasets.load_dataset("{repo_id}", nr_concats={n})'
                load = partial(hub_datasets.load_dataset, repo_id, **main)
            calls.append((call, _compare(call, _load(call, load), expected)))
            call = f'datasets.load_dataset("{repo_id}", "{name}.{n}", revision="parquet")'
            parquet = {"revision": commits["parquet"], "cache_dir": cache_dir}
            load = partial(datasets.load_dataset, repo_id, f"{name}.{n}", **parquet)
            calls.append((call, _compare(call, _load(call, load), expected)))
    return calls


def read_back_made(repo_id: str, commit: str, statistics: Sequence[MadeStatistics]) -> list[tuple[str, int]]:
    """The same for a data set that code makes: every configuration at this commit, split by split."""
    import datasets

    calls = []
    with tempfile.TemporaryDirectory(prefix="readback-") as cache_dir:
        for part in statistics:
            call = f'datasets.load_dataset("{repo_id}", "{part.configuration}", split="{part.split}")'
            where = {"split": part.split, "revision": commit, "cache_dir": cache_dir}
            rows = _load(call, partial(datasets.load_dataset, repo_id, part.configuration, **where))
            found = Fingerprint()
            for row in rows:
                found.update(row)
            if str(found) != part.fingerprint:
                raise UserError(f"{call} gives rows that differ from those that were built: publish again")
            calls.append((call, found.rows))
    return calls


def _load(call: str, load: Callable[[], Any]) -> Any:
    """`load()`, again after a wait when the Hub fails in its midst: `datasets` repeats few of its requests."""
    from datasets.exceptions import DatasetGenerationError
    from huggingface_hub import errors

    for attempt in range(push.ATTEMPTS):
        try:
            return load()
        except (errors.HTTPError, OSError, DatasetGenerationError) as error:
            if attempt + 1 == push.ATTEMPTS:
                reason = one_line(error.__cause__ or error)
                raise UserError(
                    f"{call} could not be read back ({reason:.300}): what was pushed stays as it is, a new repository "
                    "private; the same command tries again"
                ) from error
        time.sleep(push.FIRST_WAIT * 2**attempt)
    raise AssertionError("unreachable")


def _compare(call: str, loaded: Any, expected: dict[str, PartStatistics]) -> int:
    found: dict[str, Fingerprint] = {}
    for split, rows in loaded.items():
        for row in rows:
            found.setdefault(row.get("language", split), Fingerprint()).update(row)
    if set(found) != set(expected):
        raise UserError(f"{call} gives {', '.join(found)} instead of {', '.join(expected)}: publish again")
    for part, wanted in expected.items():
        if found[part].rows != wanted.rows:
            raise UserError(
                f"{call} gives {found[part].rows} rows of {part}, but {wanted.rows} were built: publish again"
            )
        if str(found[part]) != wanted.fingerprint:
            raise UserError(f"{call} gives rows of {part} that differ from those that were built: publish again")
    return sum(fingerprint.rows for fingerprint in found.values())
