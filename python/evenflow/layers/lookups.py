"""Words and numbers as ids: StringLookup and IntegerLookup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import errors
from ..data import tokens
from . import variables
from .base import Shape
from .preprocessing import ENCODINGS, Preparation, encode, encoded_shape, encoding_spec, read_mode, refuse_sparse

Array = NDArray[Any]
Token = TypeVar("Token", str, int)

BLOCK = 1 << 20  # elements that are looked up together


class Lookup(Preparation, Generic[Token]):
    """Base class: a vocabulary, and ids for what is in it and for what is not.

    Ids are numbered: 0 for the mask token, where there is one and `output_mode` is "int"; then `num_oov_indices` ids
    for all that is not in the vocabulary; then the vocabulary in its order. `adapt(data)` finds one, the most frequent
    token first (equally frequent ones in descending order), at most `max_tokens` ids in all.

    output_mode: "int" for the ids, which an `Embedding` reads; else what `CategoryEncoding` makes of them, where the
    mask token gives zeros. pad_to_max_tokens: encode into max_tokens columns however large the vocabulary is.
    num_oov_indices=0: what is not in the vocabulary is refused. invert: ids in, tokens out, on arrays only.

    In a model the layer comes first, right after `Input`: rows are looked up once in a call of `fit` or `predict`, or
    batch by batch where a generator gives them, into ids of 4 bytes; the core encodes ids, batch by batch. The
    vocabulary is a part of the layer's configuration, and so of the model's file.
    """

    ARGUMENTS: tuple[str, ...] = (
        "max_tokens",
        "num_oov_indices",
        "mask_token",
        "oov_token",
        "vocabulary",
        "invert",
        "output_mode",
        "pad_to_max_tokens",
        "sparse",
    )
    LOOKS_UP = True
    mask_token: Token | None
    oov_token: Token

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: Token | None = None,
        oov_token: Token | None = None,
        vocabulary: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        sparse: bool = False,
        **options: Any,
    ) -> None:
        where = type(self).__name__
        if options.pop("idf_weights", None) is not None or output_mode in ("tf_idf", "tf-idf"):
            raise errors.wrong_value(where, "output_mode", "no weights of documents: 'int' or an encoding", "tf_idf")
        self.max_tokens = None if max_tokens is None else errors.integer(where, "max_tokens", max_tokens, at_least=2)
        self.num_oov_indices = errors.integer(where, "num_oov_indices", num_oov_indices, at_least=0)
        self.mask_token = None if mask_token is None else self._token(where, "mask_token", mask_token)
        self.oov_token = self._token(where, "oov_token", oov_token)
        self.invert = errors.boolean(where, "invert", invert)
        self.output_mode = read_mode(where, output_mode, ("int", *ENCODINGS))
        self.pad_to_max_tokens = errors.boolean(where, "pad_to_max_tokens", pad_to_max_tokens)
        self.sparse = refuse_sparse(where, sparse)
        if self.invert and self.output_mode != "int":
            raise errors.wrong_value(where, "output_mode", "'int' beside invert=True", output_mode)
        if self.pad_to_max_tokens and self.max_tokens is None:
            raise errors.wrong_value(where, "max_tokens", "a number beside pad_to_max_tokens=True", max_tokens)
        super().__init__(**options)
        self._given = vocabulary is not None  # else `adapt` may set it
        self._tokens: list[Token] = []
        self._ids: dict[Token, int] = {}
        if vocabulary is not None:
            self.set_vocabulary(vocabulary)

    # of the kind of token

    def _token(self, where: str, argument: str, token: object) -> Token:
        raise NotImplementedError

    def _read(self, where: str, argument: str, x: Any) -> Array:
        """Tokens as an array of objects or of int64."""
        raise NotImplementedError

    def _bucket(self, token: Token) -> int:
        """Which of several ids a token has that is not in the vocabulary."""
        raise NotImplementedError

    # the vocabulary

    @property
    def _first(self) -> int:
        """The id of what is not in the vocabulary."""
        return int(self.mask_token is not None and self.output_mode == "int")

    def _specials(self) -> list[Any]:
        return [self.mask_token] * self._first + [self.oov_token] * self.num_oov_indices

    def set_vocabulary(self, vocabulary: Iterable[Token] | str) -> None:
        """Replace the vocabulary: tokens without repetition, with or without the special ones at their place; or the
        path of a text file with a token in each line."""
        where = f"{self.label} vocabulary"
        if isinstance(vocabulary, str):
            with open(vocabulary, encoding="utf-8") as file:
                vocabulary = [self._from_line(line.rstrip("\n")) for line in file]
        found = [self._token(where, "vocabulary", token) for token in _listed(vocabulary)]
        specials = self._specials()
        if specials and found[: len(specials)] == specials:
            found = found[len(specials) :]
        if not found:
            raise errors.wrong_value(where, "vocabulary", "at least one token", "none")
        repeated = [token for token, count in Counter(found).items() if count > 1]
        if repeated:
            raise errors.wrong_value(where, "vocabulary", "every token once", repeated[:5])
        for token, special in (("mask_token", self.mask_token), ("oov_token", self.oov_token if self.invert else None)):
            if special is not None and special in found:
                raise errors.wrong_value(where, "vocabulary", f"the {token} only at its place", special)
        if self.max_tokens is not None and len(specials) + len(found) > self.max_tokens:
            expected = f"at most {self.max_tokens} tokens, special ones included"
            raise errors.wrong_value(where, "vocabulary", expected, len(specials) + len(found))
        self._keep(found)

    def _from_line(self, line: str) -> Token:
        raise NotImplementedError

    def _keep(self, found: list[Token]) -> None:
        start = len(self._specials())
        self._tokens = found
        self._ids = {token: start + i for i, token in enumerate(found)}
        variables.tick()  # programs have the number of ids of before

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Find the vocabulary: in an array, a column, a table, or an iterable of such; `steps`: in so many of them."""
        where = f"{self.label} adapt"
        if self._given:
            raise ValueError(f"{where}: the vocabulary was given: make a layer without one")
        steps = errors.count(where, "steps", steps)
        counts: Counter[Token] = Counter()
        for number, batch in enumerate(tokens.batches(data)):
            if number == steps:
                break
            flat = self._read(where, "data", batch).ravel()
            for start in range(0, len(flat), BLOCK):
                counts.update(flat[start : start + BLOCK].tolist())
        for special in (self.mask_token, self.oov_token):
            counts.pop(special, None)  # type: ignore[arg-type]
        if not counts:
            raise errors.wrong_value(where, "data", "at least one token", "none")
        found = sorted(counts, key=lambda token: (counts[token], token), reverse=True)
        most = None if self.max_tokens is None else max(0, self.max_tokens - len(self._specials()))
        self._keep(found[:most])

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The tokens in the order of their ids, with the special ones unless they are left out."""
        return [*(self._specials() if include_special_tokens else ()), *self._tokens]

    def vocabulary_size(self) -> int:
        """The number of ids, special ones included."""
        return len(self._specials()) + len(self._tokens)

    @property
    def columns(self) -> int:
        """Of an encoding."""
        return (self.max_tokens or 0) if self.pad_to_max_tokens else self.vocabulary_size()

    # ids

    def ids_of(self, where: str, argument: str, x: Any) -> NDArray[np.int32]:
        """Rows of tokens as ids that a model reads; what is to be left out of an encoding is the id `columns`."""
        if not self._tokens:
            raise ValueError(f"{self.label}: the vocabulary is not known yet: call adapt(data) first")
        given = tokens.codes(x)
        if given is None:
            read = self._read(where, argument, x)
            found = self._look_up(read)
        else:  # a column of categories: each of them is looked up once, and some may be in no row
            values, places = given
            read = self._read(where, argument, values)
            found = self._look_up(read)[places]
        if self.num_oov_indices == 0 and len(unknown := np.argwhere(found == -1)):
            row, *rest = (int(i) for i in unknown[0]) if found.ndim else (0,)
            token = read[tuple(unknown[0])] if given is None else read[places[row]]
            raise ValueError(
                f"{where}: {argument} has {token!r} in row {row}, column {rest[0] if rest else 0}, which is not in the "
                f"vocabulary of {self.label}; num_oov_indices=1 gives such an id of their own"
            )
        return found

    def _look_up(self, read: Array) -> NDArray[np.int32]:
        """The ids of tokens; -1 for what has none."""
        flat, found = read.ravel(), np.empty(read.size, np.int32)
        known, mask = self._ids, self.mask_token
        other = self._first if self.num_oov_indices == 1 else -1
        for start in range(0, len(flat), BLOCK):
            block = flat[start : start + BLOCK].tolist()
            found[start : start + len(block)] = [known.get(token, other) for token in block]
        if self.num_oov_indices > 1:
            for at in np.flatnonzero(found == -1):
                found[at] = self._first + self._bucket(flat[at])
        if mask is not None:
            found[flat == mask] = 0 if self.output_mode == "int" else self.columns
        return found.reshape(read.shape)

    def _of_array(self, inputs: Any) -> Array:
        if self.invert:
            return self._of_ids(inputs)
        ids = self.ids_of(self.label, "inputs", inputs).astype(np.int64)
        return encode(ids, self.output_mode, self.columns)

    def _of_ids(self, inputs: Any) -> Array:
        """Tokens of ids; the oov_token for what is none."""
        given = np.asarray(inputs)
        if given.dtype.kind not in "iu":
            raise errors.wrong_kind(self.label, "inputs", "ids, whole numbers", f"dtype {given.dtype}")
        words = dict(enumerate(self.get_vocabulary()))
        listed = [words.get(i, self.oov_token) for i in given.ravel().tolist()]
        found = np.empty(len(listed), object if isinstance(self.oov_token, str) else np.int64)
        found[:] = listed
        return found.reshape(given.shape)

    # in a model

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if self.invert:
            raise errors.wrong_value(self.label, "invert", "False in a model: tokens are no numbers", True)
        return encoded_shape(self, input_shape, self.output_mode, max(self.columns, 1))

    def spec(self) -> list[dict[str, Any]]:
        return encoding_spec(self.name, self.output_mode, max(self.columns, 1), masks=self.mask_token is not None)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_tokens": self.max_tokens,
            "num_oov_indices": self.num_oov_indices,
            "mask_token": self.mask_token,
            "oov_token": self.oov_token,
            "vocabulary": list(self._tokens) or None,
            "adapted": not self._given,
            "invert": self.invert,
            "output_mode": self.output_mode,
            "pad_to_max_tokens": self.pad_to_max_tokens,
            "sparse": self.sparse,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Lookup[Token]:
        config = dict(config)
        adapted = config.pop("adapted", False)
        layer = cls(**config)
        layer._given = layer._given and not adapted  # what was found once may be found again
        return layer


def _listed(vocabulary: Any) -> list[Any]:
    values = vocabulary.tolist() if hasattr(vocabulary, "tolist") else vocabulary
    if not isinstance(values, Iterable):
        raise errors.wrong_type("vocabulary", "vocabulary", "a list of tokens", vocabulary)
    return list(values)


class StringLookup(Lookup[str]):
    """Words as ids: `StringLookup(vocabulary=["red", "green"])(["green", "blue"])` is [2, 0].

    Strings in an array, a list, a column or a table of pandas or Polars; missing ones are refused: fill them with a
    word of their own. With several `num_oov_indices` a word that is not in the vocabulary gets one of them by its
    FarmHash, as in Keras.
    """

    ARGUMENTS = (*Lookup.ARGUMENTS, "encoding")

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str = "[UNK]",
        vocabulary: Any = None,
        *arguments: Any,
        encoding: str = "utf-8",
        **options: Any,
    ) -> None:
        if encoding != "utf-8":
            raise errors.wrong_value("StringLookup", "encoding", "'utf-8'", encoding)
        super().__init__(max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, *arguments, **options)

    def _token(self, where: str, argument: str, token: object) -> str:
        if isinstance(token, (bytes, np.bytes_)):
            return token.decode("utf-8")
        if not isinstance(token, str):
            raise errors.wrong_type(where, argument, "strings", token)
        return str(token)

    def _from_line(self, line: str) -> str:
        return line

    def _read(self, where: str, argument: str, x: Any) -> Array:
        return tokens.strings(where, argument, x)

    def _bucket(self, token: str) -> int:
        return tokens.fingerprint(token.encode("utf-8")) % self.num_oov_indices


class IntegerLookup(Lookup[int]):
    """Whole numbers as ids: `IntegerLookup(vocabulary=[1990, 2001])([2001, 5])` is [2, 0].

    Integers of any type, or floats that hold whole numbers. With several `num_oov_indices` a number that is not in the
    vocabulary gets the one of its remainder, as in Keras.
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int = -1,
        vocabulary: Sequence[int] | Any = None,
        *arguments: Any,
        **options: Any,
    ) -> None:
        super().__init__(max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, *arguments, **options)

    def _token(self, where: str, argument: str, token: object) -> int:
        if isinstance(token, (bool, np.bool_)) or not isinstance(token, (int, np.integer)):
            raise errors.wrong_type(where, argument, "whole numbers", token)
        return int(token)

    def _from_line(self, line: str) -> int:
        return int(line)

    def _read(self, where: str, argument: str, x: Any) -> Array:
        return tokens.integers(where, argument, x)

    def _bucket(self, token: int) -> int:
        return int(token) % self.num_oov_indices
