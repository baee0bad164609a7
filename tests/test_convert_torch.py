"""State dicts of PyTorch as models and back: the same predictions, its conventions, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest
from example import bits, blobs
from safetensors.numpy import save_file

import evenflow
from evenflow import convert
from evenflow.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Dropout,
    Input,
    LayerNormalization,
    Normalization,
    PReLU,
    RMSNormalization,
    Swish,
)

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

X, Y = blobs(90)
ROUNDING = 2e-6  # of float32, through a few layers


def theirs(dtype=torch.float32):
    torch.manual_seed(3)
    net = torch.nn.Sequential(
        torch.nn.Linear(6, 9),
        torch.nn.BatchNorm1d(9),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.1),
        torch.nn.Linear(9, 8, bias=False),
        torch.nn.LayerNorm(8),
        torch.nn.PReLU(8),
        torch.nn.Linear(8, 7),
        torch.nn.PReLU(),
        torch.nn.RMSNorm(7, eps=1e-5),
        torch.nn.BatchNorm1d(7, affine=False),
        torch.nn.Linear(7, 3),
    ).to(dtype)
    net(torch.from_numpy(X).to(dtype) * 2 + 1)  # statistics that are not those of a new layer
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return net.eval()


def ours(activation="prelu"):
    return [
        Dense(9, name="one"),
        BatchNormalization(name="norm_1"),
        Activation("relu"),
        Dropout(0.1),
        Dense(8, use_bias=False, name="two"),
        LayerNormalization(name="norm_2"),
        PReLU(name="slopes"),
        Dense(7, activation, name="three"),
        RMSNormalization(name="norm_3"),
        BatchNormalization(center=False, scale=False, name="norm_4"),
        Dense(3, name="top"),
    ]


def predicted(net):
    with torch.no_grad():
        return net(torch.from_numpy(X).to(next(net.parameters()).dtype)).numpy()


def test_predictions():
    net = theirs()
    model = convert.from_torch(net.state_dict(), ours())
    assert model.input_shape == (None, 6)
    np.testing.assert_allclose(model.predict(X), predicted(net), rtol=0, atol=ROUNDING)
    arrays = {key: tensor.numpy() for key, tensor in net.state_dict().items()}
    assert bits(convert.from_torch(arrays, ours())) == bits(model)
    assert [layer.name for layer in model.layers][:2] == ["one", "norm_1"]


def test_predictions_in_float64_of_a_model_that_stays_as_it_is():
    net = theirs(torch.float64)
    given = evenflow.Sequential([Input((6,)), *ours()], dtype="float64")
    before = bits(given)
    model = convert.from_torch(net.state_dict(), given)
    np.testing.assert_allclose(model.predict(X), predicted(net), rtol=0, atol=1e-12)
    assert bits(given) == before
    assert given.get_layer("norm_1").epsilon == 1e-3


def test_training_goes_on_as_theirs_does():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(6, 9), torch.nn.BatchNorm1d(9, momentum=0.3), torch.nn.ELU(), torch.nn.Linear(9, 3)
    ).double()
    x, y = torch.from_numpy(X).double(), torch.from_numpy(Y)
    layers = [Dense(9), BatchNormalization(), Activation("elu"), Dense(3)]
    given = evenflow.Sequential([Input((6,)), *layers], dtype="float64")
    model = convert.from_torch(net.state_dict(), given, momentum=0.3)
    loss = evenflow.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(evenflow.torch.SGD(0.1, momentum=0.9), loss)
    model.fit(X.astype(np.float64), Y, batch_size=30, shuffle=False, epochs=3, verbose=0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        for start in range(0, 90, 30):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x[start : start + 30]), y[start : start + 30]).backward()
            optimizer.step()
    for key, array in convert.to_torch(model, names=dict(zip(names_of(model), "013", strict=True))).items():
        if "batches" not in key:
            np.testing.assert_allclose(array, net.state_dict()[key].numpy(), rtol=1e-9, atol=1e-12, err_msg=key)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(5)
    evenflow.set_seed(5)


def names_of(model):
    return [layer.name for layer in model.layers if layer.variables]


def test_files(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    net = theirs()
    expected = bits(convert.from_torch(net.state_dict(), ours()))
    safetensors.save_file(net.state_dict(), tmp_path / "net.safetensors")
    torch.save(net.state_dict(), tmp_path / "net.pt")
    for name in ("net.safetensors", "net.pt"):
        assert bits(convert.from_torch(tmp_path / name, ours())) == expected, "11 comes after 7, not after 1"
    named = {
        "b.weight": torch.zeros(9, 6),
        "b.bias": torch.ones(9),
        "a.weight": torch.zeros(3, 9),
        "a.bias": torch.zeros(3),
    }
    safetensors.save_file(named, tmp_path / "named.safetensors")
    layers = [Dense(9, name="low"), Dense(3, name="top")]
    with pytest.raises(ValueError, match=r"a file keeps no order.*'a', 'b'.*'low', 'top'"):
        convert.from_torch(tmp_path / "named.safetensors", layers)
    by_name = convert.from_torch(tmp_path / "named.safetensors", [Input((6,)), *layers], names={"low": "b", "top": "a"})
    assert by_name.get_layer("low").bias.numpy().tolist() == [1] * 9
    torch.save({"model": net.state_dict(), "epoch": 3}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"'model' is a dict itself: .* give state_dict\['model'\]"):
        convert.from_torch(tmp_path / "checkpoint.pt", ours())


def test_files_that_cannot_be_used(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    (tmp_path / "a.pt").write_bytes(b"not a checkpoint")
    torch.save(theirs(), tmp_path / "module.pt")  # a pickled module: code
    for name, reason in (("a.safetensors", "not a whole"), ("a.pt", "weights_only"), ("module.pt", "weights_only")):
        with pytest.raises(ValueError, match=f"^from_torch: cannot use .*{name}': .*{reason}"):
            convert.from_torch(tmp_path / name, ours())
    with pytest.raises(FileNotFoundError, match="from_torch: there is no file"):
        convert.from_torch(tmp_path / "none.pt", ours())


def test_half_precision():
    net = torch.nn.Sequential(torch.nn.Linear(6, 3)).bfloat16()
    model = convert.from_torch(net.state_dict(), [Dense(3)])
    np.testing.assert_allclose(model.predict(X), predicted(net.float()), rtol=0, atol=ROUNDING)


def test_epsilon_and_momentum():
    model = convert.from_torch(theirs().state_dict(), ours())
    assert {layer.epsilon for layer in model.layers if hasattr(layer, "epsilon")} == {1e-5}
    norm = model.get_layer("norm_1")
    assert (norm.momentum, norm.unbiased_variance) == (0.9, True)
    kept = convert.from_torch(theirs().state_dict(), ours(), epsilon=None, momentum=None)
    norm = kept.get_layer("norm_1")
    assert (norm.epsilon, norm.momentum, norm.unbiased_variance) == (1e-3, 0.99, False)


def test_there_and_back():
    model = convert.from_torch(theirs().state_dict(), ours())
    exported = convert.to_torch(model)
    assert list(exported)[:7] == [
        "one.weight",
        "one.bias",
        *(f"norm_1.{n}" for n in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")),
    ]
    back = convert.from_torch(exported, ours())
    assert bits(back) == bits(model)
    keys = list(theirs().state_dict())
    modules = dict(
        zip(
            dict.fromkeys(k.rpartition(".")[0] for k in exported),
            dict.fromkeys(k.split(".")[0] for k in keys),
            strict=True,
        )
    )
    net = theirs()
    for parameter in net.parameters():
        parameter.data.zero_()
    shared = ours(PReLU(shared_axes=[1]))  # as PyTorch's PReLU() has it
    model = convert.from_torch(theirs().state_dict(), shared)
    net.load_state_dict({k: torch.from_numpy(v) for k, v in convert.to_torch(model, names=modules).items()})
    np.testing.assert_allclose(predicted(net), model.predict(X), rtol=0, atol=ROUNDING)
    half = evenflow.Sequential([Input((4,)), BatchNormalization(scale=False, name="n")])
    arrays = convert.to_torch(half)
    assert arrays["n.weight"].tolist() == [1] * 4


STATE = {
    "0.weight": np.zeros((9, 6), np.float32),
    "0.bias": np.zeros(9),
    "1.weight": np.zeros((3, 9)),
    "1.bias": np.zeros(3),
}
LAYERS = [Dense(9, "relu", name="low"), Dense(3, name="top")]


@pytest.mark.parametrize(
    ("state", "layers", "options", "error", "message"),
    [
        (STATE, [LAYERS[0]], {}, ValueError, r"expected modules for 1 layers \('low'\), received 2 \('0', '1'\)"),
        (
            STATE,
            [Dense(9, name="a"), Dense(4, name="b")],
            {},
            ValueError,
            r"'1.weight' for layer 'b' has shape \(3, 9\), expected \(4, 9\)",
        ),
        (
            STATE,
            [Dense(9, name="a"), Dense(3, use_bias=False, name="b")],
            {},
            ValueError,
            r"'1': expected 'weight' of a Linear for layer 'b', received 'weight', 'bias'",
        ),
        (STATE, [Dense(9), BatchNormalization(name="n")], {}, ValueError, "of a BatchNorm1d for layer 'n'"),
        (
            STATE,
            [Input((5,)), *LAYERS],
            {},
            ValueError,
            r"'0.weight' for layer 'low' has shape \(9, 6\), expected \(9, 5\)",
        ),
        (
            STATE | {"0.weight": np.zeros((9, 6, 3, 3))},
            [Input((6,)), *LAYERS],
            {},
            ValueError,
            r"has shape \(9, 6, 3, 3\)",
        ),
        ({}, LAYERS, {}, ValueError, "received nothing"),
        (STATE | {"0.bias": np.array(["a"])}, LAYERS, {}, TypeError, "'0.bias': expected an array of real numbers"),
        (STATE, None, {}, TypeError, "layers: expected a model or a list"),
        (3, LAYERS, {}, TypeError, "path"),
        (STATE, LAYERS, {"names": {"low": "0"}}, ValueError, "'top' have none"),
        (STATE, LAYERS, {"names": {"low": "0", "tip": "1"}}, ValueError, "Did you mean 'top'"),
        (STATE, LAYERS, {"names": {"low": "0", "top": "2"}}, ValueError, "names='2' is not known"),
        (STATE, LAYERS, {"names": {"low": "0", "top": "0"}}, ValueError, "no layer takes the weights of '1'"),
        (STATE, LAYERS, {"epsilon": -1.0}, ValueError, "epsilon"),
        (
            STATE,
            [Dense(9), Dense(3, Swish(trainable_beta="unit"))],
            {},
            ValueError,
            "PyTorch has no module with the 'beta'",
        ),
        (STATE, [Normalization(), Dense(9), Dense(3)], {}, ValueError, "PyTorch has no module with the 'mean'"),
    ],
)
def test_what_does_not_fit(state, layers, options, error, message):
    with pytest.raises(error, match=f"^from_torch: .*{message}"):
        convert.from_torch(state, layers, **options)
    assert not any(layer.built for layer in LAYERS)


def test_to_torch_refuses_what_has_no_weights():
    with pytest.raises(ValueError, match=r"to_torch: model .* has no weights yet"):
        convert.to_torch(evenflow.Sequential([Dense(3)]))
    with pytest.raises(TypeError, match="to_torch: model: expected a model"):
        convert.to_torch({})


def test_files_need_no_pytorch(tmp_path):
    path = tmp_path / "net.safetensors"
    rng = np.random.default_rng(0)
    weights = {"0.weight": rng.standard_normal((3, 4)), "0.bias": np.zeros(3)}
    save_file({name: array.astype(np.float32) for name, array in weights.items()}, path)
    code = (
        "import sys, evenflow; model = evenflow.convert.from_torch(sys.argv[1], [evenflow.layers.Dense(3)]); "
        "print(model.count_params(), [m for m in ('keras', 'torch', 'sklearn', 'tensorflow') if m in sys.modules])"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["15", "[]"]
