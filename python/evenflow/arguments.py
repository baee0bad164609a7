"""The arguments of `evenflow`, and its help."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from .errors import nearest

DESCRIPTION = "Train deep dense networks, fast and stably, on the processor you have."
EXAMPLES = """\
examples:
  evenflow train                              the chapter's network on Fashion-MNIST, or on scikit-learn's digits
  evenflow train --layers 100,100,100 --activation selu --kernel-initializer lecun_normal --no-batch-norm
  evenflow train --optimizer sgd --learning-rate 0.01 --momentum 0.9 --epochs 20
  evenflow train --data houses.csv --target price --layers 64,64
  evenflow info                               what this machine and this installation offer
  evenflow bench                              how fast that is, beside the peers that are installed
"""
TRAIN_DESCRIPTION = """\
Train a network, show its progress, test it, and keep everything in a folder:
  model.safetensors     the network: evenflow.models.load_model reads it
  history.csv           loss, accuracy and speed of every epoch
  learning_curves.png   the same as a picture (needs matplotlib)
  run.json              settings, data, versions and scores

The network is  Flatten, BN, [Dense, activation, BN] for each of --layers, Dense with one output per class and softmax
(one linear output for regression). BN is batch normalization; the first one standardizes the inputs.
"""
TRAIN_EXAMPLES = """\
data, in this order:
  --data FOLDER         the four IDX files of MNIST and its kin (train-images-idx3-ubyte, ...), plain or .gz
  --data FILE.csv --target COLUMN
                        a table whose first line names the columns. Columns of numbers are standardized, others become
                        one input per level; missing values are refused. A target of text, or of few different whole
                        numbers, makes it classification, other numbers regression
  nothing               Fashion-MNIST if it is on this machine ('apt-get install dataset-fashion-mnist', or where Keras
                        keeps it), else scikit-learn's digits (pip install 'evenflow[demo]')
  A CSV and the digits are shuffled in a fixed order, and their last fifth is kept for the final test.

examples:
  evenflow train                                  ten epochs with the defaults
  evenflow train --epochs 30 --batch-size 128 --learning-rate 0.002
  evenflow train --layers 100,100,100,100,100 --activation selu --kernel-initializer lecun_normal --no-batch-norm
  evenflow train --optimizer sgd --momentum 0.9 --learning-rate 0.01
  evenflow train --data mnist/ --out runs/mnist-baseline
  evenflow train --data houses.csv --target price --ignore id --layers 64,64 --task regression

exit status: 0 done, 1 something failed (data, disk, divergence), 2 wrong command line, 130 interrupted (Ctrl-C; what
was trained until then is saved)
"""


def parser() -> argparse.ArgumentParser:
    """The parser of all commands but bench, which reads its own arguments."""
    raw = argparse.RawDescriptionHelpFormatter
    top = _Parser(prog="evenflow", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=raw, allow_abbrev=False)
    top.add_argument(
        "--version", action=_Version, nargs=0, default=argparse.SUPPRESS, help="print the version and exit"
    )
    commands = top.add_subparsers(dest="command", metavar="command", required=True)

    train = commands.add_parser(
        "train",
        help="train a network and keep the run in a folder",
        description=TRAIN_DESCRIPTION,
        epilog=TRAIN_EXAMPLES,
        formatter_class=raw,
        allow_abbrev=False,
    )
    data = train.add_argument_group("data")
    data.add_argument("--data", metavar="PATH", help="a folder of IDX files, or a CSV (see below)")
    data.add_argument("--target", metavar="COLUMN", help="the column of the CSV to predict")
    data.add_argument("--ignore", metavar="COLUMNS", type=_names, default=(), help="columns to leave out, by comma")
    data.add_argument("--task", choices=("classification", "regression"), help="what to make of the target")
    data.add_argument(
        "--validation",
        "--validation-split",
        dest="validation",
        metavar="SHARE",
        type=_share,
        default=0.1,
        help="share of the training rows kept for validation after each epoch: the last ones (0.1; 0 for none)",
    )

    network = train.add_argument_group("network")
    network.add_argument(
        "--layers",
        metavar="UNITS",
        type=_units,
        default=(300, 100),
        help="units of the hidden layers, by comma (300,100); 'none' for none",
    )
    network.add_argument(
        "--activation",
        default="elu",
        metavar="NAME",
        help="of the hidden layers (elu): relu, leaky_relu, elu, selu, gelu, silu, mish, softplus, sigmoid, tanh",
    )
    network.add_argument(
        "--kernel-initializer",
        default="he_normal",
        metavar="NAME",
        help="of the hidden layers' weights (he_normal): he_* for relu and its kin, lecun_normal for selu, "
        "glorot_uniform for tanh and sigmoid",
    )
    network.add_argument("--no-batch-norm", action="store_true", help="leave the batch normalization layers out")
    network.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="of the arithmetic (float32)"
    )

    training = train.add_argument_group("training")
    training.add_argument(
        "--optimizer",
        default="adam",
        metavar="NAME",
        help="(adam): sgd, adam, adamw, nadam, adamax, adagrad, adadelta, rmsprop, lion",
    )
    training.add_argument("--learning-rate", type=float, metavar="RATE", help="(0.01 for sgd, 0.001 for the others)")
    training.add_argument("--momentum", type=float, metavar="M", help="of sgd or rmsprop, from 0 to 1 (0)")
    training.add_argument(
        "--epochs", type=_positive, default=10, metavar="N", help="passes over the training rows (10)"
    )
    training.add_argument("--batch-size", type=_positive, default=32, metavar="N", help="rows of one step (32)")
    training.add_argument(
        "--seed",
        type=_natural,
        default=42,
        metavar="N",
        help="of initial weights and shuffling (42): the same seed gives the same bits, for any number of threads",
    )
    training.add_argument("--threads", type=_positive, metavar="N", help="threads to use (as many as are fastest)")

    output = train.add_argument_group("output")
    output.add_argument(
        "--out", metavar="DIR", help="a new or empty folder (runs/<data>-<time>); runs are never overwritten"
    )
    output.add_argument("--quiet", action="store_true", help="print nothing but errors and the final line")

    info = commands.add_parser(
        "info",
        help="print version, instruction sets, threads, caches, libraries",
        allow_abbrev=False,
        description="Print what this machine and this installation offer: put it into bug reports.",
    )
    info.add_argument("--json", action="store_true", help="as JSON")
    commands.add_parser("bench", help="measure the speed, beside the peers that are installed", add_help=False)
    return top


class _Parser(argparse.ArgumentParser):
    """Complains in one line, as all commands do, and leaves the usage to --help."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see '{self.prog} --help'\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """A command answers for what it does not know itself, instead of leaving it to `evenflow`."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = {
                option.lstrip("-").replace("-", "_"): option for a in self._actions for option in a.option_strings
            }
            close = nearest(unknown[0].split("=")[0].lstrip("-").replace("-", "_"), options)
            hint = f". Did you mean {options[close]}?" if close and unknown[0].startswith("-") else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return namespace, unknown


class _Version(argparse.Action):
    """Asks for the version only when someone wants to know it: that loads the native core."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from . import __version__

        print(f"evenflow {__version__}")
        parser.exit()


def _whole(text: str, at_least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = at_least - 1
    if value < at_least:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least {at_least}, received {text!r}")
    return value


def _positive(text: str) -> int:
    return _whole(text, 1)


def _natural(text: str) -> int:
    return _whole(text, 0)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to below 1, received {text!r}")
    return value


def _units(text: str) -> tuple[int, ...]:
    return () if text == "none" else tuple(_positive(part) for part in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))
