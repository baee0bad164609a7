"""A model taken apart: one native program per layer, so that every signal between two layers can be looked at."""

import numpy as np
from numpy.typing import NDArray

import evenflow
from evenflow.layers import Input

Array = NDArray[np.float32]


class Layerwise:
    """The layers of a built model as programs of one layer each, with the model's weights, for batches of `rows`."""

    def __init__(self, model: evenflow.Sequential, rows: int) -> None:
        self.layers = model.layers
        self.programs = []
        for layer in self.layers:
            alone = evenflow.Sequential([Input(layer.input_shape[1:]), layer])
            program = evenflow.Program(alone.spec(), batch_size=rows, threads=1)
            for variable in layer.variables:
                program.set(variable.path, variable.numpy())
            self.programs.append(program)

    def forward(self, x: Array) -> list[Array]:
        """The output of every layer, as in training: batch normalization takes its statistics from these rows."""
        outputs = []
        for program in self.programs:
            x = program.forward(x)
            outputs.append(x)
        return outputs

    def backward(self, dy: Array) -> list[Array]:
        """The gradient of the loss with respect to every layer's output, from that of the last one."""
        gradients = [dy]
        for program in reversed(self.programs[1:]):
            gradients.append(program.backward(gradients[-1]))
        return gradients[::-1]


def gradient_of_cross_entropy(logits: Array, y: NDArray[np.int64]) -> Array:
    """Of the mean over rows, with respect to the logits: (softmax(logits) - one-hot(y)) / rows."""
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    shares[np.arange(len(y)), y] -= 1
    return shares / np.float32(len(y))


def standardized_digits():
    """scikit-learn's digits as (x, y) with mean 0 and deviation 1 over all pixels: 1,438 rows of 64."""
    data = evenflow.datasets.load_digits()
    x = data.x_train.reshape(len(data.x_train), -1).astype(np.float32)
    return (x - x.mean()) / x.std(), data.y_train
