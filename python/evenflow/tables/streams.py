"""ParquetStream and CsvStream: files larger than memory as rows to learn from, block by block."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from .. import errors
from ..common.keywords import Checked
from .encoding import TableEncoding, is_number
from .files import CsvFiles, ParquetFiles, Part, read_paths
from .scan import Coder, Files, count_rows, numbers, scan

if TYPE_CHECKING:
    from concurrent.futures import Future

    from typing_extensions import Unpack

Array = NDArray[Any]
PathLike = str | os.PathLike[str]

BLOCK_ROWS = 1 << 16
END = object()


@dataclass(frozen=True)
class NamedRows:
    """An array of rows whose columns have names: what a table is to a model."""

    rows: Array
    columns: tuple[str, ...]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.rows if dtype is None or dtype == self.rows.dtype else self.rows.astype(dtype)

    def items(self) -> Iterator[tuple[str, Array]]:
        """Names and columns."""
        return zip(self.columns, self.rows.T, strict=True)


@dataclass(frozen=True)
class Block:
    """Rows of a file in memory; `order`: the one to take them in, None for their own."""

    x: Array
    y: Array | None
    weights: Array | None
    order: NDArray[np.int64] | None = None


class Options(TypedDict, total=False):
    """The keywords of every stream."""

    columns: Sequence[str] | None
    ignore: Sequence[str]
    categorical: Sequence[str]
    sample_weight: str | None
    task: str | None
    encoding: TableEncoding | None
    batch_size: int
    block_rows: int
    dtype: str


class TableStream(Checked):
    """Base class of ParquetStream and CsvStream, which see."""

    def __init__(
        self,
        path: PathLike | Sequence[PathLike],
        target: str | None = None,
        *,
        columns: Sequence[str] | None = None,
        ignore: Sequence[str] = (),
        categorical: Sequence[str] = (),
        sample_weight: str | None = None,
        task: str | None = None,
        encoding: TableEncoding | None = None,
        batch_size: int = 32,
        block_rows: int = BLOCK_ROWS,
        dtype: str = "float32",
    ) -> None:
        where = self.where = type(self).__name__
        self.batch_size = errors.integer(where, "batch_size", batch_size, at_least=1)
        batches = -(-errors.integer(where, "block_rows", block_rows, at_least=1) // self.batch_size)
        self.block_rows = batches * self.batch_size  # only the last batch of an epoch is smaller
        if dtype not in ("float32", "float64"):
            raise errors.unknown_name(where, "dtype", dtype, ("float32", "float64"))
        self.dtype = dtype
        files = self._files = self._open(read_paths(where, path))
        if encoding is None:
            chosen = [] if columns is None else _read_names(where, "columns", columns, files)
            left_out = {*_read_names(where, "ignore", ignore, files), target, sample_weight}
            names = [name for name in chosen or files.kinds if name not in left_out]
            files.kinds |= dict.fromkeys(_read_names(where, "categorical", categorical, files), "text")
            _read_names(where, "target", [] if target is None else [target], files)
        else:
            if not isinstance(encoding, TableEncoding):
                raise errors.wrong_type(where, "encoding", "another stream's encoding", encoding)
            if columns is not None or ignore or categorical or task is not None or target is not None:
                raise ValueError(f"{where}: encoding= tells target, columns and task: give nothing of these beside it")
            names = _read_names(where, "encoding", [column.name for column in encoding.columns], files)
            files.kinds |= {column.name: "text" for column in encoding.columns if column.levels}
            target = encoding.target.name if encoding.target.name in files.kinds else None
            if target is not None and not all(map(is_number, encoding.target.levels)):
                files.kinds[target] = "text"
        _read_names(where, "sample_weight", [] if sample_weight is None else [sample_weight], files)
        if not names:
            raise ValueError(f"{where}: no input column is left beside the target {target!r}")
        used = [name for name in (*names, target, sample_weight) if name is not None]
        for name in used:
            if files.kinds[name] not in ("number", "text"):
                raise errors.wrong_kind(where, f"column {name!r}", "numbers or texts", files.kinds[name])
        if encoding is None:
            self.encoding, self.rows = scan(where, files, names, target, task)
        else:
            self.encoding, self.rows = encoding, count_rows(files)
        self.target, self.sample_weight = target, sample_weight
        self.feature_names = tuple(self.encoding.features)
        self._read = used
        self._coders = {
            column.name: Coder(where, column, files.kinds[column.name])
            for column in (*self.encoding.columns, self.encoding.target)
            if column.levels and column.name in files.kinds
        }

    def _open(self, paths: list[Path]) -> Files:
        """Files of the format that this class reads."""
        raise NotImplementedError

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-self.rows // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        """The batches in the order of the files: (x, y), (x, y, sample_weight), or x alone where there is no target."""
        for block in self.blocks():
            for start in range(0, len(block.x), self.batch_size):
                rows = slice(start, start + self.batch_size)
                parts = tuple(part[rows] for part in (block.x, block.y, block.weights) if part is not None)
                yield parts if len(parts) > 1 else parts[0]

    def blocks(self, generator: np.random.Generator | None = None) -> Iterator[Block]:
        """One pass. A thread reads the next block while the caller works on one.

        With a generator the parts of the files (row groups, or about a mebibyte of lines) come in shuffled order, and
        so do the rows within each block.
        """
        from concurrent.futures import ThreadPoolExecutor  # where it is used: not every training wants it

        running = self._blocks(generator)
        with ThreadPoolExecutor(1, thread_name_prefix="evenflow") as pool:
            coming: Future[Any] = pool.submit(next, running, END)
            while (block := coming.result()) is not END:
                coming = pool.submit(next, running, END)
                yield block
                del block  # not to hold three of them

    def _blocks(self, generator: np.random.Generator | None) -> Iterator[Block]:
        parts, left = self._files.parts, self.rows
        if generator is not None:
            parts = [parts[i] for i in generator.permutation(len(parts))]
        block, filled = self._empty(left), 0
        for part in parts:
            for piece in self._files.pieces(part, self._read):
                start = 0
                while start < piece.num_rows:
                    if left == 0:
                        raise self._changed(part)
                    some = piece.slice(start, len(block.x) - filled)
                    self._fill(block, filled, part, some)
                    start, filled = start + some.num_rows, filled + some.num_rows
                    if filled == len(block.x):
                        left -= filled
                        order = None if generator is None else generator.permutation(filled)
                        yield Block(block.x, block.y, block.weights, order)
                        block, filled = self._empty(left), 0
        if left:
            raise self._changed(parts[-1])

    def _changed(self, part: Part) -> ValueError:
        return ValueError(f"{self.where}: {part.path}: the files have other rows than when the stream was made")

    def _empty(self, left: int) -> Block:
        """Room for the next block, of so many rows that are left."""
        rows = min(self.block_rows, left)
        labels = self.encoding.task == "classification"
        return Block(
            np.zeros((rows, len(self.feature_names)), self.dtype),
            None if self.target is None else np.zeros(rows, np.int64 if labels else self.dtype),
            None if self.sample_weight is None else np.zeros(rows, self.dtype),
        )

    def _fill(self, block: Block, first: int, part: Part, piece: Any) -> None:
        rows = slice(first, first + piece.num_rows)
        at = 0
        for column in self.encoding.columns:
            width = len(column.levels) or 1
            if column.levels:
                codes = self._coders[column.name].codes(part, piece.column(column.name))
                block.x[np.arange(rows.start, rows.stop), at + codes] = 1
            else:
                values = self._numbers(part, column.name, piece)
                block.x[rows, at] = (
                    values if column.scale == 1 and column.mean == 0 else (values - column.mean) / column.scale
                )
            at += width
        target = self.encoding.target
        if block.y is not None and target.levels:
            block.y[rows] = self._coders[target.name].codes(part, piece.column(target.name))
        elif block.y is not None:
            block.y[rows] = (self._numbers(part, target.name, piece) - target.mean) / target.scale
        if block.weights is not None:
            block.weights[rows] = self._numbers(part, str(self.sample_weight), piece)

    def _numbers(self, part: Part, name: str, piece: Any) -> Array:
        values = numbers(piece.column(name))
        if values.dtype.kind == "f" and (absent := int(np.count_nonzero(np.isnan(values)))):
            raise ValueError(
                f"{self.where}: {part.path}: column {name!r} lacks {absent:,} of {len(values):,} values that were just "
                f"read: fill them in, remove those rows, or leave the column out (ignore=[{name!r}])"
            )
        return values


class ParquetStream(TableStream):
    """Parquet files that need not fit into memory, for `fit`, `evaluate`, `predict` and `validation_data`.

    `path`: a file, a list of files, or a folder. `target` names the column to predict; None: there is none. Inputs are
    `columns` (default: all others but `ignore` and `sample_weight`, in the order of the file). Numbers and truth values
    are taken as they are (see `layers.Normalization`, which can `adapt` to the stream); texts, and what `categorical`
    names, become one input of 0 or 1 per level. A target of texts, or of at most 20 different whole numbers, makes it
    classification, and is numbered from 0; any other one regression; `task` overrides that. `encoding` tells which
    column became what, turns predictions back into terms of the target (`decode`), and is given to the streams of other
    files of the same kind, such as those for validation: `ParquetStream(path, encoding=train.encoding)`.

    Training takes the rows in blocks of `block_rows`, rounded up to whole batches of `batch_size`. A thread reads a
    block while the core trains on the one before, so about three blocks of `dtype` are in memory, and what pyarrow
    decodes: at most a compressed row group, or some two mebibytes a column. With `fit(shuffle=True)` row groups come
    in another order each epoch, drawn from the model's seed, and so do the rows of a block; files whose rows are
    sorted, in few row groups, should be shuffled as they are written.

    Making a stream reads the columns whose levels or classes must be known, once. Raises ValueError for missing values,
    with their number in each column, for levels that `encoding` does not know, and for files that are no Parquet;
    ModuleNotFoundError without pyarrow (the extra "data").
    """

    def _open(self, paths: list[Path]) -> Files:
        return ParquetFiles(self.where, paths)


class CsvStream(TableStream):
    """CSV files that need not fit into memory: as `ParquetStream`, which see, in parts of about a mebibyte of lines.

    The first line names the columns. `delimiter` (default: comma, semicolon or tab, as that line has them) separates
    them. UTF-8, not compressed; quotation marks are doubled within quoted texts, which may hold line breaks. A column
    is one of numbers if all its values are. Empty fields, `NA`, `nan`, `null` and the like are missing values. Making a
    stream reads the files twice: where lines end, then what they hold. Other arguments are `ParquetStream`'s.
    """

    def __init__(
        self,
        path: PathLike | Sequence[PathLike],
        target: str | None = None,
        *,
        delimiter: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        unknown = options.keys() - Options.__annotations__.keys()
        if unknown:
            known = ["path", "target", *Options.__annotations__, "delimiter"]
            raise errors.unknown_argument("CsvStream", unknown, known)
        self._delimiter = delimiter
        super().__init__(path, target, **options)

    def _open(self, paths: list[Path]) -> Files:
        return CsvFiles(self.where, paths, self._delimiter)


def _read_names(where: str, argument: str, given: object, files: Files) -> list[str]:
    """Names of columns, checked."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise errors.wrong_type(where, argument, "a list of names of columns", given)
    for name in given:
        if name not in files.kinds:
            raise errors.unknown_name(where, argument, name, files.kinds)
    return list(given)
