"""Ten lines: a network for scikit-learn's digits (pip install '.[demo]')."""

import evenflow
from evenflow.layers import BatchNormalization, Dense, Flatten, Input, Rescaling

data = evenflow.datasets.load_digits()
evenflow.set_seed(42)
hidden = [Dense(100, "elu", kernel_initializer="he_normal"), BatchNormalization()]
model = evenflow.Sequential([Input((8, 8)), Rescaling(data.scale), Flatten(), *hidden, Dense(10, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(data.x_train, data.y_train, epochs=15, validation_split=0.1)
loss, accuracy = model.evaluate(data.x_test, data.y_test, verbose=0)
print(f"test accuracy {accuracy:.1%}")
