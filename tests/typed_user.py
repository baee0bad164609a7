"""A user's script, as `mypy --strict` sees it: the public names and their types, from the installed package."""

import numpy as np

import evenflow
from evenflow.callbacks import EarlyStopping, History
from evenflow.layers import BatchNormalization, Dense, Input
from evenflow.optimizers import AdamW, schedules

x = np.random.default_rng(0).standard_normal((64, 8), dtype=np.float32)
y = (x[:, 0] > x[:, 1]).astype(np.int64)

evenflow.set_seed(0)
model = evenflow.Sequential([Input((8,)), BatchNormalization(), Dense(16, "elu"), Dense(2, "softmax")])
model.compile(
    AdamW(schedules.CosineDecay(1e-2, decay_steps=8)), "sparse_categorical_crossentropy", metrics=["accuracy"]
)
history: History = model.fit(x, y, epochs=2, validation_split=0.25, callbacks=[EarlyStopping(patience=1)], verbose=0)
losses: list[float] = history.history["loss"]
kernel, bias = model.layers[-1].get_weights()
assert kernel.shape == (16, 2), kernel.shape
scores = model.evaluate(x, y, verbose=0, return_dict=True)
outputs = evenflow.kernels.dense_forward(x, np.ones((8, 4), np.float32))
same = evenflow.activations.elu(outputs)
