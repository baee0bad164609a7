"""Networks from ONNX files: of PyTorch, of scikit-learn, of hand; what is refused."""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenflow import cli, layers, models

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.peers

import onnx_models  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from evenflow.onnx import export, load  # noqa: E402

F = TensorProto.FLOAT
RNG = np.random.default_rng(0)
W, B, V = (RNG.standard_normal(shape).astype(np.float32) for shape in ((6, 4), (4,), (4, 3)))


def graph(nodes: list[Any], arrays: dict[str, Any], inputs: Any = (6,), outputs: Any = 3, **options: Any) -> Any:
    """A model with the input x and the output y."""
    made = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", options.get("kind", F), ["n", *inputs])],
        [helper.make_tensor_value_info("y", options.get("kind", F), ["n", outputs])],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in arrays.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", options.get("opset", 20)), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(made, opset_imports=opsets, ir_version=9)


def node(operator: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(operator, inputs.split(), [output], name=f"{operator}_of_{output}", **attributes)


def loaded(proto: Any, folder: Path, **options: Any) -> Any:
    (folder / "net.onnx").write_bytes(proto.SerializeToString())
    return load(folder / "net.onnx", **options)


def same(proto: Any, model: Any, x: Any, tolerance: float = 2e-6) -> None:
    found = onnx_models.predictions(model, {"x": x})
    expected = onnx_models.run(proto, {"x": x})
    onnx_models.close({"y": next(iter(found.values()))}, {"y": expected["y"]}, tolerance)


X = RNG.standard_normal((7, 6)).astype(np.float32)
HALF, ROOT = np.float32(0.5), np.float32(2**0.5)
STATISTICS = {"g": B, "b": 2 * B, "m": B / 2, "v": B**2 + 0.1}
OPERATORS: dict[str, tuple[list[Any], dict[str, Any], list[str]]] = {
    "Gemm": ([node("Gemm", "x w b", "y", transB=1, alpha=2.0, beta=0.5)], {"w": W.T, "b": B}, ["Dense"]),
    "Gemm without bias": ([node("Gemm", "x w", "y")], {"w": W}, ["Dense"]),
    "MatMul": ([node("MatMul", "x w", "y")], {"w": W}, ["Dense"]),
    "MatMul and Add": ([node("MatMul", "x w", "h"), node("Add", "b h", "y")], {"w": W, "b": B[None]}, ["Dense"]),
    "transposed": (
        [node("Transpose", "w", "t"), node("Identity", "t", "i"), node("MatMul", "x i", "y")], {"w": W.T}, ["Dense"]),
    "BatchNormalization": (
        [node("Gemm", "x w", "h"), node("BatchNormalization", "h g b m v", "y", epsilon=0.01)],
        {"w": W, **STATISTICS}, ["Dense", "BatchNormalization"]),
    "LayerNormalization": (
        [node("Gemm", "x w", "h"), node("LayerNormalization", "h g b", "y")], {"w": W, "g": B, "b": B},
        ["Dense", "LayerNormalization"]),
    "Dropout": ([node("Dropout", "x", "d"), node("Gemm", "d w", "y")], {"w": W}, ["Dense"]),
    "numbers": (
        [node("Sub", "x o", "a"), node("Mul", "a s", "c"), node("Add", "c o", "d"), node("Div", "d s", "e"),
         node("Sub", "o e", "f"), node("Gemm", "f w", "y")],
        {"w": W, "o": HALF, "s": np.float32(3)}, ["Rescaling"] * 5 + ["Dense"]),
    "standardized": (
        [node("Sub", "x m", "a"), node("Div", "a s", "c"), node("Gemm", "c w", "y")],
        {"w": W, "m": X[0], "s": np.abs(X[1]) + 0.5}, ["Normalization", "Dense"]),
    "Scaler": (
        [node("Scaler", "x", "c", domain="ai.onnx.ml", offset=X[0].tolist(), scale=[1.5] * 6),
         node("Gemm", "c w", "y")],
        {"w": W}, ["Normalization", "Dense"]),
    "vectors": (
        [node("Mul", "x s", "a"), node("Add", "m a", "c"), node("Sub", "c s", "d"), node("Div", "d s", "e"),
         node("Gemm", "e w", "y")],
        {"w": W, "m": X[0], "s": X[2] + 0.1}, ["Scaling", "Normalization", "Normalization", "Scaling", "Dense"]),
    "silu": (
        [node("Gemm", "x w", "h"), node("Sigmoid", "h", "s"), node("Mul", "s h", "y")], {"w": W}, ["Dense", "silu"]),
    "swish": (
        [node("Gemm", "x w", "h"), node("Mul", "h c", "i"), node("Sigmoid", "i", "s"), node("Mul", "h s", "y")],
        {"w": W, "c": np.float32(1.5)}, ["Dense", "swish"]),
    "mish": (
        [node("Gemm", "x w", "h"), node("Softplus", "h", "p"), node("Tanh", "p", "t"), node("Mul", "h t", "y")],
        {"w": W}, ["Dense", "mish"]),
    "hard silu": (
        [node("Gemm", "x w", "h"), node("HardSigmoid", "h", "s", alpha=1 / 6), node("Mul", "h s", "y")],
        {"w": W}, ["Dense", "hard_silu"]),
    "gelu as PyTorch writes it": (
        [node("Gemm", "x w", "h"), node("Div", "h r", "d"), node("Erf", "d", "e"), node("Add", "e one", "p"),
         node("Mul", "h p", "q"), node("Mul", "q half", "y")],
        {"w": W, "r": ROOT, "one": np.float32(1), "half": HALF}, ["Dense", "gelu"]),
    "gelu otherwise": (
        [node("Gemm", "x w", "h"), node("Mul", "r h", "d"), node("Erf", "d", "e"), node("Add", "one e", "p"),
         node("Mul", "half h", "q"), node("Mul", "q p", "y")],
        {"w": W, "r": 1 / ROOT, "one": np.float32(1), "half": HALF}, ["Dense", "gelu"]),
    "branches": (
        [node("Gemm", "x w", "h"), node("Tanh", "h", "t"), node("Add", "h t", "s"), node("Mul", "s h", "p"),
         node("Sum", "p h t", "u"), node("Concat", "u x", "c", axis=1), node("Gemm", "c k", "y")],
        {"w": W, "k": RNG.standard_normal((10, 3)).astype(np.float32)},
        ["Dense", "tanh", "Add", "Multiply", "Add", "Concatenate", "Dense"]),
}  # fmt: skip
FUNCTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "Relu": ({}, "relu"), "LeakyRelu": ({}, "leaky_relu"), "ThresholdedRelu": ({"alpha": 0.3}, "threshold"),
    "Elu": ({"alpha": 0.5}, "elu"), "Celu": ({"alpha": 0.5}, "celu"), "Selu": ({}, "selu"), "Sigmoid": ({}, "sigmoid"),
    "HardSigmoid": ({"alpha": 1 / 6}, "hard_sigmoid"), "HardSwish": ({}, "hard_silu"), "Tanh": ({}, "tanh"),
    "Softplus": ({}, "softplus"), "Softsign": ({}, "softsign"), "Mish": ({}, "mish"), "Exp": ({}, "exponential"),
    "Gelu": ({"approximate": "tanh"}, "gelu_tanh"), "Shrink": ({"bias": 0.5}, "soft_shrink"),
    "Softmax": ({}, "softmax"), "LogSoftmax": ({"axis": 1}, "log_softmax"),
}  # fmt: skip


def kinds(model: Any) -> list[str]:
    """Classes of layers, or what an Activation computes."""
    found = [layer for layer in model.layers if not isinstance(layer, layers.InputLayer)]
    return [l.activation.kind if type(l) is layers.Activation else type(l).__name__ for l in found]  # noqa: E741


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name, tmp_path):
    nodes, arrays, expected = OPERATORS[name]
    proto = graph(nodes, arrays, outputs=None)
    model = loaded(proto, tmp_path)
    assert kinds(model) == expected
    assert isinstance(model, models.Sequential) == (name != "branches")
    assert model.input_shape == (None, 6)
    same(proto, model, X)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_activations(name, tmp_path):
    attributes, kind = FUNCTIONS[name]
    proto = graph([node("Gemm", "x w", "h"), node(name, "h", "y", **attributes)], {"w": W}, outputs=4)
    model = loaded(proto, tmp_path)
    assert kinds(model) == ["Dense", kind]
    same(proto, model, X)


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [(0.0, 6.0, "relu6"), (0.0, 2.0, "clipped_relu"), (-1.0, 1.0, "hard_tanh"), (0, None, "relu")],
)
def test_clip(low, high, kind, tmp_path):
    arrays = {"w": W, "low": np.float32(low)} | ({} if high is None else {"high": np.float32(high)})
    proto = graph([node("Gemm", "x w", "h"), node("Clip", " ".join(["h", *list(arrays)[1:]]), "y")], arrays, outputs=4)
    model = loaded(proto, tmp_path)
    assert model.layers[1].as_activation().kind == kind if high != 1 else kinds(model)[1] == kind
    same(proto, model, X)


def test_ids_and_slopes(tmp_path):
    table = RNG.standard_normal((5, 3)).astype(np.float32)
    proto = graph(
        [node("Gather", "t x", "e"), node("Reshape", "e s", "f"), node("Gemm", "f w", "h"), node("PRelu", "h a", "y")],
        {"t": table, "s": np.array([-1, 6]), "w": W, "a": B},
        (2,), 4, kind=TensorProto.INT64,
    )  # fmt: skip
    proto.graph.output[0].type.tensor_type.elem_type = F
    model = loaded(proto, tmp_path)
    assert kinds(model) == ["Embedding", "Flatten", "Dense", "PReLU"]
    same(proto, model, RNG.integers(0, 5, (8, 2)))


def test_images_in_float64(tmp_path):
    arrays = {"w": RNG.standard_normal((12, 4)), **{k: a[:3].astype(np.float64) for k, a in STATISTICS.items()}}
    nodes = [node("BatchNormalization", "x g b m v", "n"), node("Flatten", "n", "f"), node("Gemm", "f w", "y")]
    proto = graph(nodes, arrays, (3, 4), 4, kind=TensorProto.DOUBLE)
    model = loaded(proto, tmp_path)
    assert (model.dtype, model.input_shape) == ("float64", (None, 3, 4))
    same(proto, model, RNG.standard_normal((5, 3, 4)), 1e-7)  # the operator's epsilon is of float32


def test_a_file_of_ours_that_another_program_changed(tmp_path, rng):
    model = onnx_models.settle(onnx_models.MODELS["dense"]("float32"), rng)
    proto = export(model)
    for tensor in proto.graph.initializer:  # trained elsewhere: the description still holds
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) / 2, tensor.name))
    halved = loaded(proto, tmp_path)
    assert halved.get_config() == json.loads(json.dumps(model.get_config()))
    assert np.array_equal(halved.get_weights()[0], model.get_weights()[0] / 2)
    proto.graph.node[1].op_type = "Sigmoid"  # another network: the graph is read
    assert proto.graph.node[1].name == "one/Relu"
    changed = loaded(proto, tmp_path)
    assert kinds(changed) == ["Dense", "sigmoid", "Dense", "softmax"]
    x = rng.standard_normal((5, 6)).astype(np.float32)
    onnx_models.close({"two": changed.predict(x)}, onnx_models.run(proto, {"x": x}), 1e-5)


@pytest.mark.parametrize("name", ["dense", "softmax", "residual", "nested", "without input"])
def test_graphs_of_ours_without_the_description(name, rng, tmp_path):
    model = onnx_models.settle(onnx_models.MODELS[name]("float32"), rng)
    proto = export(model)
    del proto.metadata_props[:]
    again = loaded(proto, tmp_path)
    given = onnx_models.inputs(model, name, rng)
    expected = list(onnx_models.run(proto, given).values())
    found = list(onnx_models.predictions(again, given).values())
    onnx_models.close(dict(enumerate(found)), dict(enumerate(expected)), 1e-5)


def test_what_is_written_out_is_refused_without_the_description(tmp_path):
    proto = export(onnx_models.MODELS["tied"]("float64"))
    del proto.metadata_props[:]
    with pytest.raises(ValueError, match=r"node 'up/\w+', operator \w+: not known here"):
        loaded(proto, tmp_path)


# Files of other programs


def torch_file(network: Any, x: Any, path: Path, **options: Any) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network.eval(), (torch.from_numpy(x),), str(path), input_names=["x"], output_names=["y"],
                          **options)  # fmt: skip


@pytest.mark.parametrize("dynamo", [False, True])
def test_files_of_pytorch(dynamo, tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    nn = torch.nn
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 9), nn.GELU(),
        nn.Linear(9, 9, bias=False), nn.SiLU(), nn.LayerNorm(9), nn.Linear(9, 8), nn.PReLU(8), nn.ELU(0.5),
        nn.Linear(8, 7), nn.Mish(), nn.Hardswish(), nn.LeakyReLU(0.1), nn.Linear(7, 3), nn.Softmax(1),
    )  # fmt: skip
    for module in network:
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    x = RNG.standard_normal((5, 3, 4)).astype(np.float32)
    options = {"dynamic_shapes": ({0: torch.export.Dim.DYNAMIC},)} if dynamo else {"dynamic_axes": {"x": {0: "n"}}}
    torch_file(network, x, tmp_path / "net.onnx", dynamo=dynamo, opset_version=20, **options)
    model = load(tmp_path / "net.onnx")
    assert isinstance(model, models.Sequential)
    assert sum(isinstance(layer, layers.Dense) for layer in model.layers) == 6
    expected = network(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_files_of_scikit_learn(classes, tmp_path):
    """Of a StandardScaler and an MLPRegressor, or an MLPClassifier, which has labels beside the probabilities."""
    neural, pipeline, preprocessing, skl2onnx = (
        pytest.importorskip(name)
        for name in ("sklearn.neural_network", "sklearn.pipeline", "sklearn.preprocessing", "skl2onnx")
    )
    x = RNG.standard_normal((60, 6)).astype(np.float32) * 3 + 1
    kind = neural.MLPClassifier if classes else neural.MLPRegressor
    network = kind(hidden_layer_sizes=(5, 4), activation="tanh", max_iter=20, random_state=0)
    whole = pipeline.make_pipeline(preprocessing.StandardScaler(), network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole.fit(x, np.arange(60) % classes if classes else x[:, 0])
    options = {"zipmap": False} if classes else None
    proto = skl2onnx.to_onnx(whole, x[:1], options=options, target_opset=20)
    if not classes:
        np.testing.assert_allclose(loaded(proto, tmp_path).predict(x)[:, 0], whole.predict(x), rtol=1e-4, atol=1e-5)
        return
    with pytest.raises(ValueError, match=r"operator \w+: .*outputs \['label', 'probabilities'\]; outputs="):
        loaded(proto, tmp_path)
    model = loaded(proto, tmp_path, outputs=["probabilities"])
    np.testing.assert_allclose(model.predict(x), whole.predict_proba(x), rtol=1e-4, atol=1e-5)


# What is refused


def test_softmax_in_the_middle(tmp_path):
    for operator in ("Softmax", "LogSoftmax"):
        proto = graph([node(operator, "x", "s"), node("Gemm", "s w", "y")], {"w": W}, outputs=4)
        same(proto, loaded(proto, tmp_path), X)


def test_float64_without_weights_of_layers(tmp_path):
    nodes = [node("Sub", "x m", "a"), node("Div", "a s", "b"), node("Tanh", "b", "y")]
    arrays = {"m": np.arange(6.0) / 7, "s": np.arange(1.0, 7.0) / 3}
    for proto in (
        graph(nodes, arrays, outputs=6, kind=TensorProto.DOUBLE),
        graph([node("Tanh", "x", "y")], {}, outputs=6, kind=TensorProto.DOUBLE),
    ):
        model = loaded(proto, tmp_path)
        assert model.dtype == "float64"
        same(proto, model, RNG.standard_normal((5, 6)), 1e-14)


def one(operator: str, inputs: str = "x w", arrays: Any = None, **attributes: Any) -> Any:
    return graph([node(operator, inputs, "y", **attributes)], {"w": W} if arrays is None else arrays, outputs=None)


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        (one("Conv", "x w", {"w": np.zeros((1, 1, 3), np.float32)}), "node 'Conv_of_y', operator Conv: not known here"),
        (one("Gemm", transA=1), "operator Gemm: expected transA=0"),
        (one("Gemm", "x w", {"w": V}), r"'Gemm_of_y', operator Gemm: rows have shape \(6,\), the kernel \(4, 3\)"),
        (one("Gemm", "x x", {}), "input 1, 'x', to be a constant"),
        (one("MatMul", "w x"), "to be a constant"),
        (one("Softmax", "x", {}, axis=0), "expected axis -1, received 0"),
        (one("Cast", "x", {}, to=TensorProto.INT32), "outputs:|whole numbers"),
        (one("Clip", "x w", {"w": np.float32(-3)}), "a ReLU with a limit, or -1 and 1, received -3.0 and inf"),
        (one("Selu", "x", {}, alpha=2.0), "SELU's own alpha"),
        (one("HardSigmoid", "x", {}), "expected alpha 1/6 or 1/2"),
        (one("Elu", "x", {}, alpha=-1.0), "operator Elu: .*alpha"),
        (one("Div", "w x", {"w": HALF}), "a constant to divide by"),
        (one("Flatten", "x", {}, axis=0), "expected axis 1, received 0"),
        (one("Add", "x w", {"w": X[:1].T}), r"one number for each feature, received an array of shape \(6, 1\)"),
        (one("Mul", "x w", {"w": X[:6]}), r"one number for each feature, received an array of shape \(6, 6\)"),
        (one("Reshape", "x w", {"w": np.array([-1, 2, 3])}), "expected to flatten rows"),
        (one("Scaler", "x", {}, domain="ai.onnx.ml", offset=[0.0], scale=[-1.0]), "ai.onnx.ml.Scaler: expected scales"),
        (one("Sigmoid", "w"), "'w' is a constant, expected what depends on an input"),
        (graph([node("Relu", "x", "y")], {}, ("features",)), r"input 'x' has shape \(None, None\)"),
        (graph([node("Relu", "x", "y")], {}, ()), "input 'x' has shape"),
        (graph([node("Identity", "x", "y")], {}, kind=TensorProto.STRING), "of strings"),
        (
            graph([node("Cast", "x", "i", to=TensorProto.INT64), node("Cast", "i", "y", to=F)], {}, outputs=6),
            "Cast_of_i.*whole numbers that are ids",
        ),
        (
            graph([node("Div", "x c", "y")], {"c": np.int64(4)}, outputs=6, kind=TensorProto.INT64),
            "expected a division of floats",
        ),
        (one("Dropout", "x r t", {"r": HALF, "t": np.array(True)}), "operator Dropout: expected inference mode"),
        (
            graph([node("Sub", "x m", "a"), node("Div", "a s", "y")], {"m": X[0], "s": 0 * X[0] + 1e-9}, outputs=6),
            "operator Div: expected deviations from 1e-07",
        ),
        (one("Scaler", "x", {}, domain="ai.onnx.ml", offset=[0.0] * 6, scale=[1e9] * 6), "Scaler: expected deviations"),
        (
            graph([node("BatchNormalization", "x g b m v", "y")], STATISTICS, outputs=6),
            r"gamma of node 'BatchNormalization_of_y'.* has shape \(4,\), expected \(6,\)",
        ),
    ],
)  # fmt: skip
def test_refusals(proto, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        loaded(proto, tmp_path)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"outputs": "y"}, TypeError, "outputs: expected a list of names"),
        ({"outputs": ["z"]}, ValueError, "outputs='z' is not known"),
        ({"outputs": []}, ValueError, "at least one of"),
        ({"output": ["y"]}, TypeError, "Did you mean 'outputs'"),
    ],
)
def test_wrong_arguments(options, kind, message, tmp_path):
    with pytest.raises(kind, match=message):
        loaded(one("Gemm"), tmp_path, **options)


def test_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load(tmp_path / "net.onnx")
    with pytest.raises(TypeError, match="path: expected the path of a file"):
        load(3)


def test_arrays_beside_the_file(tmp_path):
    proto = one("Gemm")
    onnx.save(proto, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    expected = X @ W
    np.testing.assert_allclose(load(tmp_path / "net.onnx").predict(X), expected, rtol=1e-5, atol=1e-5)
    proto = onnx.load(tmp_path / "net.onnx", load_external_data=False)
    (tmp_path / "inside").mkdir()
    for place in ("../net.data", str(tmp_path / "net.data"), "none.data"):
        entry = next(e for e in proto.graph.initializer[0].external_data if e.key == "location")
        entry.value = place
        (tmp_path / "inside" / "net.onnx").write_bytes(proto.SerializeToString())
        with pytest.raises(ValueError, match=r"cannot use .*net\.onnx"):
            load(tmp_path / "inside" / "net.onnx")


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("layers"),
        lambda c: c["layers"][1]["config"].update(units=10**12),
        lambda c: c["layers"][1].update(class_name="os.system"),
        lambda c: c["layers"][1]["config"].update(units="many"),
        lambda c: c["layers"][0]["config"].update(shape=[7]),
        lambda c: c.update(dtype="float16"),
        lambda c: c["layers"].append(c["layers"][1]),
    ],
)
def test_hostile_descriptions(change, tmp_path):
    proto = export(onnx_models.MODELS["dense"]("float32"))
    entry = next(e for e in proto.metadata_props if e.key == "evenflow.model")
    config = json.loads(entry.value)
    change(config)
    entry.value = json.dumps(config)
    with pytest.raises(ValueError, match=r"load: cannot use .*(its description|expected an array)"):
        loaded(proto, tmp_path)


def test_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = onnx_models.MODELS["dense"]("float32")
    export(model, "net.onnx")
    np.save("x.npy", X)
    assert cli.main(["predict", "net.onnx", "x.npy", "--out", "y.npy"]) == 0
    assert np.array_equal(np.load("y.npy"), model.predict(X))
    assert cli.main(["show", "net.onnx"]) == 0
    assert "one (Dense)" in capsys.readouterr().out
    Path("net.onnx").write_bytes(b"no model")
    assert cli.main(["show", "net.onnx"]) == 1
    assert "no valid ONNX model" in capsys.readouterr().err


def test_without_the_package_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    for call in (lambda: export(onnx_models.MODELS["dense"]("float32")), lambda: load(tmp_path / "net.onnx")):
        with pytest.raises(
            ModuleNotFoundError, match=r"onnx is not installed; install it with: pip install 'evenflow\[onnx\]'"
        ):
            call()
