"""A training loop of your own around the native program: forward, backward from any gradient, update.

The loss is one that evenflow does not have: the pinball loss, whose minimum is a quantile. Three outputs learn the
10 %, 50 % and 90 % quantiles of y given x, so that the outer two enclose four fifths of what happens.
"""

import numpy as np

import evenflow
from evenflow.layers import BatchNormalization, Dense, Input

QUANTILES = np.array([0.1, 0.5, 0.9], np.float32)


def pinball(y, prediction):
    """Mean over rows of sum_q max(q e, (q - 1) e) with e = y - prediction, and its gradient."""
    error = y[:, None] - prediction
    below = error < 0
    loss = np.where(below, (QUANTILES - 1) * error, QUANTILES * error).sum(axis=1).mean()
    return float(loss), ((below - QUANTILES) / len(y)).astype(np.float32)


def draw(rng, rows):
    """A sine whose noise grows with x."""
    x = rng.uniform(-3, 3, (rows, 1)).astype(np.float32)
    y = np.sin(x[:, 0]) + rng.normal(0, 0.1 + 0.1 * (x[:, 0] + 3), rows)
    return x, y.astype(np.float32)


def main(steps=3000, batch=128):
    evenflow.set_seed(0)
    rng = np.random.default_rng(0)
    model = evenflow.Sequential([Input((1,)), Dense(64, "silu"), BatchNormalization(), Dense(64, "silu"), Dense(3)])
    model.compile(evenflow.optimizers.Adam(global_clipnorm=1.0))
    program = evenflow.Program(model.spec(), batch_size=batch)
    for variable in model.variables:
        program.set(variable.path, variable.numpy())

    for step in range(steps):
        x, y = draw(rng, batch)
        loss, gradient = pinball(y, program.forward(x))
        program.backward(gradient)  # returns the gradient of x, for whatever lies below
        norm = program.update(learning_rate=3e-3 * (1 - step / steps))
        if step % 500 == 0:
            print(f"step {step}: loss {loss:.3f}, gradient norm {norm:.3f}")
    print(f"{program.parameters.size:,} parameters in one block, of which this is a view: {program.parameters[:3]}")

    for variable in model.variables:  # and back, to predict, evaluate or save
        variable.assign(program.get(variable.path))
    x, y = draw(rng, 5000)
    low, _, high = model.predict(x).T
    inside = float(((low < y) & (y < high)).mean())
    print(f"{inside:.1%} of new rows lie between the 10 % and the 90 % quantile")
    return inside


if __name__ == "__main__":
    main()
