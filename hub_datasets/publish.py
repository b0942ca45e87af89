"""Publish a data set as a repository: of SQ3 and XQ3 the script and Parquet files, of terms and babi_far Parquet files.

    python -m hub_datasets.publish --dataset xquad_long --repo_id org/xquad_long --dry_run
    python -m hub_datasets.publish --dataset xquad_long --repo_id org/xquad_long --nr_concats 1 3 12 24
    python -m hub_datasets.publish --dataset terms --repo_id org/terms --language de,en --tokens 1024 4096 --dry_run

The script of SQ3 and XQ3 stands on `main`, their Parquet files on the branch `parquet`; of a data set that code makes
all is on `main`. Each branch is one atomic commit. A repository that is created stays private until everything has been
read back through the Hub's client and compared with what was built; one that exists keeps its visibility. A second run
with nothing changed makes no commit.
"""

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from foundation.cli import UserError, command_parser, run
from foundation.files import atomic_folder, write_atomically

from .generated import KINDS

BRANCHES = {"main": "Publish the script, its sources and the card", "parquet": "Publish the rows as Parquet files"}
# What an earlier build wrote, and this one may replace.
BUILT = ("main/README.md", "main/*.py", "main/data/*", "parquet/README.md", "parquet/nr_concats-*/*.parquet")
# What a push deletes of a branch unless it was built again. What the owner added stays.
OURS = {"main": ["data/*"], "parquet": ["nr_concats-*/*"]}

FileStatistics = TypeVar("FileStatistics")


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
    from hub_datasets.publishing.readback import read_back

    return _publish(
        repo_id,
        lambda folder, repo_id: build(dataset, folder, repo_id, source, nr_concats, tokenizer),
        lambda repo_id, commits, built: read_back(dataset, repo_id, commits, nr_concats, built),
        branches=BRANCHES,
        private=private,
        output_dir=output_dir,
        dry_run=dry_run,
    )


def publish_made(
    dataset: str,
    repo_id: str,
    *,
    languages: Sequence[str],
    tokens: Sequence[int] = (4096,),
    background: str | None = None,
    train_background: str | None = None,
    private: bool = False,
    output_dir: str | Path | None = None,
    dry_run: bool = False,
    **given: Any,
) -> str | None:
    """The same for terms and babi_far: the split validation, and train where `train_background` names its paragraphs.

    Args:
        given: what else the data set is told, see `hub_datasets.generated.generate`.
    """
    check_arguments(repo_id, [1])
    if len(set(languages)) < len(languages) or len(set(tokens)) < len(tokens):
        raise UserError(f"--language {','.join(languages)} and --tokens {list(tokens)} must name each once")
    backgrounds = {"validation": background} | ({"train": train_background} if train_background else {})

    from hub_datasets.publishing.made import build_made
    from hub_datasets.publishing.readback import read_back_made

    return _publish(
        repo_id,
        lambda folder, repo_id: build_made(dataset, folder, repo_id, languages, tokens, backgrounds, given),
        lambda repo_id, commits, built: read_back_made(repo_id, commits["main"], built),
        branches={"main": "Publish the rows as Parquet files, and their card"},
        private=private,
        output_dir=output_dir,
        dry_run=dry_run,
    )


def _publish(
    repo_id: str,
    build: Callable[[Path, str], list[FileStatistics]],
    read_back: Callable[[str, dict[str, str], list[FileStatistics]], list[tuple[str, int]]],
    *,
    branches: Mapping[str, str],
    private: bool,
    output_dir: str | Path | None,
    dry_run: bool,
) -> str | None:
    """Build into a folder (of a dry run, a passing one that is shown), push its branches, and read them back."""
    if dry_run:
        with tempfile.TemporaryDirectory() as folder:
            build(Path(folder), repo_id)
            _show(Path(folder))
            print((Path(folder) / "main" / "README.md").read_text(encoding="utf-8"))
        return None
    from foundation.push import settle

    repo_id = settle(repo_id, "dataset", private=private, argument="--repo_id")
    target = Path(output_dir or Path("outputs") / "hub_datasets" / repo_id.replace("/", "--")).expanduser()
    with atomic_folder(target, BUILT) as work:
        built = build(work, repo_id)
    files = [file for file in target.rglob("*") if file.is_file()]
    print(f"{target}: {len(files)} files, {sum(file.stat().st_size for file in files):,} bytes")
    return _push(repo_id, target, private, branches, lambda commits: read_back(repo_id, commits, built))


def check_arguments(repo_id: str, nr_concats: Sequence[int]) -> list[int]:
    """Refuse what cannot be published; returns nr_concats in order, each once."""
    # `datasets` imports the script by the repository's name. A dot would split it.
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
    repo_id: str,
    folder: Path,
    private: bool,
    branches: Mapping[str, str],
    read_back: Callable[[dict[str, str]], list[tuple[str, int]]],
) -> str:
    """Push each of `branches` (with the title of its commit), and read it all back at those commits."""
    from huggingface_hub import HfApi

    from foundation.push import push_folder, retry

    api = HfApi()

    def head(branch: str) -> Any:
        return retry(lambda: api.repo_info(repo_id, repo_type="dataset", revision=branch))

    # If this run breaks off, the next one learns here that the repository is ours and still has to be made public.
    created = folder.with_name(f".{folder.name}.created")
    exists = _check_place(api, repo_id, folder)
    if not exists:
        write_atomically(created, repo_id)
    ours = created.is_file() and created.read_text(encoding="utf-8") == repo_id
    commits = {}
    for branch, title in branches.items():
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
    for call, rows in read_back(commits):
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
    # A repository of ours is known by its scripts. Generated data sets have none, so there every other file is strange.
    strange = not scripts <= files if scripts else bool(files - sources - {"README.md"})
    if strange and (others := files - {"README.md"}):
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
    parser.add_argument(
        "--dataset", required=True, choices=("squad_long", "xquad_long", *KINDS), help="what to publish"
    )
    parser.add_argument("--repo_id", required=True, help="dataset repository, owner/name; created when missing")
    parser.add_argument("--source_dir", help="folder with the official files; downloaded without it")
    parser.add_argument("--private", action="store_true", help="keep a repository that is created private")
    parser.add_argument("--nr_concats", type=int, nargs="+", default=[1, 3, 12, 24], help="Parquet configurations")
    parser.add_argument("--tokenizer", help="Hub id or folder; adds lengths in tokens to the card")
    parser.add_argument("--output_dir", help="folder for what is built; outputs/hub_datasets/OWNER--NAME without it")
    parser.add_argument("--dry_run", action="store_true", help="show files, sizes and the card, and push nothing")
    made = parser.add_argument_group("terms and babi_far")
    made.add_argument("--language", default="en", help="languages, with commas")
    made.add_argument("--tokens", type=int, nargs="+", default=[4096], help="lengths, a configuration each")
    made.add_argument("--background", help="paragraphs of the split validation; XQuAD's file is downloaded without it")
    made.add_argument("--train_background", help="paragraphs of the split train; no such split without it")
    made.add_argument("--data_dir", help="babi_far: folder of bAbI's files")
    for name, about in {"parties": "terms: 2 to 6", "hops": "terms: 2 or 3", "task": "babi_far: 1, 2, 3 or 14",
                         "rows": "questions of each file", "seed": "of everything that is drawn"}.items():  # fmt: skip
        made.add_argument(f"--{name}", type=int, help=about)
    arguments = parser.parse_args(words)
    shared = {
        "private": arguments.private,
        "tokenizer": arguments.tokenizer,
        "output_dir": arguments.output_dir,
        "dry_run": arguments.dry_run,
    }
    if arguments.dataset not in KINDS:
        publish(
            arguments.dataset,
            arguments.repo_id,
            source_dir=arguments.source_dir,
            nr_concats=arguments.nr_concats,
            **shared,
        )
        return
    given = {name: getattr(arguments, name) for name in ("parties", "hops", "task", "rows", "seed", "data_dir")}
    publish_made(
        arguments.dataset,
        arguments.repo_id,
        languages=arguments.language.split(","),
        tokens=arguments.tokens,
        background=arguments.background,
        train_background=arguments.train_background,
        **shared,
        **{name: value for name, value in given.items() if value is not None},
    )


if __name__ == "__main__":
    run(main)
