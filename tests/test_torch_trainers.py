"""Fused modules and native optimizers inside trainers that others wrote, beside PyTorch's own in the same trainer."""

import copy
import logging
from typing import Any

import numpy as np
import pytest

import evenflow

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore"),  # what these trainers say of themselves
]

from torch import nn  # noqa: E402


def network(fused: bool) -> nn.Module:
    """The same weights every time."""
    torch.manual_seed(3)
    made = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 16), nn.ELU(), nn.Linear(16, 3))
    return evenflow.torch.from_torch(made) if fused else made


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((192, 8)).astype(np.float32)
    return x, (np.abs(x[:, :3]) @ rng.uniform(0.5, 1, (3, 3))).argmax(axis=1)


def test_skorch(data):
    skorch = pytest.importorskip("skorch")
    (x, y), nets = data, []
    for fused in (False, True):
        net = skorch.NeuralNetClassifier(
            network(fused),
            criterion=nn.CrossEntropyLoss,
            optimizer=evenflow.torch.AdamW if fused else torch.optim.AdamW,
            lr=0.01,
            max_epochs=8,
            batch_size=32,
            iterator_train__shuffle=False,
            train_split=None,
            verbose=0,
        )
        nets.append(net.fit(x, y))
    losses = [net.history[:, "train_loss"] for net in nets]
    assert losses[0][-1] < 0.7 * losses[0][0]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    np.testing.assert_allclose(nets[1].predict_proba(x), nets[0].predict_proba(x), rtol=1e-3, atol=1e-4)
    again = copy.deepcopy(nets[1])
    np.testing.assert_array_equal(again.predict(x), nets[1].predict(x))


def test_lightning(data, tmp_path):
    lightning = pytest.importorskip("lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Classifier(lightning.LightningModule):
        def __init__(self, fused: bool) -> None:
            super().__init__()
            self.fused, self.net, self.losses = fused, network(fused), []

        def training_step(self, batch: Any, index: int) -> Any:
            loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            self.losses.append(loss.item())
            return loss

        def configure_optimizers(self) -> Any:
            kind = evenflow.torch.SGD if self.fused else torch.optim.SGD
            optimizer = kind(self.parameters(), lr=0.05, momentum=0.9)
            return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)]

    (x, y), found = data, []
    rows = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    for fused in (False, True):
        trainer = lightning.Trainer(
            max_epochs=6,
            accelerator="cpu",
            gradient_clip_val=0.5,
            default_root_dir=tmp_path,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        model = Classifier(fused)
        trainer.fit(model, torch.utils.data.DataLoader(rows, batch_size=32))
        trainer.save_checkpoint(tmp_path / f"{fused}.ckpt")
        found.append(model)
    assert np.mean(found[0].losses[-6:]) < 0.8 * np.mean(found[0].losses[:6])
    np.testing.assert_allclose(found[1].losses, found[0].losses, rtol=1e-3)
    # A checkpoint of one is read by the other.
    theirs = torch.load(tmp_path / "False.ckpt", weights_only=False)
    found[1].load_state_dict(theirs["state_dict"])
    found[1].eval(), found[0].eval()
    with torch.no_grad():
        batch = torch.from_numpy(x)
        torch.testing.assert_close(found[1].net(batch), found[0].net(batch), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_compiled_by_inductor(data):
    """Custom operators between what the compiler writes itself."""
    x, y = (torch.from_numpy(array) for array in data)
    found = []
    for compiled in (False, True):
        net = nn.Sequential(network(True), nn.LogSoftmax(dim=-1))
        step = torch.compile(net, backend="inductor") if compiled else net
        loss = nn.functional.nll_loss(step(x * 2), y)
        loss.backward()
        found.append((loss.detach(), [p.grad for p in net.parameters()]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)
