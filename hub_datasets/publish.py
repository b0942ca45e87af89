"""Publish SQ3 or XQ3 as a dataset repository: the script on `main`, Parquet files on the branch `parquet`.

    python -m hub_datasets.publish --dataset xquad_long --repo_id org/xquad_long --dry_run
    python -m hub_datasets.publish --dataset xquad_long --repo_id org/xquad_long --nr_concats 1 3 12 24

Each branch is one atomic commit. A repository that is created stays private until everything has been read back through
the Hub's client and compared with what was built; one that exists keeps its visibility. A second run with nothing
changed makes no commit.
"""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foundation.cli import UserError, command_parser, run
from foundation.files import atomic_folder, write_atomically

BRANCHES = {"main": "Publish the script, its sources and the card", "parquet": "Publish the rows as Parquet files"}
# What a folder that was built before holds.
BUILT = ("main/README.md", "main/*.py", "main/data/*", "parquet/README.md", "parquet/nr_concats-*/*.parquet")
# What goes from a branch when it is not built again; what its owner has put beside stays.
OURS = {"main": ["data/*"], "parquet": ["nr_concats-*/*"]}


def publish(
    dataset: str,
    repo_id: str,
    *,
    source_dir: str | Path | None = None,
    private: bool = False,
    nr_concats: Sequence[int] = (1, 3, 12, 24),
    tokenizer: str | None = None,
    output_dir: str | Path | None = None,
    dry_run: bool = False,
) -> str | None:
    """Build, push and read back. Returns the repository's address, None for a dry run.

    Raises:
        UserError: one sentence; what was built stays in `output_dir`; the same call pushes what is missing.
    """
    nr_concats = check_arguments(repo_id, nr_concats)
    source = None if source_dir is None else Path(source_dir).expanduser()
    if source is not None and not source.is_dir():
        raise UserError(f"--source_dir {str(source)!r} is not a folder: give the one that holds the official files")

    from hub_datasets.publishing.publication import build

    if dry_run:
        with tempfile.TemporaryDirectory() as folder:
            build(dataset, Path(folder), repo_id, source, nr_concats, tokenizer)
            _show(Path(folder))
            print((Path(folder) / "main" / "README.md").read_text(encoding="utf-8"))
        return None
    from foundation.push import settle

    repo_id = settle(repo_id, "dataset", private=private, argument="--repo_id")
    target = Path(output_dir or Path("outputs") / "hub_datasets" / repo_id.replace("/", "--")).expanduser()
    with atomic_folder(target, BUILT) as work:
        statistics = build(dataset, work, repo_id, source, nr_concats, tokenizer)
    files = [file for file in target.rglob("*") if file.is_file()]
    print(f"{target}: {len(files)} files, {sum(file.stat().st_size for file in files):,} bytes")
    return _push(dataset, repo_id, target, private, nr_concats, statistics)


def check_arguments(repo_id: str, nr_concats: Sequence[int]) -> list[int]:
    """Refuse what cannot be published; returns nr_concats in order, each once."""
    # The script is named like the repository and imported by that name, which a dot would split.
    if not re.fullmatch(r"[\w-][\w.-]*/[A-Za-z0-9_-]+", repo_id):
        raise UserError(
            f"--repo_id {repo_id!r} is not owner/name with a name of letters, digits, - and _: try org/xquad_long"
        )
    for n in nr_concats:
        if type(n) is not int or n < 1:
            raise UserError(f"--nr_concats must be whole numbers from 1 up, but got {n!r}: try 1 3 12 24")
    if not nr_concats:
        raise UserError("--nr_concats names no number: try 1 3 12 24")
    return sorted(set(nr_concats))


def _push(
    dataset: str, repo_id: str, folder: Path, private: bool, nr_concats: Sequence[int], statistics: Sequence[Any]
) -> str:
    from huggingface_hub import HfApi

    from foundation.push import push_folder, retry
    from hub_datasets.publishing.readback import read_back

    api = HfApi()

    def head(branch: str) -> Any:
        return retry(lambda: api.repo_info(repo_id, repo_type="dataset", revision=branch))

    # A trace of what this machine has created, for a later run where this one breaks off.
    created = folder.with_name(f".{folder.name}.created")
    exists = _check_place(api, repo_id, folder)
    if not exists:
        write_atomically(created, repo_id)
    ours = created.is_file() and created.read_text(encoding="utf-8") == repo_id
    commits = {}
    for branch, title in BRANCHES.items():
        url = push_folder(
            folder / branch,
            repo_id,
            "dataset",
            private=None if exists else True,
            message=title,
            delete_patterns=OURS[branch],
            revision=branch,
        )
        print(f"{branch}: {url or 'nothing changed, no commit'}")
        commits[branch] = head(branch).sha
    for call, rows in read_back(dataset, repo_id, commits, nr_concats, statistics):
        print(f"{rows:>8,} rows as built  {call}")
    if ours and not private:
        retry(lambda: api.update_repo_settings(repo_id, repo_type="dataset", private=False))
    if ours:
        created.unlink()
    visible = "private" if head("main").private else "public"
    address = f"{api.endpoint}/datasets/{repo_id}"
    print(f"{address} is {visible}")
    return address


def _check_place(api: Any, repo_id: str, folder: Path) -> bool:
    """Whether the repository exists; a UserError when it holds something else, another of these data sets for one."""
    from huggingface_hub import errors

    from foundation.push import retry

    try:
        files = set(retry(lambda: api.list_repo_files(repo_id, repo_type="dataset"))) - {".gitattributes"}
    except errors.RepositoryNotFoundError:
        return False
    scripts = {file.name for file in (folder / "main").glob("*.py")}
    sources = {f"data/{file.name}" for file in (folder / "main" / "data").iterdir()}
    if others := {file for file in files if file.startswith("data/")} - sources:
        raise UserError(
            f"--repo_id {repo_id!r} holds another data set ({', '.join(sorted(others)[:3])}), which would be replaced: "
            f"choose another repository; what was built is kept in {folder}"
        )
    if not scripts <= files and (others := files - {"README.md"}):
        raise UserError(
            f"--repo_id {repo_id!r} holds files of another kind ({', '.join(sorted(others)[:3])}): choose another "
            f"repository; what was built is kept in {folder}"
        )
    return True


def _show(folder: Path) -> None:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            print(f"{file.stat().st_size:>12,} bytes  {file.relative_to(folder)}")


def main(words: Sequence[str] | None = None) -> None:
    assert __doc__ is not None
    parser = command_parser(
        description=__doc__.split("\n")[0],
        example="python -m hub_datasets.publish --dataset xquad_long --repo_id org/xquad_long --dry_run",
    )
    parser.add_argument("--dataset", required=True, choices=("squad_long", "xquad_long"), help="what to publish")
    parser.add_argument("--repo_id", required=True, help="dataset repository, owner/name; created when missing")
    parser.add_argument("--source_dir", help="folder with the official files; downloaded without it")
    parser.add_argument("--private", action="store_true", help="keep a repository that is created private")
    parser.add_argument("--nr_concats", type=int, nargs="+", default=[1, 3, 12, 24], help="Parquet configurations")
    parser.add_argument("--tokenizer", help="Hub id or folder; adds lengths in tokens to the card")
    parser.add_argument("--output_dir", help="what is built; outputs/hub_datasets/OWNER--NAME without it")
    parser.add_argument("--dry_run", action="store_true", help="show files, sizes and the card, and push nothing")
    arguments = parser.parse_args(words)
    publish(
        arguments.dataset,
        arguments.repo_id,
        source_dir=arguments.source_dir,
        private=arguments.private,
        nr_concats=arguments.nr_concats,
        tokenizer=arguments.tokenizer,
        output_dir=arguments.output_dir,
        dry_run=arguments.dry_run,
    )


if __name__ == "__main__":
    run(main)
