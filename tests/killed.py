"""Training that is killed and started again, in processes of its own: `python killed.py SEED KILLS FOLDER`.

Each training is a fork, which dies by SIGKILL; what it leaves is compared with what one leaves that nobody killed.
"""

import importlib.util
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

import evenflow
from evenflow import callbacks, utils
from evenflow.layers import BatchNormalization, Dense, Dropout, Input
from evenflow.models import Sequential
from evenflow.optimizers import Adam, Nadam
from evenflow.saving import files

FILES = ("log.csv", "best.safetensors", "weights", "history.json")
OPTIMIZERS = {
    "plain": lambda: Adam(0.03),
    "averages": lambda: Nadam(0.02, use_ema=True, ema_momentum=0.9, gradient_accumulation_steps=3),
}
TRAININGS = ["epochs", "steps", "part_epochs", "batches", "generator"]
if importlib.util.find_spec("pyarrow"):
    TRAININGS.append("file")


class Counter(callbacks.Callback):
    """A user's callback with a state of its own."""

    def __init__(self):
        self.losses = np.zeros(0)

    def on_epoch_end(self, epoch, logs=None):
        self.losses = np.append(self.losses, logs["loss"])

    def backup_state(self):
        return {"losses": self.losses}

    def restore_state(self, state):
        self.losses = state["losses"]


def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((66, 4)).astype(np.float32)
    return x, (x[:, 0] + 0.7 * rng.standard_normal(66) > 0).astype(np.int64)


class Batches(utils.PyDataset):
    """Batches with numbers."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        x, y = data()
        return x[index * 9 : index * 9 + 9], y[index * 9 : index * 9 + 9]


def generator():
    batches = Batches()
    number = 0
    while True:
        yield batches[number * 5 % 6]
        number += 1


def model(optimizer):
    evenflow.set_seed(3)
    stack = [Input((4,)), Dense(5, "elu"), Dropout(0.3), BatchNormalization(), Dense(2, "softmax")]
    made = Sequential(stack)
    made.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy", share])
    return made


def share(y_true, y_pred):
    """A metric in Python."""
    return (y_pred[:, 0] > 0.3).astype(float)


def train(folder, training="steps", optimizer="plain", extra=(), epochs=7):
    """Train to the end, from a backup in the folder if there is one, and leave FILES there."""
    folder = Path(folder)
    made, counter, norms = model(OPTIMIZERS[optimizer]()), Counter(), callbacks.GradientNorms(per_step=True)
    listed = [
        callbacks.BackupAndRestore(
            folder / "backup", save_freq="epoch" if training == "epochs" else 3, delete_checkpoint=False
        ),
        callbacks.EarlyStopping("loss", patience=2, min_delta=0.01, restore_best_weights=True),
        norms,
        callbacks.Health(every=2, warn=False, dead=0.1, saturated=0.1),
        callbacks.TimeBudget(3600.0),
        callbacks.ReduceLROnPlateau("loss", factor=0.7, patience=1, min_delta=0.02),
        callbacks.CSVLogger(folder / "log.csv", append=True),
        callbacks.ModelCheckpoint(folder / "best.safetensors", "loss", save_best_only=True, save_weights_only=True),
        counter,
        *extra,
    ]
    if optimizer == "averages":
        listed.append(callbacks.SwapEMAWeights(swap_on_epoch=True))
    x, y = data()
    common = {"epochs": epochs, "verbose": 0, "callbacks": listed, "threads": 1}
    if training in ("epochs", "steps"):
        history = made.fit(x, y, batch_size=9, validation_split=0.2, validation_freq=2, **common)
    elif training == "part_epochs":
        history = made.fit(x, y, batch_size=8, steps_per_epoch=4, validation_data=(x, y), **common)
    elif training == "batches":
        history = made.fit(Batches(), steps_per_epoch=4, **common)
    elif training == "file":
        table = "".join(f"{','.join(map(str, row))},{label}\n" for row, label in zip(x.tolist(), y, strict=True))
        (folder / "table.csv").write_text(f"a,b,c,d,y\n{table}")
        stream = evenflow.datasets.CsvStream(folder / "table.csv", "y", batch_size=9, block_rows=18)
        history = made.fit(stream, steps_per_epoch=5, **common)
    else:
        history = made.fit(generator(), steps_per_epoch=5, **common)
    text = json.dumps([history.epoch, history.history, history.messages, counter.losses.tolist(), norms.steps])
    iterations, slots = made.optimizer.state()
    tensors = {v.path: v.numpy() for v in made.weights} | {"/".join(("slot", *key)): a for key, a in slots.items()}
    (folder / "history.json").write_text(text)
    files.write(folder / "weights", tensors, {"iterations": str(iterations)}, overwrite=True)


def outcome(folder):
    """What a training left: the text, or the checksum of all tensors."""

    def content(path):
        if path.suffix in (".csv", ".json"):
            return path.read_text()
        return files.File("killed", path).metadata[files.CHECKSUM]

    return {name: content(Path(folder) / name) for name in FILES}


def forked(work, *arguments, delay=None):
    """Do something in a fork, and kill that after so many seconds; whether it ended by itself."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work(*arguments)
            status = 0
        finally:
            os._exit(status)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status) != 0:
        raise SystemExit("a training failed")
    return not os.WIFSIGNALED(status)


def dying_in_a_write(folder, training, optimizer, call, function):
    """Train, and die in that call of one of the functions that `files.write` needs; a write is then half done."""
    original, calls = getattr(os, function), 0

    def last(*arguments):
        nonlocal calls
        calls += 1
        if calls == call:
            if function == "fsync" and os.fstat(arguments[0]).st_size > 4096:
                os.ftruncate(arguments[0], 1000)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    setattr(os, function, last)
    train(folder, training, optimizer)


def compared(calm, killed, what):
    """End if these trainings left different things."""
    expected, found = outcome(calm), outcome(killed)
    for name in FILES:
        if found[name] != expected[name]:
            raise SystemExit(f"{what}: another {name}")


def main(seed, wanted, folder):
    rng = random.Random(seed)
    kills = rounds = 0
    while kills < wanted:
        training, optimizer = TRAININGS[rounds % len(TRAININGS)], list(OPTIMIZERS)[rounds // len(TRAININGS) % 2]
        calm, killed, written = (Path(folder) / f"{name}{rounds}" for name in ("calm", "killed", "written"))
        for made in (calm, killed, written):
            made.mkdir(parents=True)
        begin = time.perf_counter()
        forked(train, calm, training, optimizer)
        seconds = time.perf_counter() - begin
        for _ in range(5):
            if not forked(train, killed, training, optimizer, delay=rng.uniform(0, seconds)):
                kills += 1
        for function in ("fsync", "replace", "replace", "fsync"):
            if not forked(dying_in_a_write, written, training, optimizer, rng.randint(1, 6), function):
                kills += 1
        for made in (killed, written):
            forked(train, made, training, optimizer)
            compared(calm, made, f"seed {seed}, round {rounds}, {training}, {optimizer}")
        rounds += 1
    print(kills)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
