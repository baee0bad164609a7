"""Parquet and CSV files in parts, each of which can be read by itself, in pieces of bounded size. Read by pyarrow."""

from __future__ import annotations

import csv
import importlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import errors
from .encoding import MISSING, check_header

PIECE_ROWS = 4096  # decoded at once
PART_BYTES = 1 << 20  # of a CSV
LONGEST_LINE = 1 << 24  # bytes; a quotation mark that is never closed makes a line without end
HEAD_BYTES = 1 << 16
BUFFER_BYTES = 1 << 16  # of a column that is read from a Parquet file


def pyarrow(name: str = "") -> Any:
    """pyarrow, or a module of it."""
    try:
        return importlib.import_module(f"pyarrow.{name}" if name else "pyarrow")
    except ImportError as error:
        raise ModuleNotFoundError(
            "ParquetStream and CsvStream read files with pyarrow; install it with: pip install 'evenflow[data]'"
        ) from error


@dataclass(frozen=True)
class Part:
    """A row group of a Parquet file, or the bytes from `start` to `end` of a CSV; `line`: its first."""

    path: Path
    start: int
    end: int
    line: int = 0


class NotNumbersError(ValueError):
    """Columns that were taken for numbers hold something else."""

    def __init__(self, text: str, names: set[str]) -> None:
        super().__init__(text)
        self.names = names


def read_paths(where: str, given: object) -> list[Path]:
    """The files that `path=` names: one, several, or all files of a folder, in the order of their names."""
    listed = [given] if isinstance(given, (str, os.PathLike)) else given
    expected = "a path, or a list of paths"
    if not isinstance(listed, Sequence) or not all(isinstance(path, (str, os.PathLike)) for path in listed):
        raise errors.wrong_type(where, "path", expected, given)
    found: list[Path] = []
    for path in map(Path, listed):
        inside = sorted(p for p in path.iterdir() if p.is_file() and p.name[0] not in "._") if path.is_dir() else [path]
        found += inside
    if not found:
        raise errors.wrong_value(where, "path", "at least one file", given)
    for path in found:
        if not path.is_file():
            raise FileNotFoundError(f"{where}: {path}: no such file")
    return found


class ParquetFiles:
    """Parquet files of the same columns. A part is a row group."""

    def __init__(self, where: str, paths: Sequence[Path]) -> None:
        self.where = where
        self._metadata = {path: _open_parquet(path).metadata for path in paths}
        self.parts = [Part(p, g, g + 1) for p, meta in self._metadata.items() for g in range(meta.num_row_groups)]
        self.kinds = _kinds(self._metadata[paths[0]].schema.to_arrow_schema())
        for path in paths[1:]:
            found = _kinds(self._metadata[path].schema.to_arrow_schema())
            for name, kind in self.kinds.items():
                if found.get(name) != kind:
                    received = f"has {found[name]}" if name in found else "lacks it"
                    raise ValueError(
                        f"{path}: column {name!r}: expected {kind} as in {paths[0]}, but this file {received}"
                    )

    def rows(self) -> int:
        """Rows of all files."""
        return sum(meta.num_rows for meta in self._metadata.values())

    def nulls(self, name: str) -> int | None:
        """How many values a column lacks; None where the files do not say."""
        count = 0
        for meta in self._metadata.values():
            column = meta.schema.to_arrow_schema().get_field_index(name)
            for group in range(meta.num_row_groups):
                statistics = meta.row_group(group).column(column).statistics
                if statistics is None or not statistics.has_null_count:
                    return None
                count += statistics.null_count
        return count

    def pieces(self, part: Part, names: Sequence[str]) -> Iterator[Any]:
        """Some rows of a part after another, as record batches of these columns."""
        with _open_parquet(part.path, self._metadata[part.path]) as file:
            try:
                yield from file.iter_batches(PIECE_ROWS, row_groups=[part.start], columns=names, use_threads=False)
            except (OSError, pyarrow().ArrowException) as error:
                raise ValueError(f"{part.path}: row group {part.start} cannot be read: {error}") from error


def _open_parquet(path: Path, metadata: Any = None) -> Any:
    try:
        # Not pre-buffered: a row group may be as large as the file, and is not to be in memory as a whole.
        return pyarrow("parquet").ParquetFile(path, metadata=metadata, buffer_size=BUFFER_BYTES, pre_buffer=False)
    except pyarrow().ArrowInvalid as error:
        raise ValueError(f"{path}: not a readable Parquet file: {error}") from error


def _kinds(schema: Any) -> dict[str, str]:
    return {field.name: _kind(field.type) for field in schema}


def _kind(type_: Any) -> str:
    """ "number" or "text", else the type's name."""
    types = pyarrow("types")
    if types.is_dictionary(type_):
        return _kind(type_.value_type)
    if any(f(type_) for f in (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)):
        return "number"
    texts = (types.is_string, types.is_large_string, types.is_string_view)
    return "text" if any(f(type_) for f in texts) else str(type_)


class CsvFiles:
    """CSV files of the same columns, whose first line names them. A part is some lines, about a mebibyte.

    `kinds` says "number" for every column until somebody corrects it.
    """

    def __init__(self, where: str, paths: Sequence[Path], delimiter: str | None) -> None:
        if delimiter is not None and (not isinstance(delimiter, str) or len(delimiter) != 1):
            raise errors.wrong_value(where, "delimiter", "one character", delimiter)
        self.where, self._delimiter = where, delimiter
        self._names: list[str] = []
        self.parts: list[Part] = []
        for path in paths:
            names, start, self._delimiter = _header(path, self._delimiter)
            if self._names and names != self._names:
                raise ValueError(f"{path}: names the columns {names}, but {paths[0]} names {self._names}")
            self._names = names
            self.parts += _lines(path, start)
        self.kinds = dict.fromkeys(self._names, "number")

    def rows(self) -> None:
        """Nobody knows before the files are read."""

    def nulls(self, name: str) -> None:
        """Nobody knows before the files are read."""

    def pieces(self, part: Part, names: Sequence[str]) -> Iterator[Any]:
        """Some rows of a part after another, as record batches of these columns.

        Raises NotNumbersError for columns that hold something else.
        """
        with part.path.open("rb") as file:
            file.seek(part.start)
            lines = file.read(part.end - part.start)
        try:
            table = self._parse(lines, names, {name: self.kinds[name] for name in names})
        except pyarrow().ArrowInvalid as error:
            text = f"{part.path}: in the lines from {part.line} on: {error}"
            wrong = self._not_numbers(lines, [name for name in names if self.kinds[name] == "number"])
            raise (NotNumbersError(text, wrong) if wrong else ValueError(text)) from error
        yield from table.to_batches(PIECE_ROWS)

    def _parse(self, lines: bytes, names: Sequence[str], kinds: dict[str, str]) -> Any:
        arrow, reader = pyarrow(), pyarrow("csv")
        types = {name: arrow.float64() if kind == "number" else arrow.string() for name, kind in kinds.items()}
        spellings = {f(text) for text in MISSING for f in (str.lower, str.upper, str.title)} | {"NaN", "-nan", "N/a"}
        return reader.read_csv(
            arrow.BufferReader(lines),
            reader.ReadOptions(use_threads=False, block_size=len(lines) + 1, column_names=self._names),
            reader.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
            reader.ConvertOptions(
                column_types=types,
                include_columns=list(names),
                null_values=sorted(spellings),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )

    def _not_numbers(self, lines: bytes, names: Sequence[str]) -> set[str]:
        wrong = set()
        for name in names:
            try:
                self._parse(lines, [name], {name: "number"})
            except pyarrow().ArrowInvalid:
                wrong.add(name)
        try:  # whether it is the numbers that are wrong
            self._parse(lines, names, dict.fromkeys(names, "text"))
        except pyarrow().ArrowInvalid:
            return set()
        return wrong


def _header(path: Path, delimiter: str | None) -> tuple[list[str], int, str]:
    """The names of a CSV's columns, where the lines below begin, and what separates columns."""
    if path.suffix in (".gz", ".bz2", ".xz", ".zst", ".zip"):
        raise ValueError(f"{path}: a compressed file cannot be read in parts: decompress it, or make it Parquet")
    with path.open("rb") as file:
        first = file.readline(HEAD_BYTES)
    mark = b"\xef\xbb\xbf"
    try:
        text = first.removeprefix(mark).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file in UTF-8 ({error.reason} at byte {error.start})") from error
    delimiter = delimiter or max(",;\t", key=text.count)
    names = [name.strip() for name in next(csv.reader([text], delimiter=delimiter), [])]
    check_header(path, names)
    return names, len(first), delimiter


def _lines(path: Path, start: int) -> Iterator[Part]:
    """The file from `start` on in parts that end with a line. A line break between quotation marks ends no line."""
    size, line = path.stat().st_size, 2
    with path.open("rb") as file:
        while start < size:
            file.seek(start)
            lines, length = b"", None
            while length is None:
                more = file.read(PART_BYTES)
                lines += more
                length = len(lines) if not more or start + len(lines) >= size else _last_break(lines)
                if length is None and len(lines) > LONGEST_LINE:
                    raise ValueError(
                        f"{path}: the lines from {line} on have no end within {LONGEST_LINE:,} bytes: is a quotation "
                        f"mark not closed?"
                    )
            if lines[:length].strip():
                yield Part(path, start, start + length, line)
            line += lines.count(b"\n", 0, length)
            start += length


def _last_break(lines: bytes) -> int | None:
    """Where the last whole line ends."""
    if b'"' not in lines:
        return lines.rfind(b"\n") + 1 or None
    characters = np.frombuffer(lines, np.uint8)
    breaks = np.flatnonzero(characters == ord("\n"))
    quotes = np.flatnonzero(characters == ord('"'))
    outside = breaks[np.searchsorted(quotes, breaks) % 2 == 0]
    return int(outside[-1]) + 1 if len(outside) else None
