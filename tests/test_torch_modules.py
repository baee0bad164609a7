"""Fused modules beside PyTorch's own: what a call reads at each call, and what goes through PyTorch's modules."""

import copy
from typing import Any

import pytest

import evenflow

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # PyTorch's own
]

from torch import nn  # noqa: E402


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def pair(*modules: nn.Module) -> tuple[nn.Module, nn.Module]:
    """PyTorch's network, and a fused one with weights of its own that are the same."""
    theirs = nn.Sequential(*modules)
    return theirs, evenflow.torch.from_torch(copy.deepcopy(theirs))


def close(a: Any, b: Any) -> None:
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 0, 5), (0, 5), (0, 3, 5), (5,), (2, 3, 4, 5)], ids=str)
def test_shapes_of_any_rank_and_no_elements(shape):
    theirs, ours = pair(nn.Linear(5, 4), nn.Tanh())
    inputs = [torch.randn(shape, requires_grad=True)]
    inputs.append(inputs[0].detach().clone().requires_grad_())
    outputs = [model(x) for model, x in zip((theirs, ours), inputs, strict=True)]
    assert outputs[1].shape == outputs[0].shape
    close(outputs[1], outputs[0])
    for output in outputs:
        output.sum().backward()
    close(inputs[1].grad, inputs[0].grad)
    close(ours[0].weight.grad, theirs[0].weight.grad)


def test_hyper_parameters_are_those_of_the_call():
    theirs, ours = pair(nn.Linear(5, 8), nn.LeakyReLU(0.1), nn.Linear(8, 8), nn.GELU(), nn.Dropout(0.5))
    x = torch.randn(6, 5)
    theirs(x), ours(x)
    for model in (theirs, ours):
        model.eval()
        model[1].negative_slope = 0.9
        model[3].approximate = "tanh"
    close(ours(x), theirs(x))
    for model in (theirs, ours):
        model[1].negative_slope = -0.5  # no kernel has it
        model.train()
        model[4].p = 1.0
    assert not ours(x).any()
    ours[4].p = 0.0
    close(ours(x), theirs[:4](x))


def test_parameters_that_the_kernels_do_not_take():
    theirs, ours = pair(nn.Linear(5, 8), nn.ReLU())
    for model in (theirs, ours):
        model[0].bias = nn.Parameter(torch.arange(16.0)[::2])
    assert not ours[0].bias.is_contiguous()
    x = torch.randn(6, 5)
    close(ours(x), theirs(x))

    theirs, ours = pair(nn.Linear(5, 8), nn.BatchNorm1d(8).double(), nn.ReLU())
    answers = []
    for model in (theirs, ours):
        try:
            answers.append(model(x).dtype)
        except RuntimeError as error:
            answers.append(str(error))
    assert answers[1] == answers[0]


def test_hooks_of_all_modules_see_every_module():
    _, ours = pair(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU())
    x = torch.randn(6, 5)
    ours(x)
    everywhere = nn.modules.module
    for register in (everywhere.register_module_forward_hook, everywhere.register_module_forward_pre_hook):
        seen: list[str] = []
        handle = register(lambda module, *_, to=seen: to.append(type(module).__name__))
        try:
            ours(x)
        finally:
            handle.remove()
        assert sorted(seen) == ["BatchNorm1d", "FusedSequential", "Linear", "ReLU"]
    backward: list[str] = []
    handle = everywhere.register_module_full_backward_hook(lambda module, *_: backward.append(type(module).__name__))
    try:
        ours(x.requires_grad_()).sum().backward()
    finally:
        handle.remove()
    assert "ReLU" in backward


def test_a_function_that_stands_in_for_forward():
    _, ours = pair(nn.Linear(5, 8), nn.ReLU())
    ours[1].forward = lambda x: x * 0 + 7
    assert (ours(torch.randn(6, 5)) == 7).all()


class Residual(nn.Sequential):
    """Its own way through its modules."""

    def forward(self, x: Any) -> Any:
        return x + super().forward(x)


class Named(nn.Sequential):
    """nn.Sequential by another name."""


def test_from_torch_drops_no_forward_and_no_hooks():
    with pytest.raises(TypeError, match=r"from_torch: argument 'model'.*received a Residual with a forward of its own"):
        evenflow.torch.from_torch(Residual(nn.Linear(5, 5)))
    own = nn.Sequential(nn.Linear(5, 5))
    own.forward = lambda x: x
    with pytest.raises(TypeError, match="received a Sequential with a forward of its own"):
        evenflow.torch.from_torch(own)
    x = torch.randn(6, 5)
    named = Named(nn.Linear(5, 5), nn.ReLU())
    close(evenflow.torch.from_torch(evenflow.torch.from_torch(named))(x), named(x))

    seen = []
    inner = nn.Sequential(nn.Linear(5, 5))
    inner.register_forward_hook(lambda *_: seen.append(1))
    model = nn.Sequential(Residual(nn.Linear(5, 5)), inner)
    close(evenflow.torch.from_torch(model)(x), model(x))
    assert seen == [1, 1]
