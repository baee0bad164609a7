"""`evenflow.torch.optim` against torch.optim: steps, state dicts both ways, schedulers, what is not native."""

import copy
from typing import Any

import pytest

import evenflow

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

from torch import nn  # noqa: E402

SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {"weight_decay": 0.1}),
    ("AdamW", {"amsgrad": True, "lr": 0.01}),
    ("NAdam", {}),
    ("NAdam", {"weight_decay": 0.1}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "weight_decay": 0.01}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "eps": 1e-3}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.01, "weight_decay": 0.01, "initial_accumulator_value": 0.1}),
]
by_setting = pytest.mark.parametrize(("name", "options"), SETTINGS, ids=lambda v: str(v))


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def parameters(dtype: Any = torch.float64) -> list[Any]:
    torch.manual_seed(1)
    return [nn.Parameter(torch.randn(*shape, dtype=dtype)) for shape in ((5, 3), (33,), (1,), (17, 20))]


def give_gradients(sets: list[list[Any]], step: int) -> None:
    """The same for each set; the third parameter has none in the first steps."""
    torch.manual_seed(100 + step)
    for i, group in enumerate(zip(*sets, strict=True)):
        gradient = torch.randn_like(group[0])
        for parameter in group:
            parameter.grad = None if i == 2 and step < 3 else gradient.clone()


def close(ours: list[Any], theirs: list[Any], tolerance: float = 1e-9) -> None:
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def is_native(optimizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test where PyTorch's own step is taken."""
    base = next(c for c in type(optimizer).__mro__ if c.__module__.startswith("torch.optim"))
    monkeypatch.setattr(base, "step", lambda *_: pytest.fail("PyTorch's step was taken"))


@by_setting
def test_two_hundred_steps(name, options, monkeypatch):
    ours, theirs = parameters(), parameters()
    right = getattr(torch.optim, name)(theirs, **options)
    own = getattr(evenflow.torch, name)(ours, **options)
    assert isinstance(own, getattr(torch.optim, name))
    assert type(own).__module__ == "evenflow.torch.optim"
    assert own.defaults == right.defaults
    for step in range(200):
        give_gradients([ours, theirs], step)
        right.step()
    torch_steps = [p.detach().clone() for p in theirs]
    is_native(own, monkeypatch)
    for step in range(200):
        give_gradients([ours, theirs], step)
        own.step()
    close([p.detach() for p in ours], torch_steps)


@by_setting
@pytest.mark.parametrize("direction", ["to evenflow", "to PyTorch"])
def test_state_dicts_are_interchangeable(name, options, direction):
    classes = [getattr(torch.optim, name), getattr(evenflow.torch, name)]
    first, second = classes if direction == "to evenflow" else classes[::-1]
    sets = [parameters(), parameters()]
    straight, started = classes[0](sets[0], **options), first(sets[1], **options)
    for step in range(5):
        give_gradients(sets, step)
        straight.step(), started.step()
    resumed = second(sets[1], **options)
    state = copy.deepcopy(started.state_dict())
    expected = straight.state_dict()
    assert state["param_groups"] == expected["param_groups"]
    for index, values in expected["state"].items():
        assert state["state"][index].keys() == values.keys()
        for key, value in values.items():
            torch.testing.assert_close(state["state"][index][key], value, rtol=1e-9, atol=1e-12)
    resumed.load_state_dict(state)
    for step in range(5, 10):
        give_gradients(sets, step)
        straight.step(), resumed.step()
    close([p.detach() for p in sets[1]], [p.detach() for p in sets[0]])


def test_groups_schedulers_and_closures():
    sets = [parameters(torch.float32), parameters(torch.float32)]
    runs = []
    for module, own in zip((torch.optim, evenflow.torch), sets, strict=True):
        groups = [{"params": own[:2], "lr": 0.1, "weight_decay": 0.0}, {"params": own[2:]}]
        optimizer = module.AdamW(groups, lr=0.01, weight_decay=0.1)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=30)
        runs.append((optimizer, scheduler))
    for step in range(30):
        give_gradients(sets, step)
        for optimizer, scheduler in runs:
            assert optimizer.step(lambda: 1.5) == 1.5
            scheduler.step()
    assert runs[0][1].get_last_lr() == runs[1][1].get_last_lr()
    close([p.detach() for p in sets[1]], [p.detach() for p in sets[0]], 1e-5)


@pytest.mark.parametrize("what", ["maximize", "strides", "bfloat16"])
def test_the_rest_is_pytorchs_own_step(what):
    sets = []
    for module in (torch.optim, evenflow.torch):
        torch.manual_seed(0)
        p = torch.randn(4, 6)
        p = p.T if what == "strides" else p.bfloat16() if what == "bfloat16" else p
        parameter = nn.Parameter(p)
        optimizer = module.Adam([parameter], lr=0.1, maximize=what == "maximize")
        for _ in range(3):
            parameter.grad = torch.ones_like(parameter)
            optimizer.step()
        sets.append(parameter.detach())
    assert torch.equal(*sets)


def test_a_step_of_pytorchs_begins_with_its_own_states():
    """What begun before the parameter that the kernels do not take leaves nothing behind, and hooks run once."""
    options: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}
    runs = []
    for module in (torch.optim, evenflow.torch):
        torch.manual_seed(0)
        own = [nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(4, 6).T)]
        optimizer = module.SGD(own, **options)
        hooks: list[str] = []
        optimizer.register_step_pre_hook(lambda *_, to=hooks: to.append("before"))
        optimizer.register_step_post_hook(lambda *_, to=hooks: to.append("after"))
        for _ in range(3):
            for p in own:
                p.grad = p.detach() + 1
            optimizer.step()
        assert hooks == ["before", "after"] * 3
        runs.append((own, optimizer.state_dict()["state"]))
    close([p.detach() for p in runs[1][0]], [p.detach() for p in runs[0][0]], 1e-6)
    for index, values in runs[0][1].items():
        assert runs[1][1][index].keys() == values.keys()
        torch.testing.assert_close(runs[1][1][index]["momentum_buffer"], values["momentum_buffer"])


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "NAdam", "RMSprop", "Adagrad"])
def test_a_step_is_a_change_in_place(name):
    for module in (torch.optim, evenflow.torch):
        layer = nn.Linear(3, 1)
        optimizer = getattr(module, name)(layer.parameters(), lr=0.1)
        loss = layer(torch.randn(5, 3, requires_grad=True)).square().mean()
        loss.backward(retain_graph=True)
        optimizer.step()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


def test_clipping_is_a_change_in_place():
    p = parameters()
    give_gradients([p], 5)
    before = [one.grad._version for one in p]
    evenflow.torch.clip_grad_norm_(p, 0.1)
    assert all(one.grad._version > version for one, version in zip(p, before, strict=True))


@pytest.mark.parametrize(
    ("name", "options", "wrong"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}, {"lr": float("nan")}),
        ("Adam", {"lr": 0.1}, {"eps": 0.0}),
        ("NAdam", {"lr": 0.1}, {"eps": 0.0}),
        ("Adagrad", {"lr": 0.1, "lr_decay": 0.5}, {"eps": 0.0}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("steps", [0, 2])
def test_a_refused_step_did_not_happen(name, options, wrong, steps):
    sets, runs = [parameters(), parameters()], []
    for own in sets:
        optimizer = getattr(evenflow.torch, name)(own, **options)
        for step in range(steps):
            give_gradients([own], step + 3)
            optimizer.step()
        runs.append(optimizer)
    before = copy.deepcopy(runs[1].state_dict()["state"])
    give_gradients(sets, 9)
    kept = {key: runs[1].param_groups[0][key] for key in wrong}
    runs[1].param_groups[0].update(wrong)
    with pytest.raises(ValueError, match="expected a number"):
        runs[1].step()
    runs[1].param_groups[0].update(kept)
    torch.testing.assert_close(runs[1].state_dict()["state"], before, rtol=0, atol=0)
    for optimizer in runs:
        optimizer.step()
    close([p.detach() for p in sets[1]], [p.detach() for p in sets[0]], 0)
    torch.testing.assert_close(runs[1].state_dict()["state"], runs[0].state_dict()["state"], rtol=0, atol=0)


def test_plain_sgd_has_no_state():
    states = []
    for module in (torch.optim, evenflow.torch):
        own = parameters()
        optimizer = module.SGD(own, lr=0.1)
        give_gradients([own], 5)
        optimizer.step()
        states.append(optimizer.state_dict()["state"])
    assert states[0] == states[1] == {}


def test_arguments_are_checked_by_pytorch_and_names_without_native_step():
    with pytest.raises(ValueError, match="Invalid learning rate"):
        evenflow.torch.SGD(parameters(), lr=-1.0)
    with pytest.raises(TypeError, match="Adamax: lr: expected a learning rate"):
        evenflow.torch.Adamax(parameters(), lr=0.1)
    assert not isinstance(evenflow.torch.SGD(lr=0.1), torch.optim.Optimizer)  # for `compile`


@pytest.mark.parametrize("limit", [0.1, 5.0, 1e6])
def test_clip_grad_norm(limit):
    sets = [parameters(torch.float32), parameters(torch.float32)]
    give_gradients(sets, 5)
    right = nn.utils.clip_grad_norm_(sets[0], limit)
    norm = evenflow.torch.clip_grad_norm_(iter(sets[1]), limit)
    torch.testing.assert_close(norm, right)
    close([p.grad for p in sets[1]], [p.grad for p in sets[0]], 1e-6)
    give_gradients(sets, 6)
    torch.testing.assert_close(
        evenflow.torch.clip_grad_norm_(sets[1], limit, norm_type=1.0), nn.utils.clip_grad_norm_(sets[0], limit, 1.0)
    )
    sets[0][0].grad[0, 0] = float("nan")
    with pytest.raises(RuntimeError, match="non-finite"):
        evenflow.torch.clip_grad_norm_(sets[0], limit, error_if_nonfinite=True)
