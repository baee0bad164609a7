"""What ails a network: three of them on the digits, watched while they train, and a page of pictures for each.

    python examples/health.py [FOLDER]

Needs pip install '.[demo]'. In the first network a learning rate that is too large kills ReLUs, in the second gradients
fade on their way down through sigmoids; the third has He initialization, ELU and a moderate rate, and nothing to say.
"""

import sys
import warnings
from pathlib import Path

import evenflow
from evenflow.callbacks import Health
from evenflow.layers import Dense, Flatten, Input, Rescaling
from evenflow.optimizers import Adam

NETWORKS = {  # activation, initializer, hidden layers, learning rate
    "dying": ("relu", "he_normal", 5, 0.02),
    "vanishing": ("sigmoid", "glorot_uniform", 8, 0.001),
    "healthy": ("elu", "he_normal", 5, 0.001),
}


def network(activation, initializer, hidden, rate, scale):
    evenflow.set_seed(1)
    model = evenflow.Sequential([Input((8, 8)), Rescaling(scale), Flatten()], name="network")
    for number in range(1, hidden + 1):
        model.add(Dense(100, activation, kernel_initializer=initializer, name=f"hidden_{number}"))
    model.add(Dense(10, "softmax", name="output"))
    model.compile(Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main(folder, epochs=10):
    data = evenflow.datasets.load_digits()
    found = {}
    for name, settings in NETWORKS.items():
        model, health = network(*settings, data.scale), Health(every=4)
        beforehand = [str(finding) for finding in model.check(data.x_train)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are printed below
            history = model.fit(data.x_train, data.y_train, epochs=epochs, verbose=0, callbacks=[health])
        page, *_ = evenflow.report(history, Path(folder) / f"{name}.html", title=f"Digits: the {name} network")
        print(f"{name}: accuracy {history.history['accuracy'][-1]:.1%}; {page}")
        for text in [f"before training: {finding}" for finding in beforehand] + health.messages:
            print(f"  {text}")
        found[name] = {"check": beforehand, "messages": health.messages, "history": history.history}
    return found


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "health")
    target.mkdir(parents=True, exist_ok=True)
    main(target)
