"""A whole training step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .activations import activation_backward, activation_forward
from .arrays import Array, wide
from .ids import category_encoding, discretize, embedding_backward, embedding_forward
from .layers import (
    batch_norm_backward,
    batch_norm_forward,
    batch_norm_inference,
    dense_backward,
    dense_forward,
    deviation_of,
    moving_average,
    standardize,
)
from .learned import LEARNED, learned_backward, learned_forward
from .losses import loss_forward_backward, reduced
from .merging import MERGES, described_outputs, merge_backward, merge_forward, sources
from .metrics import metric_sums
from .noise import noise_backward, noise_forward, without_noise
from .outputs import OUTPUTS, output_backward
from .penalties import penalize, penalize_pairs, settle
from .regrouping import columns_of, groups_of, rows_of, statistic_shape
from .row_normalization import layer_norm_backward, layer_norm_forward, rms_norm_backward, rms_norm_forward
from .rules import apply_rule, slots_of
from .updates import average, clip_by_global_norm, clip_by_norm, clip_by_value

# Losses on probabilities that are computed from the logits below the last activation, so that log(0) never occurs.
FUSED = {
    ("softmax", "categorical_crossentropy"),
    ("softmax", "sparse_categorical_crossentropy"),
    ("sigmoid", "binary_crossentropy"),
    ("softmax", "categorical_focal_crossentropy"),
    ("sigmoid", "binary_focal_crossentropy"),
}
OF_BATCHES = ("kind", "from_logits", "reduction", "weight")  # what a loss's description has beside hyper-parameters

# Slots that any optimizer may have, and the settings that ask for them.
EXTRA_SLOTS = {"average": "use_ema", "gradient_accumulator": "gradient_accumulation_steps"}


class Network:
    """A program's training step, one readable operation after the other.

    `spec` is the plain data of a model's `spec()`. `variables` and `gradients` are float64 arrays by "layer/variable",
    `slots` the optimizer's by slot and variable. Where there are several outputs, their values, targets, weights and
    gradients are in lists.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.spec = spec
        self.variables: dict[str, Array] = {}
        self.trainable: list[str] = []
        self.gradients: dict[str, Array] = {}
        self.iterations = 0  # batches that the optimizer was given
        self.sources = sources(spec)
        self.outputs = described_outputs(spec)
        widths: list[int] = []  # of the layers' values
        for layer, read in zip(spec["layers"], self.sources, strict=True):
            features = (
                sum(widths[i] for i in read) if layer["kind"] == "concatenate" else self._width(layer, read, widths)
            )
            made: dict[str, Array] = {}
            if layer["kind"] == "dense":
                made = {"kernel": np.zeros((features, layer["units"])), "bias": np.zeros(layer["units"])}
                features = layer["units"]
                if not layer["use_bias"]:
                    del made["bias"]
                if "transposes" in layer:  # the kernel is another layer's
                    del made["kernel"]
            elif layer["kind"] == "embedding":
                made = {"embeddings": np.zeros((layer["input_dim"], layer["units"]))}
                features *= layer["units"]
            elif layer["kind"] == "category_encoding":
                features = layer["units"] * (features if layer["encoding"] == "one_hot" else 1)
            elif layer["kind"] == "batch_normalization":
                shape = statistic_shape(layer, features)
                made |= {"gamma": np.ones(shape)} if layer["scale"] else {}
                made |= {"beta": np.zeros(shape)} if layer["center"] else {}
            elif layer["kind"] == "layer_normalization":
                made |= {"gamma": np.ones(features)} if layer["scale"] else {}
                made |= {"beta": np.zeros(features)} if layer["center"] else {}
            elif layer["kind"] in ("rms_normalization", "scaling"):
                made["scale"] = np.ones(features)
            elif layer.get("activation") in LEARNED:
                parameter, initial = LEARNED[layer["activation"]]
                made = {parameter: np.full(1 if layer["shared"] else features, initial)}
            widths.append(features)
            if "shares" in layer:  # another layer's variables
                continue
            named = {f"{layer['name']}/{name}": value for name, value in made.items()}
            self.variables |= named
            self.trainable += named if layer.get("trainable") else []
            if layer["kind"] == "batch_normalization":
                self.variables[f"{layer['name']}/moving_mean"] = np.zeros(shape)
                self.variables[f"{layer['name']}/moving_variance"] = np.ones(shape)
            elif layer["kind"] == "normalization":
                self.variables[f"{layer['name']}/mean"] = np.zeros(statistic_shape(layer, features))
                self.variables[f"{layer['name']}/variance"] = np.ones(statistic_shape(layer, features))
        self.regularizers, self.constraints = _by_variable(spec, "regularizers"), _by_variable(spec, "constraints")
        self.slots: dict[str, dict[str, Array]] = {}
        if spec["optimizer"] is not None:
            names, start = slots_of(spec["optimizer"])
            self.slots = {
                slot: {name: np.full_like(self.variables[name], start) for name in self.trainable} for slot in names
            }
            for slot in (slot for slot, setting in EXTRA_SLOTS.items() if spec["optimizer"].get(setting)):
                self.slots[slot] = {name: np.zeros_like(self.variables[name]) for name in self.trainable}
        self.momentum_product = 1.0  # of Nadam's steps so far

    def _width(self, layer: Mapping[str, Any], read: list[int], widths: list[int]) -> int:
        inputs = np.atleast_1d(self.spec["inputs"])
        return widths[read[0]] if read else int(inputs[layer.get("input", 0)])

    def forward(self, x: ArrayLike, training: bool = True) -> Any:
        """The output, or a list of several, of one array or a list of one for each input; training uses (and averages)
        batch statistics, except in frozen batch normalizations."""
        given = [wide(x)] if isinstance(self.spec["inputs"], int) else [wide(one) for one in x]  # type: ignore[union-attr]
        self.values: list[Array] = []  # of each layer, kept for backward
        self.inputs: list[Array] = []  # of each layer, the first it reads
        self.statistics: dict[str, tuple[Array, Array]] = {}  # of each batch normalization that used the batch's
        for layer, read in zip(self.spec["layers"], self.sources, strict=True):
            h = self.values[read[0]] if read else given[layer.get("input", 0)]
            self.inputs.append(h)
            self.values.append(self._layer_forward(layer, read, h, training))
        self.values_out = [self.values[top] if self.values else given[0] for top, _ in self.outputs]
        return self.values_out[0] if len(self.outputs) == 1 else self.values_out

    def _layer_forward(self, layer: Mapping[str, Any], read: list[int], h: Array, training: bool) -> Array:
        own = self._own(layer)
        if layer["kind"] in MERGES:
            h = merge_forward(layer["kind"], [self.values[i] for i in read])
        elif layer["kind"] == "rescaling":
            h = h * layer["scale"] + layer["offset"]
        elif layer["kind"] == "noise":
            if training:
                h = noise_forward(layer["noise"], h, **self._draw(layer), **layer["parameters"])
            else:
                h = without_noise(layer["noise"], h, **layer["parameters"])
        elif layer["kind"] == "dense":
            h = dense_forward(h, self._kernel(layer), own.get("bias"))
        elif layer["kind"] == "batch_normalization":
            h = rows_of(self._batch_norm(columns_of(h, layer), layer, training), layer, len(h))
        elif layer["kind"] == "normalization":
            mean, variance = own["mean"].ravel(), own["variance"].ravel()
            normalized = standardize(columns_of(h, layer), mean, variance, invert=layer["invert"])
            h = rows_of(normalized, layer, len(h))
        elif layer["kind"] == "layer_normalization":
            gamma, beta = own.get("gamma", np.ones(h.shape[1])), own.get("beta", np.zeros(h.shape[1]))
            h = layer_norm_forward(h, gamma, beta, epsilon=layer["epsilon"])
        elif layer["kind"] == "rms_normalization":
            h = rms_norm_forward(h, own["scale"], epsilon=layer["epsilon"])
        elif layer["kind"] == "scaling":
            h = h * own["scale"]
        elif layer["kind"] == "embedding":
            h = embedding_forward(h, own["embeddings"])
        elif layer["kind"] == "category_encoding":
            h = category_encoding(h, layer["units"], layer["encoding"])
        elif layer["kind"] == "discretization":
            h = discretize(h, layer["boundaries"])
        elif layer["kind"] in ("activity_regularization", "input"):
            pass
        elif layer["activation"] in OUTPUTS:
            h = OUTPUTS[layer["activation"]](h)
        elif layer["activation"] in LEARNED:
            h = learned_forward(layer["activation"], h, *own.values())
        else:
            h = activation_forward(layer["activation"], h, **layer["parameters"])
        return h

    def _batch_norm(self, x: Array, layer: Mapping[str, Any], training: bool) -> Array:
        """Of columns; moves the averages."""
        own = {name: value.reshape(-1) for name, value in self._own(layer).items()}
        gamma, beta = own.get("gamma", np.ones(x.shape[1])), own.get("beta", np.zeros(x.shape[1]))
        moving = own["moving_mean"], own["moving_variance"]
        if not (training and layer["trainable"]):
            return batch_norm_inference(x, gamma, beta, *moving, epsilon=layer["epsilon"])
        y, mean, variance = batch_norm_forward(x, gamma, beta, epsilon=layer["epsilon"])
        self.statistics[layer["name"]] = (mean, variance)
        unbiased = layer.get("unbiased_variance", False) and len(x) > 1
        seen = mean, variance * (len(x) / (len(x) - 1) if unbiased else 1)
        for old, new in zip(moving, seen, strict=True):
            old[...] = moving_average(old, new, momentum=layer["momentum"])
        return y

    def _batch_norm_backward(self, dy: Array, x: Array, layer: Mapping[str, Any], found: dict[str, Array]) -> Array:
        """Of columns; puts dgamma and dbeta into `found`."""
        name, own = layer["name"], self._own(layer)
        shape, own = own["moving_mean"].shape, {key: value.reshape(-1) for key, value in own.items()}
        gamma = own.get("gamma", np.ones(x.shape[1]))
        if name in self.statistics:
            dx, dgamma, dbeta = batch_norm_backward(dy, x, gamma, *self.statistics[name], epsilon=layer["epsilon"])
        else:
            scale = 1 / np.sqrt(own["moving_variance"] + layer["epsilon"])
            dgamma, dbeta = (dy * (x - own["moving_mean"]) * scale).sum(axis=0), dy.sum(axis=0)
            dx = dy * gamma * scale
        found["gamma"], found["beta"] = dgamma.reshape(shape), dbeta.reshape(shape)
        return dx

    def backward(self, dy: Any) -> Array | list[Array]:
        """From the gradient of the last forward's output to that of its inputs; fills `gradients`."""
        of_outputs = [dy] if len(self.outputs) == 1 else dy
        return self._backward([(top, wide(one)) for (top, _), one in zip(self.outputs, of_outputs, strict=True)])

    def _backward(self, of_layers: Sequence[tuple[int, Array]]) -> Array | list[Array]:
        """From the gradients of values: each with the number of its layer."""
        gradients: dict[str, Array] = {}
        slopes: dict[int, Array] = {}  # of the values of layers that are still to be gone through
        for top, dy in of_layers:
            slopes[top] = slopes[top] + dy if top in slopes else dy
        of_inputs: dict[int, Array] = {0: slopes[-1]} if -1 in slopes else {}
        for i in range(max(slopes), -1, -1):
            if i not in slopes:  # what the loss of an output went through
                continue
            layer, read = self.spec["layers"][i], self.sources[i]
            if layer["kind"] in MERGES:
                parts = merge_backward(layer["kind"], slopes.pop(i), [self.values[j] for j in read])
            else:
                found: dict[str, Array] = {}
                parts = [self._layer_backward(layer, slopes.pop(i), self.inputs[i], self.values[i], found)]
                for short, part in found.items():
                    name = short if "/" in short else f"{layer.get('shares', layer['name'])}/{short}"
                    gradients[name] = gradients[name] + part if name in gradients else part
            for j, part in zip(read, parts, strict=bool(read)):
                slopes[j] = slopes[j] + part if j in slopes else part
            if not read:
                of_inputs[layer.get("input", 0)] = parts[0]
        self.gradients = {name: gradients.get(name, np.zeros_like(self.variables[name])) for name in self.trainable}
        for name, regularizer in self.regularizers.items():
            if name in self.gradients and not regularizer.get("proximal"):
                _penalize(regularizer, self.variables[name], self.gradients[name])
        if isinstance(self.spec["inputs"], int):
            return of_inputs[0]
        return [of_inputs[i] for i in range(len(self.spec["inputs"]))]

    def _layer_backward(
        self, layer: Mapping[str, Any], dy: Array, x: Array, y: Array, found: dict[str, Array]
    ) -> Array:
        """From the gradient of a layer's value to that of what it reads; puts those of its variables into `found`, by
        their short names, or by "layer/variable" where it is another layer's."""
        own = self._own(layer)
        if layer["kind"] == "rescaling":
            dy = dy * layer["scale"]
        elif layer["kind"] == "noise":
            dy = noise_backward(layer["noise"], dy, y, **self._draw(layer), **layer["parameters"])
        elif layer["kind"] == "dense":
            dy, dw, found["bias"] = dense_backward(dy, x, self._kernel(layer))
            if "transposes" in layer:
                found[f"{layer['transposes']}/kernel"] = dw.T
            else:
                found["kernel"] = dw
        elif layer["kind"] == "embedding":
            found["embeddings"] = embedding_backward(dy, x, layer["input_dim"])
            dy = np.zeros_like(x)
        elif layer["kind"] in ("category_encoding", "discretization"):
            dy = np.zeros_like(x)
        elif layer["kind"] == "batch_normalization":
            dx = self._batch_norm_backward(columns_of(dy, layer), columns_of(x, layer), layer, found)
            dy = rows_of(dx, layer, len(x))
        elif layer["kind"] == "normalization":
            deviation = deviation_of(own["variance"].ravel())
            slope = deviation if layer["invert"] else 1 / deviation
            dy = rows_of(columns_of(dy, layer) * slope, layer, len(x))
        elif layer["kind"] == "layer_normalization":
            gamma = own.get("gamma", np.ones(x.shape[1]))
            dy, *sums = layer_norm_backward(dy, x, gamma, epsilon=layer["epsilon"])
            found["gamma"], found["beta"] = sums
        elif layer["kind"] == "rms_normalization":
            dy, found["scale"] = rms_norm_backward(dy, x, own["scale"], epsilon=layer["epsilon"])
        elif layer["kind"] == "scaling":
            dy, found["scale"] = dy * own["scale"], (dy * x).sum(axis=0)
        elif layer["kind"] == "activity_regularization":
            dy = dy.copy()
            penalize(y, dy, l1=layer["l1"] / len(y), l2=layer["l2"] / len(y))
        elif layer.get("activation") in OUTPUTS:
            dy = output_backward(layer["activation"], dy, y)
        elif layer.get("activation") in LEARNED:
            ((parameter, value),) = own.items()
            dy, found[parameter] = learned_backward(layer["activation"], dy, x, value)
        elif layer["kind"] == "activation":
            dy = activation_backward(layer["activation"], dy, x, y, **layer["parameters"])
        return dy

    def _draw(self, layer: Mapping[str, Any]) -> dict[str, Any]:
        """Which random numbers a layer draws in the present step: those of its seed and of its place among its kind."""
        random = [other for other in self.spec["layers"] if other["kind"] == "noise"]
        number = next(i for i, other in enumerate(random) if other is layer)
        place = {
            "seed": layer["seed"],
            "step": self.iterations,
            "layer": number,
            "one_row": layer.get("one_row", False),
        }
        return place | ({"groups": groups_of(layer)} if "shape" in layer else {})

    def penalty(self) -> float:
        """What is added to the mean loss of the rows of the last forward: the penalties of the trainable variables, and
        those of activities divided by the number of rows."""
        total = 0.0
        for name, regularizer in self.regularizers.items():
            if name in self.trainable:
                total += _penalize(regularizer, self.variables[name])
        for layer, x in zip(self.spec["layers"], self.inputs, strict=True):
            if layer["kind"] == "activity_regularization":
                total += penalize(x, l1=layer["l1"], l2=layer["l2"]) / len(x)
        return total

    def _kernel(self, layer: Mapping[str, Any]) -> Array:
        """Of a dense layer: its own, or the transpose of another's."""
        if "transposes" in layer:
            return np.asarray(self.variables[f"{layer['transposes']}/kernel"].T)
        return self._own(layer)["kernel"]

    def _own(self, layer: Mapping[str, Any]) -> dict[str, Array]:
        """The variables that a layer uses by their short names."""
        owner = layer.get("shares", layer["name"])
        return {k.removeprefix(f"{owner}/"): v for k, v in self.variables.items() if k.rpartition("/")[0] == owner}

    def loss(self, target: ArrayLike, weights: ArrayLike | None = None, output: int = 0) -> tuple[Array, Array, int]:
        """Of the last forward and one output: each row's loss, the gradient of their mean, and the layer whose value it
        is of.

        `weights` are of rows; `reduced` says what they, the reduction and the loss's own weight do.
        """
        last, asked = self.outputs[output]
        described = asked["loss"]
        kind, from_logits = described["kind"], described["from_logits"]
        parameters = {k: v for k, v in described.items() if k not in OF_BATCHES}
        alone = not any(last in read for read in self.sources)
        activation = self.spec["layers"][last].get("activation") if self.values else None
        fused = (activation, kind) in FUSED and not from_logits and alone
        prediction = self.inputs[last] if fused else self.values_out[output]
        rows, gradient = loss_forward_backward(kind, prediction, target, from_logits=fused or from_logits, **parameters)
        top = (self.sources[last] or [-1])[0] if fused else last
        return *reduced(described, rows, gradient, target, weights), top

    def metrics(self, target: ArrayLike, weights: ArrayLike | None = None, output: int = 0) -> list[Array]:
        """Of the last forward and one output: what it adds to the state of each metric; weights of rows bear on
        weighted metrics."""
        return [
            metric_sums(metric, self.values_out[output], target, weights if _is_weighted(metric) else None)
            for metric in self.outputs[output][1]["metrics"]
        ]

    def update(self, learning_rate: float) -> float:
        """Clip, then apply the optimizer; returns the global norm before clipping.

        With gradient_accumulation_steps = n, only every n-th call makes a step, with the mean of n gradients."""
        settings, every = self.spec["optimizer"], self.spec["optimizer"].get("gradient_accumulation_steps") or 1
        step, self.iterations = self.iterations // every + 1, self.iterations + 1
        steps = self.iterations % every == 0
        for name, total in self.slots.get("gradient_accumulator", {}).items():
            total += self.gradients[name]
            if steps:
                self.gradients[name], total[...] = total / every, 0
        gradients = list(self.gradients.values())
        norm = math.sqrt(sum(float((g**2).sum()) for g in gradients))
        if steps:
            self._clip(gradients)
            for name, g in self.gradients.items():
                self._apply(name, g, step, learning_rate)
            if settings["kind"] == "nadam":
                decay = settings.get("momentum_decay", 1.0)
                self.momentum_product *= settings.get("beta_1", 0.9) * (1 - 0.5 * 0.96 ** (step * decay))
        for name, old in self.slots.get("average", {}).items():
            old[...] = average(old, self.variables[name], settings.get("ema_momentum", 0.99) if step > 1 else 0.0)
            if step % (settings.get("ema_overwrite_frequency") or step + 1) == 0:
                self.variables[name][...] = old
        for name in self.gradients if steps else ():
            rate = self._factor(name) * learning_rate
            if rate != 0:
                settle(self.regularizers.get(name, {}), self.constraints.get(name, {}), self.variables[name], rate)
        return norm

    def _factor(self, name: str) -> float:
        factors: dict[str, float] = self.spec["optimizer"].get("learning_rate_factors") or {}
        return factors.get(name, 1.0)

    def _clip(self, gradients: list[Array]) -> None:
        settings = self.spec["optimizer"]
        for g in gradients:
            if settings.get("clipvalue") is not None:
                clip_by_value(g, settings["clipvalue"])
            if settings.get("clipnorm") is not None:
                clip_by_norm(g, settings["clipnorm"])
        if settings.get("global_clipnorm") is not None:
            clip_by_global_norm(gradients, settings["global_clipnorm"])

    def _apply(self, name: str, g: Array, step: int, learning_rate: float) -> None:
        settings = self.spec["optimizer"]
        factor = self._factor(name)
        if factor == 0:  # the variable and its slots stand still
            return
        own = {slot: values[name] for slot, values in self.slots.items() if slot not in EXTRA_SLOTS}
        decays = name not in settings.get("undecayed", ())
        rate, product = factor * learning_rate, self.momentum_product
        apply_rule(settings, self.variables[name], g, own, step, rate, decays=decays, momentum_product=product)

    def train_step(
        self, x: ArrayLike, target: Any, learning_rate: float, weights: Any = None
    ) -> tuple[float, list[Array]]:
        """One step; returns the sum of the rows' losses, penalties included, and each metric's state, both from before
        the update. Of an output without a loss the target is None."""
        self.forward(x, training=True)
        several = len(self.outputs) > 1
        targets = target if several else [target]
        of_rows = weights if several and weights is not None else [weights] * len(targets)
        asked = [i for i, (_, described) in enumerate(self.outputs) if described["loss"] is not None]
        losses = [self.loss(targets[i], of_rows[i], i) for i in asked]
        self._backward([(top, dy) for _, dy, top in losses])
        total = sum(float(rows.sum()) for rows, _, _ in losses) + len(self.values_out[0]) * self.penalty()
        self.update(learning_rate)
        return total, [state for i in asked for state in self.metrics(targets[i], of_rows[i], i)]


def _is_weighted(metric: str | Mapping[str, Any]) -> bool:
    return not isinstance(metric, str) and bool(metric.get("weighted", False))


def _penalize(regularizer: Mapping[str, Any], w: Array, g: Array | None = None) -> float:
    """The penalty of a variable; its gradient is added to g."""
    value = penalize(w, g, l1=regularizer["l1"], l2=regularizer["l2"])
    if regularizer.get("orthogonal"):
        value += penalize_pairs(w, g, factor=regularizer["orthogonal"], mode=regularizer.get("mode", "rows"))
    return value


def _by_variable(spec: Mapping[str, Any], key: str) -> dict[str, Mapping[str, Any]]:
    """The regularizers or constraints of all layers by "layer/variable"."""
    return {f"{layer['name']}/{name}": given for layer in spec["layers"] for name, given in layer.get(key, {}).items()}
