"""`evenflow.torch` in PyTorch's own loops: modules, optimizers and clipping, against PyTorch on the same data."""

import copy
import io
import pickle
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

import evenflow

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # PyTorch's own
]

from torch import nn  # noqa: E402

DTYPES = [torch.float32, torch.float64]
by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
ACTIVATIONS = {
    "relu": nn.ReLU(), "relu6": nn.ReLU6(), "leaky_relu": nn.LeakyReLU(0.03), "elu": nn.ELU(0.7), "celu": nn.CELU(0.5),
    "selu": nn.SELU(), "gelu": nn.GELU(), "gelu_tanh": nn.GELU("tanh"), "silu": nn.SiLU(), "mish": nn.Mish(),
    "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid(), "log_sigmoid": nn.LogSigmoid(), "softsign": nn.Softsign(),
    "tanh_shrink": nn.Tanhshrink(),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def close(a: Any, b: Any, dtype: Any, factor: float = 1.0) -> None:
    """Within roundings of the largest element."""
    eps = torch.finfo(dtype).eps
    bound = 300 * factor * eps * max(float(b.detach().abs().max()), 1e-3)
    assert float((a.detach() - b.detach()).abs().max()) <= bound


def pair(dtype: Any, *modules: nn.Module) -> tuple[nn.Module, nn.Module]:
    """PyTorch's network, and a fused one with weights of its own that are the same."""
    theirs = nn.Sequential(*modules).to(dtype)
    return theirs, evenflow.torch.from_torch(copy.deepcopy(theirs))


def compare(theirs: nn.Module, ours: nn.Module, x: Any, dtype: Any) -> None:
    """Output, gradients and running statistics of one pass each way."""
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [model(own) for model, own in zip((theirs, ours), inputs, strict=True)]
    close(outputs[1], outputs[0], dtype)
    weights = torch.randn_like(outputs[0])
    for output in outputs:
        (output * weights).sum().backward()
    close(inputs[1].grad, inputs[0].grad, dtype)
    size = max(float(p.grad.abs().max()) for p in theirs.parameters())
    for (name, a), (other, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == other
        assert float((a.grad - b.grad).abs().max()) <= 300 * torch.finfo(dtype).eps * size, name
    for (name, a), b in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        assert a.dtype == b.dtype, name
        close(a.to(dtype), b.to(dtype), dtype)


# Modules --------------------------------------------------------------------------------------------------------------


@by_dtype
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_layer_is_pytorchs(name, dtype):
    theirs, ours = pair(dtype, nn.Linear(13, 33), nn.BatchNorm1d(33, eps=1e-3, momentum=0.3), ACTIVATIONS[name])
    assert ours.replaced == [("0", "1", "2")]
    x = torch.randn(17, 13, dtype=dtype)
    for _ in range(2):
        compare(theirs, ours, x, dtype)
    theirs.eval(), ours.eval()
    compare(theirs, ours, x, dtype)
    with torch.no_grad():
        close(ours(x), theirs(x), dtype)


@by_dtype
@pytest.mark.parametrize(
    "norm",
    [
        lambda: nn.BatchNorm1d(20, momentum=None),
        lambda: nn.BatchNorm1d(20, affine=False),
        lambda: nn.BatchNorm1d(20, track_running_stats=False),
        lambda: nn.Identity(),
    ],
    ids=["cumulative", "not affine", "untracked", "none"],
)
@pytest.mark.parametrize("bias", [True, False])
def test_forms_of_normalization(norm, bias, dtype):
    theirs, ours = pair(dtype, nn.Linear(9, 20, bias=bias), norm(), nn.ELU())
    x = torch.randn(12, 9, dtype=dtype)
    for _ in range(3):
        compare(theirs, ours, x + torch.randn(1, dtype=dtype), dtype)
    theirs.eval(), ours.eval()
    compare(theirs, ours, x, dtype)


@by_dtype
def test_frozen_normalization_in_training(dtype):
    theirs, ours = pair(dtype, nn.Linear(9, 20), nn.BatchNorm1d(20), nn.SiLU())
    for model in (theirs, ours):
        model(torch.linspace(-1, 1, 63, dtype=dtype).reshape(7, 9))
        model[1].eval()
    compare(theirs, ours, torch.randn(12, 9, dtype=dtype), dtype)


@by_dtype
def test_leading_dimensions_without_normalization(dtype):
    theirs, ours = pair(dtype, nn.Linear(5, 7), nn.GELU())
    compare(theirs, ours, torch.randn(2, 3, 5, dtype=dtype), dtype)
    compare(theirs, ours, torch.randn(5, dtype=dtype), dtype)
    compare(theirs, ours, torch.randn(5, 4, dtype=dtype).T, dtype)


def make(fused: bool, dtype: Any) -> nn.Module:
    """The same network with the same weights, fused or PyTorch's."""
    torch.manual_seed(1)
    model = evenflow.torch.FusedMLP(10, [32, 24], 3, activation="elu", dtype=dtype)
    return model if fused else nn.Sequential(*model)


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_a_hundred_steps_are_pytorchs(optimizer):
    dtype = torch.float64
    x, y = torch.randn(256, 10, dtype=dtype), torch.randint(0, 3, (256,))
    losses = []
    for fused in (False, True):
        model = make(fused, dtype)
        options = {"lr": 0.05, "momentum": 0.9} if optimizer == "SGD" else {"lr": 3e-3}
        steps = getattr(evenflow.torch if fused else torch.optim, optimizer)(model.parameters(), **options)
        history = []
        for i in range(100):
            own = slice(32 * (i % 8), 32 * (i % 8) + 32)
            loss = nn.functional.cross_entropy(model(x[own]), y[own])
            steps.zero_grad()
            loss.backward()
            steps.step()
            history.append(loss.item())
        losses.append(history)
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-7)


def test_checkpoints_load_both_ways():
    theirs, ours = make(False, torch.float32), make(True, torch.float32)
    ours(torch.randn(8, 10))
    theirs.load_state_dict(ours.state_dict())
    assert list(theirs.state_dict()) == list(ours.state_dict())
    other = make(True, torch.float32)
    other.load_state_dict(theirs.state_dict())
    x = torch.randn(4, 10)
    close(other.eval()(x), theirs.eval()(x), torch.float32)
    file = io.BytesIO()
    torch.save(ours.state_dict(), file)
    file.seek(0)
    theirs.load_state_dict(torch.load(file))
    dense = evenflow.torch.FusedDense(4, 5, batch_norm=True, activation="relu", dropout=0.5)
    assert [type(m).__name__ for m in dense] == ["Linear", "BatchNorm1d", "ReLU", "Dropout"]
    assert list(dense.state_dict()) == list(nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5)).state_dict())


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_gradcheck(norm, training):
    model = evenflow.torch.FusedDense(4, 5, batch_norm=norm, activation="tanh", dtype=torch.float64).train(training)
    inputs = [torch.randn(6, 4, dtype=torch.float64, requires_grad=True), *model.parameters()]

    def run(x: Any, *parameters: Any) -> Any:
        return model(x)

    assert torch.autograd.gradcheck(run, inputs)


def test_second_derivatives_are_refused():
    model = evenflow.torch.FusedDense(4, 5, activation="tanh")
    x = torch.randn(3, 4, requires_grad=True)
    (first,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        first.sum().backward()


def test_dropout_keeps_the_expectation_and_its_mask():
    model = evenflow.torch.FusedDense(8, 500, activation="relu", dropout=0.25)
    x = torch.randn(200, 8)
    plain = model.eval()(x)
    y = model.train()(x.requires_grad_())
    dropped = (y == 0) & (plain != 0)
    assert abs(dropped.sum().item() / (plain != 0).sum().item() - 0.25) < 0.02
    close(y[~dropped], (plain / 0.75)[~dropped], torch.float32)
    y.sum().backward()
    weight = model[0].weight
    reference = torch.autograd.grad((model.eval()(x) * (~dropped) / 0.75).sum(), weight)[0]
    close(weight.grad, reference, torch.float32)
    torch.manual_seed(5)
    first = model.train()(x)
    torch.manual_seed(5)
    assert torch.equal(model(x), first)
    assert not torch.equal(model(x), first)


def test_what_the_kernels_do_not_take_goes_through_pytorch():
    theirs, ours = pair(torch.float32, nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU())
    for model in (theirs, ours):
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            model(torch.randn(1, 4))
    half = ours.to(torch.bfloat16)
    assert half(torch.randn(3, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16
    seen = []
    ours = ours.to(torch.float32)
    ours[2].register_forward_hook(lambda *_: seen.append(1))
    ours(torch.randn(3, 4))
    assert seen == [1]
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        ours(torch.randn(3, 5))


def test_from_torch_says_what_it_replaced():
    model = nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.LayerNorm(8), nn.Sequential(nn.Linear(8, 8), nn.Softmax(1)),
        nn.Linear(8, 2),
    )  # fmt: skip
    fused = evenflow.torch.from_torch(model)
    assert fused.replaced == [("0", "1", "2"), ("4.0",), ("5",)]
    assert [name for name, _ in fused.kept] == ["3", "4.1"]
    assert "3 (LayerNorm), 4.1 (Softmax)" in repr(fused)
    assert fused[0] is model[0]
    assert list(fused.state_dict()) == list(model.state_dict())
    x = torch.randn(5, 4)
    close(fused.eval()(x), model.eval()(x), torch.float32)
    with pytest.raises(TypeError, match=r"from_torch: argument 'model': expected an nn.Sequential, received a Linear"):
        evenflow.torch.from_torch(nn.Linear(1, 1))
    with pytest.raises(ValueError, match="FusedDense: argument 'activation'"):
        evenflow.torch.FusedDense(1, 1, activation="reelu")
    with pytest.raises(ValueError, match="FusedMLP: argument 'dropout'"):
        evenflow.torch.FusedMLP(1, [2], 1, dropout=1.0)


def test_modules_are_copied_pickled_and_sliced():
    model = make(True, torch.float32).eval()
    x = torch.randn(3, 10)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model[:]):
        assert torch.equal(other(x), model(x))
    assert type(model[:3]) is evenflow.torch.FusedSequential
    assert model[:3](x).shape == (3, 32)
    model[2] = nn.Tanh()
    assert torch.allclose(model[:3](x), torch.tanh(model[:2](x)), atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_under_torch_compile(training):
    model = make(True, torch.float32).train(training)
    other = copy.deepcopy(model)
    compiled = torch.compile(other, backend="aot_eager", fullgraph=True)
    x = torch.randn(16, 10)
    expected, found = model(x), compiled(x)
    close(found, expected, torch.float32)
    for result in (expected, found):
        result.square().sum().backward()
    for (name, a), b in zip(other.named_parameters(), model.parameters(), strict=True):
        close(a.grad, b.grad, torch.float32, 10), name
    for a, b in zip(other.buffers(), model.buffers(), strict=True):
        close(a.float(), b.float(), torch.float32)


def test_custom_ops_keep_pytorchs_rules():
    functions = pytest.importorskip("evenflow.torch.functions")
    tensors = [torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in ((6, 4), (5, 4), (5,), (5,), (5,))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.library.opcheck(
            functions.compiled_forward, (*tensors, None, None, None, "tanh", [], 1e-5, 0.0),
            test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
        )  # fmt: skip


def test_custom_ops_take_weights_in_both_layouts():
    functions = pytest.importorskip("evenflow.torch.functions")
    x, w, b, gamma, beta = (torch.randn(*s, dtype=torch.float64) for s in ((6, 4), (5, 4), (5,), (5,), (5,)))
    results = []
    for transposed in (True, False):
        tensors = [t.clone().requires_grad_() for t in (x, w if transposed else w.T.contiguous(), b, gamma, beta)]
        y, *_ = functions.compiled_forward(*tensors, None, None, None, "tanh", [], 1e-5, 0.0, transposed)
        (y**2).sum().backward()
        results.append([y.detach(), *(t.grad for t in tensors)])
    results[1][2] = results[1][2].T
    for one, other in zip(*results, strict=True):
        close(one, other, torch.float64)


class Rows(torch.utils.data.Dataset):
    """Rows that a fused module makes."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        with torch.no_grad():
            return self.model(torch.full((40, 256), float(index)))[0]


def test_in_workers_after_fork():
    model = evenflow.torch.FusedDense(256, 512, activation="relu")
    expected = torch.stack([Rows(model)[i] for i in range(8)])
    loader = torch.utils.data.DataLoader(Rows(model), 4, num_workers=2, multiprocessing_context="fork")
    with warnings.catch_warnings():
        # Fork beside threads, which is what is tested: Python warns of it, and JAX where another test imported it.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
        found = torch.cat(list(loader))
    assert torch.equal(found, expected)


def test_importing_the_door_imports_no_torch():
    code = "import sys, evenflow, evenflow.torch as t; t.AdamW(); dir(t); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
