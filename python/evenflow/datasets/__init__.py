"""Data sets to learn from: IDX folders (MNIST, Fashion-MNIST), scikit-learn's digits, CSV tables.

Nothing is downloaded. Every loader returns a `Dataset`; a file that is not what it should be is a ValueError naming it.
"""

from ..tables import TableEncoding
from ..tables.streams import CsvStream, ParquetStream
from . import fashion_mnist
from .base import Dataset
from .digits import load_digits
from .idx import HOW_TO_GET_FASHION_MNIST, fashion_mnist_folder, load_default, load_fashion_mnist, load_idx, read_idx
from .tabular import load_csv

__all__ = [
    "HOW_TO_GET_FASHION_MNIST",
    "CsvStream",
    "Dataset",
    "ParquetStream",
    "TableEncoding",
    "fashion_mnist",
    "fashion_mnist_folder",
    "load_csv",
    "load_default",
    "load_digits",
    "load_fashion_mnist",
    "load_idx",
    "read_idx",
]
