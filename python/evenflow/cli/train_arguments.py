"""The arguments of `evenflow train`, and its help."""

from __future__ import annotations

import argparse

from .parsing import Commands, add_command, names, natural, positive, share, units

DESCRIPTION = """\
Train a network, show its progress, test it, and keep everything in a folder:
  model.safetensors     the network: evenflow.models.load_model reads it
  history.csv           loss, accuracy and speed of every epoch
  learning_curves.png   the same as a picture (needs matplotlib)
  run.json              settings, data, versions and scores

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

examples:
  evenflow train                                  ten epochs with the defaults
  evenflow train --epochs 30 --batch-size 128 --learning-rate 0.002
  evenflow train --layers 100,100,100,100,100 --activation selu --kernel-initializer lecun_normal --no-batch-norm
  evenflow train --layers 300,300 --dropout 0.3 --epochs 30
  evenflow train --optimizer sgd --momentum 0.9 --learning-rate 0.01
  evenflow train --epochs 200 --early-stopping 10
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
    output = train.add_argument_group("output")
    output.add_argument(
        "--out", metavar="DIR", help="a new or empty folder (runs/<data>-<time>); runs are never overwritten"
    )
    output.add_argument(
        "--resume",
        metavar="DIR",
        help="let the run in this folder, which was killed or interrupted, go on to the same end, as it was set up",
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
        default=0.1,
        help="share of the training rows kept for validation after each epoch: the last ones (0.1; 0 for none)",
    )

    network = parser.add_argument_group("network")
    network.add_argument(
        "--layers",
        metavar="UNITS",
        type=units,
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
        "--dropout",
        metavar="RATE",
        type=share,
        default=0.0,
        help="share of the hidden units to drop in each step (0): 0.1 to 0.5 where the network overfits; with selu "
        "this is alpha dropout, 0.05 to 0.2",
    )
    network.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="of the arithmetic (float32)"
    )

    training = parser.add_argument_group("training")
    training.add_argument(
        "--optimizer",
        default="adam",
        metavar="NAME",
        help="(adam): sgd, adam, adamw, nadam, adamax, adagrad, adadelta, rmsprop, lion",
    )
    training.add_argument("--learning-rate", type=float, metavar="RATE", help="(0.01 for sgd, 0.001 for the others)")
    training.add_argument("--momentum", type=float, metavar="M", help="of sgd or rmsprop, from 0 to 1 (0)")
    training.add_argument("--epochs", type=positive, default=10, metavar="N", help="passes over the training rows (10)")
    training.add_argument(
        "--early-stopping",
        type=natural,
        metavar="PATIENCE",
        help="end after so many epochs without a lower val_loss (loss without --validation), with the best weights",
    )
    training.add_argument("--batch-size", type=positive, default=32, metavar="N", help="rows of one step (32)")
    training.add_argument(
        "--seed",
        type=natural,
        default=42,
        metavar="N",
        help="of initial weights and shuffling (42): the same seed gives the same bits, for any number of threads",
    )
    training.add_argument("--threads", type=positive, metavar="N", help="threads to use (as many as are fastest)")
