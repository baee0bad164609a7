"""Models as ONNX files: checked, run by onnxruntime beside evenflow, over all layers and all activations."""

import functools
import json
from typing import Any

import numpy as np
import pytest

import evenflow
from evenflow import activations, layers, models

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.peers

import onnx_models  # noqa: E402

from evenflow.onnx import (  # noqa: E402
    activations as written_activations,
    export,
    layers as written_layers,
    load,
)

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
BY_FLOAT32 = 1e-6  # of the one function that float64 passes through float32 for
POINTS = np.array(
    [-90, -20, -7.5, -6, -3.25, -3, -2, -1.5, -1, -0.75, -0.5, -0.3, -1e-3, 0, 1e-3, 0.25, 0.5, 0.8, 1, 1.5, 2, 3, 5,
     6, 7.25, 15, 20, 80]
)  # fmt: skip
FORMS: list[Any] = [
    *(name for name in activations.FUNCTIONS),
    functools.partial(activations.elu, alpha=0.7),
    functools.partial(activations.celu, alpha=0.4),
    functools.partial(activations.celu, alpha=0.0),
    functools.partial(activations.leaky_relu, negative_slope=0.05),
    functools.partial(activations.relu, max_value=2.5, negative_slope=0.1, threshold=0.5),
    functools.partial(activations.relu, negative_slope=0.1, threshold=0.5),
    functools.partial(activations.threshold, threshold=-0.5, default_value=-2.0),
    functools.partial(activations.swish, beta=1.702),
    functools.partial(activations.squareplus, b=0.0),
    functools.partial(activations.isru, alpha=0.25),
    functools.partial(activations.soft_shrink, threshold=0.3),
    functools.partial(activations.hard_shrink, threshold=0.3),
    functools.partial(activations.rrelu, lower=0.1, upper=0.2, seed=1),
]


def test_every_layer_and_every_activation_has_a_writer_or_a_reason():
    assert set(layers.REGISTRY.classes.values()) == {*written_layers.WRITERS, *written_layers.REFUSED}
    assert not set(written_layers.WRITERS) & set(written_layers.REFUSED)
    written = {*written_activations.WRITTEN_OUT, *written_activations.LEARNED}
    assert set(activations.FUNCTIONS) == written
    assert set(written_activations.LEARNED) == set(activations.LEARNED)
    assert set(written_activations.NATIVE) <= written


def test_the_models_of_these_tests_have_every_layer():
    seen = {type(layer) for make in onnx_models.MODELS.values() for layer in make("float32").layers}
    assert seen >= set(layers.REGISTRY.classes.values()) - {layers.InputLayer}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form if isinstance(form, str) else str(form.keywords))
def test_activations(form, dtype):
    parts = layers.Input((POINTS.size,), name="x"), layers.Rescaling(1.0), layers.Activation(form, name="y")
    model = models.Sequential(parts, dtype=str(dtype))
    for variable in model.variables:
        variable.assign(np.linspace(-0.5, 1.5, variable.size))
    x = np.stack([POINTS, POINTS[::-1] / 3, POINTS / 7]).astype(dtype)
    tolerance = BY_FLOAT32 if form == "gelu" and dtype == "float64" else TOLERANCE[str(dtype)]
    onnx_models.close(onnx_models.run(export(model), {"x": x}), {"y": model.predict(x)}, tolerance)


@pytest.mark.parametrize("name", onnx_models.MODELS)
def test_models(name, dtype, rng, tmp_path):
    model = onnx_models.settle(onnx_models.MODELS[name](str(dtype)), rng)
    given = onnx_models.inputs(model, name, rng)
    proto = export(model, tmp_path / "model.onnx", metadata={"made by": "a test"})
    expected = onnx_models.predictions(model, given)
    tolerance = BY_FLOAT32 if name == "normalizations" and dtype == "float64" else TOLERANCE[str(dtype)]
    onnx_models.close(onnx_models.run(proto, given), expected, tolerance)
    one = {key: rows[:1] for key, rows in given.items()}
    alone = onnx_models.run(proto, one)  # another number of rows
    onnx_models.close(alone, {key: rows[:1] for key, rows in expected.items()}, tolerance)

    assert (tmp_path / "model.onnx").read_bytes() == proto.SerializeToString()
    again = load(tmp_path / "model.onnx")
    assert type(again) is type(model)
    assert again.get_config() == json.loads(json.dumps(model.get_config()))
    for own, loaded in zip(model.variables, again.variables, strict=True):
        assert own.path == loaded.path
        assert np.array_equal(own.numpy(), loaded.numpy())
    onnx_models.close(onnx_models.predictions(again, given), expected, 0.0)


@pytest.mark.parametrize("opset", [18, 19, 20, 22])
@pytest.mark.parametrize("name", ["normalizations", "learned activations", "columns"])
def test_opsets(name, opset, rng):
    model = onnx_models.settle(onnx_models.MODELS[name]("float32"), rng)
    given = onnx_models.inputs(model, name, rng)
    proto = export(model, opset=opset)
    assert proto.opset_import[0].version == opset
    onnx_models.close(onnx_models.run(proto, given), onnx_models.predictions(model, given), 1e-5)


def test_names_and_metadata():
    model = onnx_models.MODELS["residual"]("float32")
    proto = export(model, metadata={"task": "none"})
    graph = proto.graph
    assert [i.name for i in graph.input] == ["a", "b"]
    assert [o.name for o in graph.output] == ["class", "both"]  # a layer of the name of an output gives way
    assert [d.dim_param or d.dim_value for d in graph.output[0].type.tensor_type.shape.dim] == ["batch", 3]
    paths = {variable.path for variable in model.variables}
    assert paths <= {tensor.name for tensor in graph.initializer}
    assert [node.name for node in graph.node][:2] == ["hidden/Gemm", "hidden/Elu"]
    assert {node.output[0] for node in graph.node} >= {"hidden", "hidden:1", "sum", "gate", "both/output"}
    assert (proto.producer_name, proto.producer_version) == ("evenflow", evenflow.__version__)
    assert graph.name == "residual"
    assert {p.key: p.value for p in proto.metadata_props}["task"] == "none"


def test_onnx_operators_where_there_are_some():
    kinds = ["elu", "selu", "gelu", "mish", "hard_silu", "softplus", "leaky_relu", "softsign"]
    model = models.Sequential([layers.Input((3,)), *(layers.Activation(kind) for kind in kinds)])
    found = [node.op_type for node in export(model).graph.node]
    assert found == ["Elu", "Selu", "Gelu", "Mish", "HardSwish", "Softplus", "LeakyRelu", "Softsign"]


def test_an_unknown_word_is_an_error_where_the_model_has_none_for_it():
    words = onnx_models.MODELS["known words"]("float32")
    with pytest.raises(Exception, match="out of"):
        onnx_models.run(export(words), {"x": np.array([["red", "grey", "red"]], object)})


def test_bins_of_nan():
    model = onnx_models.MODELS["bins of one"]("float32")
    x = np.array([[np.nan], [-1.0]], np.float32)
    expected = model.layers[0](x) @ model.layers[1].kernel.numpy() + model.layers[1].bias.numpy()
    assert np.allclose(next(iter(onnx_models.run(export(model), {"x": x}).values())), expected, atol=1e-6)


def test_weights_of_a_training_that_goes_on(tmp_path):
    x, y = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32), np.arange(60) % 3
    model = models.Sequential([layers.Input((4,)), layers.Dense(8, "elu"), layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=2, verbose=0)
    expected = {model.output_names[0]: model.predict(x)}
    onnx_models.close(onnx_models.run(export(model), {model.input.name: x}), expected, 1e-5)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda m, p: export("model"), TypeError, "export: model: expected a model"),
        (lambda m, p: export(models.Sequential([layers.Dense(3)])), ValueError, "has no weights yet"),
        (lambda m, p: export(m, 3), TypeError, "export: path: expected the path of a file, received 3"),
        (lambda m, p: export(m, p / "model.pb"), ValueError, r"a name that ends in \.onnx"),
        (lambda m, p: export(m, p / "no" / "model.onnx"), FileNotFoundError, "no"),
        (lambda m, p: export(m, opset=17), ValueError, "opset: expected an integer of at least 18"),
        (lambda m, p: export(m, opset=20.0), TypeError, "opset: expected an integer"),
        (lambda m, p: export(m, opset=1000), ValueError, "at most"),
        (lambda m, p: export(m, metadata=["a"]), TypeError, "metadata: expected a dict of texts"),
        (lambda m, p: export(m, metadata={"evenflow.model": "{}"}), ValueError, "metadata: expected a dict of texts"),
        (lambda m, p: export(m, metadata={"rows": 3}), ValueError, "metadata: expected a dict of texts"),
        (lambda m, p: export(m, opsets=20), TypeError, "Did you mean 'opset'"),
    ],
)
def test_refusals(call, kind, message, tmp_path):
    model = models.Sequential([layers.Input((4,)), layers.Dense(3)])
    with pytest.raises(kind, match=message):
        call(model, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_onnx_cannot_express_is_refused_by_name():
    word = layers.StringLookup(vocabulary=["a"], num_oov_indices=2, output_mode="count", name="words")
    model = models.Sequential([layers.Input((1,), "string"), word, layers.Dense(2)])
    with pytest.raises(
        ValueError, match=r"layer 'words' \(StringLookup\) cannot be expressed in ONNX: num_oov_indices=2"
    ):
        export(model)
    x = layers.Input((3,), name="x")
    model = models.Model(x, {"x": layers.Dense(2)(x)})
    with pytest.raises(ValueError, match="outputs: expected names that no input has, received 'x'"):
        export(model)


def test_a_layer_of_another_class_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(written_layers, "WRITERS", {layers.InputLayer: written_layers.WRITERS[layers.InputLayer]})
    model = models.Sequential([layers.Input((4,)), layers.Dense(3, name="one")])
    with pytest.raises(ValueError, match=r"layer 'one' \(Dense\) cannot be expressed"):
        export(model)


def test_what_is_too_large_is_refused_before_it_is_written():
    model = models.Sequential([layers.Input((30_000,)), layers.Dense(30_000)])
    with pytest.raises(ValueError, match="3,600,120,000 bytes, an ONNX file holds at most"):
        export(model)
