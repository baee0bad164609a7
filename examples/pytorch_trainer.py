"""A training script as PyTorch's tutorials write it, and the same with two lines changed.

The loop, the DataLoader, the loss and the scheduler stay PyTorch's. The two lines are those that mention evenflow.
"""

import time

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import evenflow


def data(rows=8192):
    """54 columns and 7 classes, as a table of forests has them."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 54, generator=generator)
    score = x[:, :7] * x[:, 7:14] + x[:, 14:21]
    return TensorDataset(x, score.argmax(1))


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(54, 256), nn.BatchNorm1d(256), nn.SiLU(),
        nn.Linear(256, 256), nn.BatchNorm1d(256), nn.SiLU(),
        nn.Linear(256, 256), nn.BatchNorm1d(256), nn.SiLU(),
        nn.Linear(256, 7),
    )  # fmt: skip


def train(dataloader, model, loss_fn, optimizer):
    """As https://docs.pytorch.org/tutorials/beginner/basics/optimization_tutorial.html has it."""
    model.train()
    total = 0.0
    for x, y in dataloader:
        pred = model(x)
        loss = loss_fn(pred, y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        total += loss.item() * len(x)
    return total / len(dataloader.dataset)


def start(fused):
    """Model and optimizer, before and after."""
    model = network()
    if not fused:
        return model, torch.optim.AdamW(model.parameters(), lr=1e-3)
    model = evenflow.torch.from_torch(model)  # the first line
    return model, evenflow.torch.AdamW(model.parameters(), lr=1e-3)  # the second


def main(epochs=3, rows=8192):
    """Epochs of both in turn: (loss of the last epoch, least seconds of an epoch), before and after."""
    batches = [(x, y) for x, y in DataLoader(data(rows), batch_size=256)]  # the same in memory: models are timed alone

    class InMemory(list):
        dataset = range(rows)

    runs = {fused: start(fused) for fused in (False, True)}
    times, losses = {False: [], True: []}, {}
    for _ in range(epochs):
        for fused, (model, optimizer) in runs.items():
            begin = time.perf_counter()
            losses[fused] = train(InMemory(batches), model, nn.CrossEntropyLoss(), optimizer)
            times[fused].append(time.perf_counter() - begin)
    for fused, name in ((False, "PyTorch"), (True, "two lines changed")):
        print(f"{name}: loss {losses[fused]:.4f}, {min(times[fused]) / len(batches) * 1e6:.0f} us per step at best")
    return {fused: (losses[fused], min(times[fused])) for fused in runs}


if __name__ == "__main__":
    main()
