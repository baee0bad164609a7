"""DenseTranspose: one kernel used in both directions. The native step is among the networks of tests/networks.py."""

import numpy as np
import pytest

import evenflow
from evenflow import layers
from evenflow.layers import BatchNormalization, Dense, DenseTranspose, Flatten, GaussianNoise, Input, PReLU
from evenflow.models import Model, Sequential, clone_model, load_model
from evenflow.optimizers import SGD, Adam


def rows(count=40, features=9, seed=0):
    return np.random.default_rng(seed).standard_normal((count, features))


def autoencoder(dtype="float64", inputs=9):
    evenflow.set_seed(3)
    one, two = Dense(6, "tanh", name="one"), Dense(4, "tanh", name="two")
    backs = [DenseTranspose(two, "tanh", name="back_two"), DenseTranspose(one, name="back_one")]
    return Sequential([Input((inputs,)), one, two, *backs], dtype=dtype)


def by_hand(model, x):
    w1, b1, w2, b2, c2, c1 = model.get_weights()
    h = np.tanh(np.tanh(x @ w1 + b1) @ w2 + b2)
    return np.tanh(h @ w2.T + c2) @ w1.T + c1


def test_one_kernel_in_both_directions():
    model, x = autoencoder(), rows()
    assert [v.path for v in model.variables] == [
        *("one/kernel", "one/bias", "two/kernel", "two/bias"),
        *("back_two/bias", "back_one/bias"),
    ]
    assert model.count_params() == 9 * 6 + 6 + 6 * 4 + 4 + 6 + 9
    assert model.output_shape == (None, 9)
    assert np.allclose(model.predict(x), by_hand(model, x), rtol=0, atol=1e-14)
    model.compile(Adam(0.01), "mse")
    losses = model.fit(x, x, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    assert np.allclose(model.predict(x), by_hand(model, x), rtol=0, atol=1e-14)
    assert "product transposed one/kernel (back_one)" in model.plan()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "clipped"])
def test_pytorch_makes_the_same_100_steps(optimizer):
    torch = pytest.importorskip("torch")
    model, x = autoencoder(), rows(32)
    parts = [torch.tensor(w, requires_grad=True) for w in model.get_weights()]
    w1, b1, w2, b2, c2, c1 = parts
    limit = 0.05 if optimizer == "clipped" else None
    model.compile(Adam(0.01, global_clipnorm=limit) if optimizer != "sgd" else SGD(0.1, momentum=0.9), "mse")
    peer = torch.optim.SGD(parts, lr=0.1, momentum=0.9) if optimizer == "sgd" else keras_adam(torch, parts)
    data = torch.tensor(x)
    for _ in range(100):
        ours = model.train_on_batch(x, x)
        peer.zero_grad()
        h = torch.tanh(torch.tanh(data @ w1 + b1) @ w2 + b2)
        loss = ((torch.tanh(h @ w2.T + c2) @ w1.T + c1 - data) ** 2).mean()
        loss.backward()
        if limit:
            norm = torch.sqrt(sum((p.grad**2).sum() for p in parts))  # clip_grad_norm_ adds 1e-6 to it
            for p in parts:
                p.grad *= min(1.0, limit / norm.item())
        peer.step()
        assert ours == pytest.approx(loss.item(), abs=1e-9)
    for own, other in zip(model.get_weights(), parts, strict=True):
        assert np.allclose(own, other.detach().numpy(), rtol=0, atol=1e-9)


def keras_adam(torch, parts):
    """Keras' Adam, whose epsilon stands elsewhere, in tensors."""

    class KerasAdam(torch.optim.Optimizer):
        def __init__(self):
            super().__init__(parts, {})
            self.t, self.m, self.v = 0, [torch.zeros_like(p) for p in parts], [torch.zeros_like(p) for p in parts]

        @torch.no_grad()
        def step(self):
            self.t += 1
            rate = 0.01 * np.sqrt(1 - 0.999**self.t) / (1 - 0.9**self.t)
            for p, m, v in zip(parts, self.m, self.v, strict=True):
                m += (p.grad - m) * (1 - 0.9)
                v += (p.grad**2 - v) * (1 - 0.999)
                p -= rate * m / (torch.sqrt(v) + 1e-7)

    return KerasAdam()


def test_any_number_of_threads_gives_the_same_bits():
    x = rows(64, 130).astype(np.float32)
    found = []
    for threads in (1, 2, 5):
        evenflow.set_seed(0)
        one, two = Dense(70, "elu", name="one"), Dense(33, name="two")
        backs = [DenseTranspose(two, "elu"), DenseTranspose(one, use_bias=False)]
        model = Sequential([Input((130,)), GaussianNoise(0.1, seed=1), one, BatchNormalization(), two, *backs], seed=1)
        model.compile(Adam(global_clipnorm=0.5), "mse")
        model.fit(x, x, epochs=3, batch_size=24, verbose=0, threads=threads)
        found.append([w.tobytes() for w in model.get_weights()])
    assert found[0] == found[1] == found[2]


def test_the_book_s_way_of_putting_it_together():
    one, two = Dense(10, "selu"), Dense(3, "selu")
    encoder = Sequential([Flatten(input_shape=(4, 4)), one, two])
    decoder = Sequential([DenseTranspose(two, activation="selu"), DenseTranspose(one, activation="sigmoid")])
    model = Sequential([encoder, decoder])
    model.compile("nadam", "binary_crossentropy")
    x = np.random.default_rng(0).random((20, 4, 4))
    model.fit(x, x.reshape(20, 16), epochs=2, verbose=0)
    assert model.predict(x, verbose=0).shape == (20, 16)
    assert encoder.predict(x, verbose=0).shape == (20, 3)


def test_values():
    x = Input((5,))
    dense = Dense(3, name="d")
    code = dense(x)
    model = Model(x, [DenseTranspose(dense, name="back")(code), Dense(1, name="top")(code)])
    model.compile("adam", ["mse", "mse"])
    given = rows(12, 5).astype(np.float32)
    model.fit(given, [given, given[:, :1]], epochs=2, verbose=0)
    w, b, c = (v.numpy() for v in (dense.kernel, dense.bias, model.get_layer("back").bias))
    assert np.allclose(model.predict(given, verbose=0)[0], (given @ w + b) @ w.T + c, atol=1e-5)
    again = clone_model(model)
    again.set_weights(model.get_weights())
    assert np.array_equal(again.predict(given, verbose=0)[0], model.predict(given, verbose=0)[0])


def test_a_name_stands_for_the_layer():
    model = Sequential([Input((5,)), Dense(3, name="d"), DenseTranspose("d", name="back")])
    assert model.get_layer("back").dense is model.get_layer("d")
    with pytest.raises(ValueError, match="a Dense layer below it"):  # of that name, but another layer
        Sequential([Input((5,)), Dense(3, name="d"), model.get_layer("back")])


def test_a_model_that_failed_does_not_keep_the_layer():
    for attempt in (
        lambda back: Sequential([Input((5,)), Dense(3, name="d"), Dense(4), back]),
        lambda back: back(Dense(4)(Dense(3, name="d")(Input((5,))))),
    ):
        back = DenseTranspose("d", name="back")
        with pytest.raises(ValueError, match=r"input has shape \(rows, 4\)"):
            attempt(back)
        model = Sequential([Input((6,)), Dense(3, name="d"), back])
        assert back.dense is model.get_layer("d")
        assert model.output_shape == (None, 6)
    back = DenseTranspose("d")
    back(Dense(3, name="d")(Input((5,))))
    with pytest.raises(ValueError, match="a Dense layer below it"):
        back(Dense(3, name="d")(Input((5,))))


def test_clones_and_files(tmp_path):
    model, x = autoencoder(), rows()
    model.compile("adam", "mse")
    model.fit(x, x, epochs=2, verbose=0)
    clone = clone_model(model)
    assert clone.get_layer("back_one").dense is clone.get_layer("one")
    clone.set_weights(model.get_weights())
    model.save(tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    for other in (clone, loaded):
        assert np.array_equal(other.predict(x, verbose=0), model.predict(x, verbose=0))
    before = [w.tobytes() for w in model.get_weights()]
    clone.fit(x, x, epochs=1, verbose=0)
    assert [w.tobytes() for w in model.get_weights()] == before
    loaded.fit(x, x, epochs=1, verbose=0)
    model.fit(x, x, epochs=1, verbose=0)
    assert [w.tobytes() for w in model.get_weights()] == [w.tobytes() for w in loaded.get_weights()]


def test_the_kernel_learns_where_its_own_layer_does():
    model, x = autoencoder(), rows()
    model.get_layer("one").trainable = model.get_layer("back_two").trainable = False
    model.compile("adam", "mse")
    before = dict(zip((v.path for v in model.variables), model.get_weights(), strict=True))
    model.fit(x, x, epochs=1, verbose=0)
    changed = {v.path for v in model.variables if not np.array_equal(v.numpy(), before[v.path])}
    assert changed == {"two/kernel", "two/bias", "back_one/bias"}


def test_parts_of_a_dense_layer():
    layer = DenseTranspose("d", PReLU(), bias_initializer="ones", bias_regularizer="l2", bias_constraint="non_neg")
    model = Sequential([Input((5,)), Dense(3, name="d"), layer])
    assert [v.name for v in layer.variables] == ["bias", "alpha"]
    model.compile("sgd", "mse")
    x = rows(8, 5)
    assert model.evaluate(x, x, verbose=0) > np.mean((x - model.predict(x, verbose=0)) ** 2) + 0.04
    again = layers.REGISTRY.make("test", "layer", {"class_name": "DenseTranspose", "config": layer.get_config()})
    assert again.get_config() == layer.get_config()
    assert DenseTranspose("d", use_bias=False, name="n").get_config()["use_bias"] is False


def test_what_is_refused():
    with pytest.raises(TypeError, match=r"DenseTranspose: dense: expected a Dense layer, or the name of one, rec"):
        DenseTranspose(3)
    with pytest.raises(ValueError, match=r"'back'.*: dense: expected a Dense layer below it .*, received 'other'"):
        Sequential([Input((5,)), Dense(3, name="d"), DenseTranspose("other", name="back")])
    other = Dense(3, name="other")
    with pytest.raises(ValueError, match="a Dense layer below it"):
        Sequential([Input((5,)), Dense(3), DenseTranspose(other)])
    with pytest.raises(ValueError, match="a Dense layer below it"):
        DenseTranspose(other)(Input((3,)))
    with pytest.raises(ValueError, match=r"input has shape \(rows, 4\).*\(rows, 3\)"):
        Sequential([Input((5,)), Dense(3, name="d"), Dense(4), DenseTranspose("d")])
    with pytest.raises(TypeError, match="there is no argument 'kernel_initializer'"):
        DenseTranspose("d", kernel_initializer="zeros")
    model = autoencoder()
    with pytest.raises(ValueError, match="fold_batch_norm: expected layers with kernels of their own"):
        model.fold_batch_norm()
    model.get_layer("one").trainable = False
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match=r"cache_frozen: .* a kernel that is used more than once"):
        model.fit(rows(), rows(), cache_frozen=True, verbose=0)


def test_other_packages_have_no_such_layer(tmp_path):
    pytest.importorskip("h5py")
    model = Sequential([Input((5,)), Dense(3, name="d"), DenseTranspose("d", use_bias=False, name="back")])
    with pytest.raises(ValueError, match="to_torch: PyTorch has no module like DenseTranspose 'back'"):
        evenflow.convert.to_torch(model)
    with pytest.raises(ValueError, match="to_keras: Keras has no layer like DenseTranspose 'back'"):
        evenflow.convert.to_keras(model, tmp_path / "net.weights.h5")
    assert not list(tmp_path.iterdir())


def test_the_linter_sees_it():
    one = Dense(6, "elu", kernel_initializer="he_normal", name="one")
    model = Sequential([Input((9,)), one, DenseTranspose(one, "sigmoid", name="back")])
    model.compile("adam", "binary_crossentropy")
    assert model.check() == []
    two = Dense(4, name="two")
    linear = Sequential([Input((9,)), Dense(6, name="one"), two, DenseTranspose(two, name="back")])
    linear.compile("adam", "binary_crossentropy")
    assert [(finding.rule, finding.layer) for finding in linear.check()] == [
        ("no_activation", "one"),
        ("missing_softmax", "back"),
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"units": 4, "transposes": "d"}, r"expected a dense layer with a kernel of its own \[4, 3\], received 'd'"),
        ({"units": 5, "transposes": "nobody"}, "'nobody'"),
        ({"units": 5, "transposes": "act"}, "in a dense layer, the name of one"),
        ({"units": 5, "transposes": "d", "regularizers": {"kernel": {"l2": 1.0}}}, "there is no variable 'kernel'"),
    ],
)
def test_what_the_core_refuses(entry, message):
    own = [
        {"kind": "dense", "name": "d", "units": 3, "use_bias": True},
        {"kind": "activation", "name": "act", "activation": "tanh"},
    ]
    spec = {"inputs": 5, "layers": [*own, {"kind": "dense", "name": "back", **entry}], "loss": None, "metrics": []}
    with pytest.raises(ValueError, match=message):
        evenflow.Program(spec)
