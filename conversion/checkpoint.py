"""The tensors of a checkpoint as bytes on disk: read piece by piece, written in one stream, never all in memory.

safetensors files are read by their header (a little-endian u64 length, JSON, then the data; see the format's README),
single or sharded; safetensors' own reader maps the file, so that what was read stays in memory. PyTorch's .bin files go
through `torch.load(weights_only=True)`, which runs no code of the file.
"""

import io
import json
import math
import os
import pickle
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from foundation.cli import UserError, one_line
from foundation.files import read_json

if TYPE_CHECKING:
    import torch

ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
PIECE = 2**18  # bytes held at a time: few enough for the processor's cache, and a multiple of every item size

SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True)
class Tensor:
    """A tensor that stays on disk: `read(start, stop)` gives that range of its bytes (row-major, little-endian)."""

    dtype: str
    shape: tuple[int, ...]
    read: Callable[[int, int], bytes | memoryview]

    @property
    def nbytes(self) -> int:
        return ITEM_BYTES[self.dtype] * math.prod(self.shape)

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes | memoryview]:
        """The bytes from `start` to `stop` (all of them by default), at most `PIECE` at a time."""
        stop = self.nbytes if stop is None else stop
        for at in range(start, stop, PIECE):
            yield self.read(at, min(at + PIECE, stop))

    def equals(self, other: "Tensor") -> bool:
        """Same type, shape and bytes."""
        if (self.dtype, self.shape) != (other.dtype, other.shape):
            return False
        return all(bytes(a) == bytes(b) for a, b in zip(self.pieces(), other.pieces(), strict=True))


def read_checkpoint(folder: Path) -> dict[str, Tensor]:
    """Name -> tensor of the checkpoint in `folder`; safetensors are preferred to .bin files.

    Raises:
        UserError: no weights, a truncated or malformed file, a shard that is missing, a .bin file that holds code.
    """
    for candidates, read in ((SAFETENSORS, _read_safetensors), (PICKLED, _read_pickled)):
        single, index = (folder / name for name in candidates)
        if single.is_file():
            return read(single)
        if index.is_file():
            return _read_shards(index, read)
    raise UserError(
        f"{str(folder)!r} holds no weights: expected one of {', '.join(SAFETENSORS + PICKLED)} (TensorFlow and Flax"
        " files are not read; save the model once with transformers as safetensors)"
    )


def _read_shards(index: Path, read: Callable[[Path], dict[str, Tensor]]) -> dict[str, Tensor]:
    shards: dict[str, dict[str, Tensor]] = {}
    tensors = {}
    files = read_json(index, "the index", dict).get("weight_map")
    if not isinstance(files, dict) or not files:
        raise UserError(f"{str(index)!r} has no weight_map from tensors to files: download it again")
    for name, file in files.items():
        if Path(file).name != file or not (index.parent / file).is_file():
            raise UserError(f"{str(index)!r} names the shard {file!r}, which is not beside it: download it again")
        shards.setdefault(file, {})
        if not shards[file]:
            shards[file] = read(index.parent / file)
        if name not in shards[file]:
            raise UserError(f"{str(index)!r} says that {name!r} is in {file!r}, but it is not: download both again")
        tensors[name] = shards[file][name]
    return tensors


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    broken = f"{str(path)!r} is truncated or is not a safetensors file: download it again"
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise UserError(f"{broken} (its header of {length} bytes does not fit into its {size} bytes)")
        try:
            header = json.loads(file.read(length))
            # save_model of safetensors stores a shared tensor once, and puts its other names into the metadata.
            aliases = dict(header.pop("__metadata__", {}))
            entries = dict(header)
            spans = {
                name: (8 + length + a, 8 + length + b) for name, e in entries.items() for a, b in [e["data_offsets"]]
            }
            kinds = {name: (entry["dtype"], tuple(entry["shape"])) for name, entry in entries.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{broken} (its header cannot be read)") from error
    end = max((stop for _, stop in spans.values()), default=8 + length)
    if end != size:
        raise UserError(f"{broken} (it should have {end} bytes and has {size})")
    tensors = {}
    for name, (dtype, shape) in kinds.items():
        if dtype not in ITEM_BYTES:
            raise UserError(
                f"the tensor {name!r} in {str(path)!r} is stored as {dtype}: save the model in float32 first"
            )
        start, stop = spans[name]
        tensors[name] = Tensor(dtype, shape, _file_reader(path, start))
        if tensors[name].nbytes != stop - start:
            raise UserError(f"{broken} (the shape {list(shape)} of {name!r} does not fit its {stop - start} bytes)")
    for other, name in aliases.items():
        if name in tensors:
            tensors.setdefault(other, tensors[name])
    return tensors


def _file_reader(path: Path, offset: int) -> Callable[[int, int], bytes]:
    def read(start: int, stop: int) -> bytes:
        with path.open("rb", buffering=0) as file:
            data = os.pread(file.fileno(), stop - start, offset + start)
        if len(data) != stop - start:
            raise UserError(f"{str(path)!r} ended while it was read: download it again")
        return data

    return read


def _read_pickled(path: Path) -> dict[str, Tensor]:
    import torch

    try:
        # From torch 1.6 on, files are zip archives. Those can be mapped into memory.
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(
            f"{str(path)!r} is truncated or holds more than tensors, and its code is not run: save the model as"
            f" safetensors where you trust it ({one_line(error) or type(error).__name__})"
        ) from error
    if not isinstance(loaded, Mapping) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise UserError(f"{str(path)!r} is not a dictionary of tensors: save the model's state_dict() as safetensors")
    odd = [name for name, tensor in loaded.items() if str(tensor.dtype) not in DTYPE_CODES]
    if odd:
        raise UserError(
            f"the tensor {odd[0]!r} in {str(path)!r} is {loaded[odd[0]].dtype}: save the model in float32 first"
        )
    return {name: from_torch(tensor) for name, tensor in loaded.items()}


def from_torch(tensor: "torch.Tensor") -> Tensor:
    """A `torch.Tensor` in memory (or mapped) as a `Tensor`."""
    import torch

    data = tensor.detach().contiguous()
    flat = data.reshape(-1).view(torch.uint8).numpy().data
    return Tensor(DTYPE_CODES[str(data.dtype)], tuple(data.shape), lambda start, stop: flat[start:stop])


def to_torch(tensor: Tensor) -> "torch.Tensor":
    """A `Tensor` read into memory as a `torch.Tensor` of its own type."""
    import torch

    raw = bytearray(b"".join(tensor.pieces()))
    return torch.frombuffer(raw, dtype=getattr(torch, TORCH_NAMES[tensor.dtype])).reshape(tensor.shape)


DTYPE_CODES = {
    "torch.float64": "F64",
    "torch.float32": "F32",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.int64": "I64",
    "torch.int32": "I32",
    "torch.int16": "I16",
    "torch.int8": "I8",
    "torch.uint8": "U8",
    "torch.bool": "BOOL",
}
TORCH_NAMES = {code: name.removeprefix("torch.") for name, code in DTYPE_CODES.items()}


@dataclass(frozen=True)
class Output:
    """A tensor to be written: its header entry and the bytes in order."""

    dtype: str
    shape: tuple[int, ...]
    pieces: Callable[[], Iterable[bytes | memoryview]]

    @property
    def nbytes(self) -> int:
        return ITEM_BYTES[self.dtype] * math.prod(self.shape)


def cast(output: Output, dtype: str) -> Output:
    """`output` rounded to another float type ("F16", "BF16", "F32"), piece by piece."""
    if output.dtype == dtype or not output.dtype.endswith(("F16", "F32", "F64")):
        return output

    def pieces() -> Iterator[memoryview]:
        import torch

        source, target = getattr(torch, TORCH_NAMES[output.dtype]), getattr(torch, TORCH_NAMES[dtype])
        for piece in output.pieces():
            values = torch.frombuffer(bytearray(piece), dtype=source).to(target)
            yield memoryview(values.view(torch.uint8).numpy().data)

    return Output(dtype, output.shape, pieces)


def write_safetensors(path: Path, outputs: Mapping[str, Output]) -> None:
    """Write one safetensors file, with a progress bar where it takes more than two seconds."""
    from tqdm import tqdm

    header: dict[str, dict] = {"__metadata__": {"format": "pt"}}
    names = sorted(outputs, key=lambda name: (-ITEM_BYTES[outputs[name].dtype], name))  # large items first: all aligned
    at = 0
    for name in names:
        output = outputs[name]
        stop = at + output.nbytes
        header[name] = {"dtype": output.dtype, "shape": list(output.shape), "data_offsets": [at, stop]}
        at = stop
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with (
        path.open("wb", buffering=0) as file,
        tqdm(total=at, unit="B", unit_scale=True, desc="writing", file=sys.stderr, delay=2) as bar,
    ):
        _write_all(file, len(encoded).to_bytes(8, "little") + encoded)
        for name in names:
            written = 0
            for piece in outputs[name].pieces():
                _write_all(file, piece)
                written += len(piece)
                bar.update(len(piece))
            if written != outputs[name].nbytes:
                raise RuntimeError(f"{name}: {written} bytes written, {outputs[name].nbytes} announced")


def _write_all(file: io.FileIO, piece: bytes | memoryview) -> None:
    view = memoryview(piece)
    while view.nbytes:
        view = view[file.write(view) :]  # an unbuffered file may write only a part
