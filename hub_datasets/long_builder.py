"""What the loading scripts share: which files a split is made of, where they lie, and the rows in them.

Published beside the scripts: imports `datasets`, its siblings, and the standard library only.
"""

import os
from typing import ClassVar, NamedTuple

import datasets

from .squad_format import check_sha256, long_tables, read_paragraphs


class File(NamedTuple):
    """One SQuAD-format file. `sha256` is None for a user's own, `language` where the rows have no such column."""

    name: str
    sha256: str | None = None
    language: str | None = None


class LongBuilder(datasets.ArrowBasedBuilder):
    """A script says what its official files are; `data_files` stand in for them."""

    URL: ClassVar[str]

    def _official_files(self) -> dict[str, list[File]]:
        """Split -> its files, named as at `URL`."""
        raise NotImplementedError

    def _own_files(self, data_files: dict[str, list[str]]) -> dict[str, list[File]]:
        """Split -> the user's files."""
        return {split: [File(path) for path in paths] for split, paths in data_files.items()}

    def _split_generators(self, dl_manager):
        if self.config.data_files is not None:
            splits = self._own_files({str(split): list(paths) for split, paths in self.config.data_files.items()})
        else:
            splits = {
                split: [file._replace(name=self._locate(file.name)) for file in files]
                for split, files in self._official_files().items()
            }
        paths = dl_manager.download({split: [file.name for file in files] for split, files in splits.items()})
        return [
            # Lists of one length: `datasets` takes each place for a shard.
            datasets.SplitGenerator(name=split, gen_kwargs={"paths": paths[split], "files": files})
            for split, files in splits.items()
        ]

    def _locate(self, name: str) -> str:
        """A published repository carries its sources under data/; a bare checkout takes them from their home."""
        base = self.base_path or ""
        published = "://" in base or os.path.isfile(os.path.join(base, "data", name))
        return f"data/{name}" if published else self.URL + name

    def _generate_tables(self, paths, files):
        for shard, (path, file) in enumerate(zip(paths, files, strict=True)):
            with open(path, "rb") as opened:
                content = opened.read()
            if file.sha256 is not None:
                check_sha256(content, file.sha256, file.name)
            paragraphs = read_paragraphs(content, file.name)
            for number, table in enumerate(long_tables(paragraphs, file.name, self.config, file.language)):
                yield (shard, number), table
