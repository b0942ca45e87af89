"""`load_dataset()`: the loading scripts' rows by the same call on every version of `datasets`.

Versions 4 and later refuse to run a loading script, but the builder class in it still works when it is instantiated
directly. That is all that happens here, on every version, so no code from a repository is ever run: a Hub id gives the
source files, this package the rules.
"""

import contextlib
import glob
import hashlib
import importlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foundation.cli import UserError, one_line

from .concat import ConcatOptions, CorpusError
from .generated import KINDS, check_parameters, load_generated, parameters

BUILDERS = {"squad_long": "SquadLong", "xquad_long": "XquadLong"}
# The files that a loading script imports, and that are published beside it.
SIBLINGS = ("concat.py", "flat_rows.py", "long_builder.py", "reading.py", "spans.py", "squad_format.py")
_CODE = (*SIBLINGS, *(f"{kind}.py" for kind in BUILDERS))

DataFiles = str | Path | Sequence[str | Path] | Mapping[str, str | Path | Sequence[str | Path]]


def load_dataset(
    path: str,
    name: str | None = None,
    *,
    split: str | None = None,
    data_files: DataFiles | None = None,
    nr_concats: int = ConcatOptions.nr_concats,
    questions: str = ConcatOptions.questions,
    within_articles: bool = ConcatOptions.within_articles,
    separator: str = ConcatOptions.separator,
    on_bad_span: str = ConcatOptions.on_bad_span,
    changes_dir: str = ConcatOptions.changes_dir,
    columns: str = ConcatOptions.columns,
    cache_dir: str | Path | None = None,
    streaming: bool = False,
    revision: str | None = None,
    token: str | bool | None = None,
    num_proc: int | None = None,
    **generated: Any,
) -> Any:
    """SQ3 or XQ3, any SQuAD-format files made long by the same rules, or a data set that code makes.

    Args:
        path: "squad_long", "xquad_long", the Hub id of a repository made by `python -m hub_datasets.publish`, or
            "terms" or "babi_far".
        name: configuration; for xquad_long "all" (the default) or a language; for terms and babi_far a language.
        split: one split instead of all of them.
        data_files: your own files (paths or URLs; one, several, or a mapping from split to them) instead of the
            official ones, in SQuAD's format or as rows (JSON, JSON lines, CSV, Parquet, gzip). A bare path is the split
            train of squad_long and the split validation of xquad_long.
        nr_concats, questions, within_articles, separator, on_bad_span, changes_dir, columns: see
            `hub_datasets.concat.ConcatOptions`.
        cache_dir: where rows are kept, `datasets`' own cache by default.
        streaming: an IterableDataset that reads the files as it goes.
        revision, token: of the Hub repository.
        num_proc: processes that build the rows.
        generated: what terms and babi_far take, and nothing but `split` of the above: see
            `hub_datasets.generated.generate`. Without `split` they have the splits that a mapping `background` names,
            otherwise validation alone.

    Returns:
        A DatasetDict, or a Dataset with `split` (their iterable kin with `streaming`), with the columns id, title,
        context, question, answers {text, answer_start}, for all but squad_long language, and for terms and babi_far
        evidence {start, end}.

    Raises:
        UserError: one sentence on the argument or the file that must be mended. With `streaming`, what is wrong inside
            a file shows while rows are read, as the CorpusError that UserError otherwise carries.
    """
    if path in KINDS:
        others = {
            "data_files": data_files, "nr_concats": nr_concats, "questions": questions,
            "within_articles": within_articles, "separator": separator, "on_bad_span": on_bad_span,
            "changes_dir": changes_dir, "columns": columns, "cache_dir": cache_dir, "streaming": streaming,
            "revision": revision, "token": token, "num_proc": num_proc,
        }  # fmt: skip
        defaults = load_dataset.__kwdefaults__ or {}
        check_parameters(path, {key: value for key, value in others.items() if value != defaults[key]} | generated)
        return load_generated(path, name or "en", split, generated)
    for key, value in generated.items():
        if key not in {name for kind in KINDS for name in parameters(kind)}:
            raise TypeError(f"load_dataset() got an unexpected keyword argument {key!r}")
        raise UserError(f"{key} {value!r} is for {' and '.join(KINDS)}, not for {path}: leave it out")
    options = ConcatOptions(nr_concats, questions, within_articles, separator, on_bad_span, changes_dir, columns)
    try:
        options.check()
    except ValueError as error:
        raise UserError(str(error)) from None

    import datasets
    from datasets.exceptions import DatasetGenerationError

    _lock_nothing_beside_this_package()
    kind, base_path = _locate(path, revision, token)
    builder_class = getattr(importlib.import_module(f".{kind}", __package__), BUILDERS[kind])
    if name is not None and name not in builder_class.builder_configs:
        raise UserError(
            f"name {name!r} is no configuration of {path}: choose one of {', '.join(builder_class.builder_configs)}"
        )
    try:
        builder = builder_class(
            cache_dir=None if cache_dir is None else str(cache_dir),
            config_name=name,
            hash=_code_hash(datasets.__version__),
            base_path=base_path,
            token=token,
            data_files=_absolute(data_files),
            **vars(options),
        )
        if not streaming:
            builder.download_and_prepare(num_proc=num_proc)
    except (CorpusError, datasets.exceptions.DataFilesNotFoundError) as error:
        raise UserError(str(error)) from error
    except DatasetGenerationError as error:
        # From another process the cause arrives as the text of a traceback. One line of it is our sentence.
        mark = f"{CorpusError.__name__}: "
        said = [line.partition(mark)[2] for line in str(error.__cause__).splitlines() if mark in line]
        if isinstance(error.__cause__, CorpusError) or said:
            raise UserError(said[0] if said else str(error.__cause__)) from error
        raise
    except (ConnectionError, FileNotFoundError) as error:
        raise UserError(
            f"a source file of {path} cannot be reached ({error}): check the connection, or give local data_files"
        ) from error
    read = builder.as_streaming_dataset if streaming else builder.as_dataset
    try:
        return read(split=split)
    except (ValueError, AssertionError) as error:
        if split is None:
            raise
        known = f"choose one of {', '.join(builder.info.splits)}" if builder.info.splits else one_line(error)
        raise UserError(f"split {str(split)!r} is not in {path}: {known}") from error


def _lock_nothing_beside_this_package() -> None:
    """Keep `datasets` 3 from writing FOLDER.lock beside the folder that this package lies in.

    It means to guard the copies that it makes of loading scripts; the folder of an installed package, or a container's
    working folder, need not be the user's to write beside.
    """
    from datasets import streaming

    lock = getattr(streaming, "lock_importable_file", None)
    if lock is None or getattr(lock, "spares", None) == __file__:
        return

    def lock_copies_only(importable_file: str) -> Any:
        ours = Path(importable_file).parent == Path(__file__).parent
        return contextlib.nullcontext() if ours else lock(importable_file)

    lock_copies_only.spares = __file__  # type: ignore[attr-defined]
    streaming.lock_importable_file = lock_copies_only


def _locate(path: str, revision: str | None, token: str | bool | None) -> tuple[str, str]:
    """Which builder a path means, and the folder or repository that its source files are looked for in."""
    if path in BUILDERS:
        if revision is not None:
            raise UserError(f"revision {revision!r} is for Hub ids, and {path} comes with this package: leave it out")
        return path, str(Path(__file__).parent)
    if path.count("/") != 1 or Path(path).exists():
        known = " nor ".join([*BUILDERS, *KINDS])
        raise UserError(f"path {path!r} is neither {known} nor a Hub id such as org/xquad_long")
    from huggingface_hub import HfApi

    info = HfApi(token=token).dataset_info(path, revision=revision)
    names = {file.rfilename for file in info.siblings or ()}
    for kind, mark in (("squad_long", "data/train-v1.1.json"), ("xquad_long", "data/xquad.en.json")):
        if mark in names:
            return kind, f"hf://datasets/{path}@{info.sha}"
    raise UserError(
        f"path {path!r} is a dataset repository without the source files of {' or '.join(BUILDERS)}: "
        "load it by datasets.load_dataset, or pass its SQuAD-format files as data_files"
    )


def _absolute(data_files: DataFiles | None) -> Any:
    """Paths against the current folder (`datasets` takes them against the script's); what does not exist is refused."""
    if data_files is None:
        return None
    if isinstance(data_files, Mapping):
        if not data_files:
            raise UserError("data_files {} names no file: give a mapping from split to files, or leave it out")
        for split in data_files:
            if split == "all" or not re.fullmatch(r"\w+(\.\w+)*", str(split)):
                raise UserError(
                    f"data_files names the split {split!r}: give it letters, digits, _ and . alone, and not 'all'"
                )
        return {split: _absolute(files) for split, files in data_files.items()}
    if not isinstance(data_files, (str, Path)):
        if not data_files:
            raise UserError("data_files [] names no file: give one or more, or leave it out")
        return [_absolute(file) for file in data_files]
    if "://" in str(data_files):
        return str(data_files)
    file = Path(data_files).expanduser().absolute()
    if file.is_dir():
        raise UserError(f"data_files {str(data_files)!r} is a folder: give the files in it, {str(file / '*')!r}")
    if file.is_file():
        return glob.escape(str(file))  # `datasets` reads a path as a pattern, and a name may hold brackets
    if not glob.glob(str(file), recursive=True):
        raise UserError(f"data_files {str(data_files)!r} is not a file: check the path")
    return str(file)


def _code_hash(datasets_version: str) -> str:
    """Keeps cached rows apart by the code that made them, and by the generation of `datasets` that wrote them."""
    code = b"\0".join((Path(__file__).parent / name).read_bytes() for name in _CODE)
    return hashlib.sha256(datasets_version.split(".")[0].encode() + b"\0" + code).hexdigest()
