"""The arguments of `evenflow train`, and its help."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from .exits import UsageError
from .parsing import Commands, add_command, names, natural, positive, several, share, units

if TYPE_CHECKING:
    from ..datasets import Dataset

# What a network of one's own has where nothing is said; a recipe has values of its own.
DEFAULTS: dict[str, Any] = {
    "layers": (300, 100),
    "activation": "elu",
    "kernel_initializer": "he_normal",
    "no_batch_norm": False,
    "dropout": 0.0,
    "optimizer": "adam",
    "epochs": 10,
    "batch_size": 32,
    "validation": 0.1,
}
NOT_FOR_RECIPES = (
    "activation",
    "kernel_initializer",
    "no_batch_norm",
    "dropout",
    "optimizer",
    "momentum",
    "early_stopping",
)

DESCRIPTION = """\
Train a network, show its progress, test it, and keep everything in a folder:
  model.safetensors     the network: evenflow.models.load_model reads it
  history.csv           loss, accuracy and speed of every epoch
  learning_curves.png   the same as a picture (needs matplotlib)
  run.json              settings, data, versions and scores
  report.html           with --report: curves, the health of each layer, warnings (needs matplotlib)

The network is  Flatten, BN, [Dense, activation, BN] for each of --layers, Dense with one output per class and softmax
(one linear output for regression). BN is batch normalization; the first one standardizes the inputs. --dropout puts
dropout behind each hidden BN.
"""
EXAMPLES = """\
data, in this order:
  --data FOLDER         the four IDX files of MNIST and its kin (train-images-idx3-ubyte, ...), plain or .gz
  --data FILE.csv --target COLUMN
                        a table whose first line names the columns. Columns of numbers are standardized, others become
                        one input per level; missing values are refused. A target of text, or of few different whole
                        numbers, makes it classification, other numbers regression
  nothing               Fashion-MNIST if it is on this machine ('apt-get install dataset-fashion-mnist', or where Keras
                        keeps it), else scikit-learn's digits (pip install 'evenflow[demo]')
  A CSV and the digits are shuffled in a fixed order, and their last fifth is kept for the final test.

cross-validation:
  --cv 5 divides the training rows into 5 parts of equal size (drawn by --seed; each with its share of every class).
  Each part in turn tests a network that was trained on the other four. The folder gets cv.csv (scores of each fold),
  history.csv (every epoch of each), learning_curves.png and run.json, but no model: train one with the same options
  without --cv. The rows kept for the final test are not touched. --validation takes its share from the rows that are
  trained on, and --early-stopping looks at those alone. --report and --resume are for one network.

examples:
  evenflow train                                  ten epochs with the defaults
  evenflow train --epochs 30 --batch-size 128 --learning-rate 0.002
  evenflow train --layers 100,100,100,100,100 --activation selu --kernel-initializer lecun_normal --no-batch-norm
  evenflow train --layers 300,300 --dropout 0.3 --epochs 30
  evenflow train --optimizer sgd --momentum 0.9 --learning-rate 0.01
  evenflow train --recipe tabular_mlp --data houses.csv --target price
  evenflow train --epochs 200 --early-stopping 10
  evenflow train --cv 5 --layers 64,64 --early-stopping 10 --epochs 100
  evenflow train --data mnist/ --out runs/mnist-baseline
  evenflow train --data houses.csv --target price --ignore id --layers 64,64 --task regression

exit status: 0 done, 1 something failed (data, disk, divergence), 2 wrong command line, 130 interrupted (Ctrl-C; what
was trained until then is saved, and --resume goes on from the last whole epoch)
"""


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add the command's parser."""
    train = add_command(
        commands,
        "train",
        help="train a network and keep the run in a folder",
        description=DESCRIPTION,
        epilog=EXAMPLES,
    )
    add_options(train)
    crossing = train.add_argument_group("cross-validation")
    crossing.add_argument(
        "--cv",
        metavar="K",
        type=several,
        help="train K networks, each on all training rows but a K-th, on which it is tested, as many at once as there "
        "are --threads; print the scores of each, their mean and standard deviation; see below",
    )
    output = train.add_argument_group("output")
    output.add_argument(
        "--out", metavar="DIR", help="a new or empty folder (runs/<data>-<time>); runs are never overwritten"
    )
    output.add_argument(
        "--resume",
        metavar="DIR",
        help="let the run in this folder, which was killed or interrupted, go on to the same end, as it was set up",
    )
    output.add_argument(
        "--report",
        action="store_true",
        help="watch the health of the layers, warn where it suffers, and write report.html with pictures",
    )
    output.add_argument("--quiet", action="store_true", help="print nothing but errors and the final line")
    return train


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what describes data, network and training."""
    data = parser.add_argument_group("data")
    data.add_argument("--data", metavar="PATH", help="a folder of IDX files, or a CSV (see below)")
    data.add_argument("--target", metavar="COLUMN", help="the column of the CSV to predict")
    data.add_argument("--ignore", metavar="COLUMNS", type=names, default=(), help="columns to leave out, by comma")
    data.add_argument("--task", choices=("classification", "regression"), help="what to make of the target")
    data.add_argument(
        "--validation",
        "--validation-split",
        dest="validation",
        metavar="SHARE",
        type=share,
        help="share of the training rows kept for validation after each epoch: the last ones (0.1; 0 for none)",
    )

    network = parser.add_argument_group("network")
    network.add_argument(
        "--recipe",
        metavar="NAME",
        help="a network with everything that belongs to it, as evenflow.recipes has it: default_mlp, "
        "self_normalizing_mlp, tabular_mlp; --layers, --learning-rate, --epochs and --batch-size change it",
    )
    network.add_argument(
        "--layers",
        metavar="UNITS",
        type=units,
        help="units of the hidden layers, by comma (300,100); 'none' for none",
    )
    network.add_argument(
        "--activation",
        metavar="NAME",
        help="of the hidden layers (elu): relu, leaky_relu, elu, selu, gelu, silu, mish, softplus, sigmoid, tanh",
    )
    network.add_argument(
        "--kernel-initializer",
        metavar="NAME",
        help="of the hidden layers' weights (he_normal): he_* for relu and its kin, lecun_normal for selu, "
        "glorot_uniform for tanh and sigmoid",
    )
    network.add_argument(
        "--no-batch-norm", action="store_true", default=None, help="leave the batch normalization layers out"
    )
    network.add_argument(
        "--dropout",
        metavar="RATE",
        type=share,
        help="share of the hidden units to drop in each step (0): 0.1 to 0.5 where the network overfits; with selu "
        "this is alpha dropout, 0.05 to 0.2",
    )
    network.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="of the arithmetic (float32)"
    )

    training = parser.add_argument_group("training")
    training.add_argument(
        "--optimizer",
        metavar="NAME",
        help="(adam): sgd, adam, adamw, nadam, adamax, adagrad, adadelta, rmsprop, lion",
    )
    training.add_argument("--learning-rate", type=float, metavar="RATE", help="(0.01 for sgd, 0.001 for the others)")
    training.add_argument("--momentum", type=float, metavar="M", help="of sgd or rmsprop, from 0 to 1 (0)")
    training.add_argument("--epochs", type=positive, metavar="N", help="passes over the training rows (10)")
    training.add_argument(
        "--early-stopping",
        type=natural,
        metavar="PATIENCE",
        help="end after so many epochs without a lower val_loss (loss without --validation), with the best weights",
    )
    training.add_argument("--batch-size", type=positive, metavar="N", help="rows of one step (32)")
    training.add_argument(
        "--seed",
        type=natural,
        default=42,
        metavar="N",
        help="of initial weights and shuffling (42): the same seed gives the same bits, for any number of threads",
    )
    training.add_argument("--threads", type=positive, metavar="N", help="threads to use (as many as are fastest)")


def settle(options: argparse.Namespace) -> None:
    """Put in what was not said, unless a recipe is to say it."""
    if getattr(options, "cv", None) is not None and options.report:
        raise UsageError("--report is about the layers of one network: leave it out with --cv")
    if options.recipe is None:
        for name, value in DEFAULTS.items():
            if getattr(options, name) is None:
                setattr(options, name, value)
        return
    for name in NOT_FOR_RECIPES:
        if getattr(options, name) is not None:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} belongs to a network of your own: --recipe {options.recipe} chooses it")
    if options.validation == 0:
        raise UsageError(f"--validation 0: --recipe {options.recipe} needs rows for validation")


def describe(dataset: Dataset) -> dict[str, Any]:
    """The data, as run.json has them."""
    return {
        "name": dataset.name,
        "source": dataset.source,
        "task": dataset.task,
        "train_shape": dataset.x_train.shape,
        "test_shape": dataset.x_test.shape,
        "classes": dataset.classes,
        "encoding": None if dataset.encoding is None else dataset.encoding.to_json(),
    }
