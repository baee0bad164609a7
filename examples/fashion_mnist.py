"""A deep network for Fashion-MNIST, kept at its best epoch, saved and read again.

Where Fashion-MNIST is not installed (apt-get install dataset-fashion-mnist) it takes scikit-learn's digits instead.
"""

import tempfile
from pathlib import Path

import evenflow
from evenflow.callbacks import Callback
from evenflow.layers import BatchNormalization, Dense, Flatten, Input, Rescaling


class KeepBest(Callback):
    """Saves the model whenever the validation accuracy is the highest so far."""

    def __init__(self, path):
        self.path = path
        self.best = 0.0

    def on_epoch_end(self, epoch, logs=None):
        if logs["val_accuracy"] > self.best:
            self.best = logs["val_accuracy"]
            self.model.save(self.path)


def main(epochs=5):
    data = evenflow.datasets.load_default()
    print(f"{data.name} from {data.source}: {len(data.x_train):,} rows of {data.row_shape}")

    evenflow.set_seed(1)
    model = evenflow.Sequential([Input(data.row_shape), Rescaling(data.scale), Flatten(), BatchNormalization()])
    for _ in range(5):
        model.add(Dense(100, activation="elu", kernel_initializer="he_normal"))
        model.add(BatchNormalization())
    model.add(Dense(len(data.classes), activation="softmax"))
    model.summary()
    optimizer = evenflow.optimizers.Adam(learning_rate=1e-3, global_clipnorm=1.0)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "best.safetensors"
        model.fit(data.x_train, data.y_train, epochs=epochs, validation_split=0.1, callbacks=[KeepBest(path)])
        best = evenflow.models.load_model(path)

    loss, accuracy = best.evaluate(data.x_test, data.y_test, verbose=0)
    print(f"test loss {loss:.4f}, test accuracy {accuracy:.1%}")
    for row, probabilities in enumerate(best.predict(data.x_test[:3])):
        guess, truth = data.classes[probabilities.argmax()], data.classes[data.y_test[row]]
        print(f"row {row}: {guess} ({probabilities.max():.0%}), in truth {truth}")
    return accuracy


if __name__ == "__main__":
    main()
