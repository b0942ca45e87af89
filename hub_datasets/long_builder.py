"""What the loading scripts share: which files a split is made of, where they lie, and the rows in them.

Published beside the scripts: imports `datasets`, its siblings, and the standard library only.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import datasets

from .concat import ConcatOptions
from .flat_rows import Part
from .squad_format import check_sha256, long_tables, read_parts


class File(NamedTuple):
    """One file of questions. `sha256` is None for a user's own, `language` where its name does not say one."""

    name: str
    sha256: str | None = None
    language: str | None = None


@dataclass
class LongConfig(ConcatOptions, datasets.BuilderConfig):
    """The fields of ConcatOptions, as keywords of `load_dataset`."""

    def create_config_id(self, config_kwargs, custom_features=None):
        """Names the rows in the cache: by the content of the user's files, where `datasets` takes their age."""
        files = [path for paths in (config_kwargs.get("data_files") or {}).values() for path in paths]
        contents = {path: content_hash(path) for path in files if os.path.isfile(path)}
        if contents:
            config_kwargs = {**config_kwargs, "contents": json.dumps(contents)}
        return super().create_config_id(config_kwargs, custom_features)


class LongBuilder(datasets.ArrowBasedBuilder):
    """A script says what its official files are; `data_files` stand in for them."""

    URL: ClassVar[str]
    BUILDER_CONFIG_CLASS = LongConfig

    def _official_files(self) -> dict[str, list[File]]:
        """Split -> its files, named as at `URL`."""
        raise NotImplementedError

    def _own_files(self, data_files: dict[str, list[str]]) -> dict[str, list[File]]:
        """Split -> the user's files."""
        return {split: [File(path) for path in paths] for split, paths in data_files.items()}

    def _column(self, file: File, language: str | None) -> str | None:
        """The column `language` of rows of `file`, by what the rows say themselves; None for no such column."""
        return None

    def _wanted(self, language: str | None) -> bool:
        """Whether rows that say this `language` are part of the configuration."""
        return True

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
            # Two lists of one length: `datasets` reads lists as shards, and gives each process a part of them.
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
            read = read_parts(content, file.name, self.config.names())
            wanted = [part for part in read if self._wanted(part.language)]
            for number, part in enumerate(wanted or [Part(None, [])]):  # long_tables refuses a file without rows
                column = self._column(file, part.language)
                for count, table in enumerate(long_tables(part.paragraphs, file.name, self.config, column)):
                    yield (shard, number, count), table


def content_hash(path: str) -> str:
    """SHA-256 of a file, read piece by piece."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
