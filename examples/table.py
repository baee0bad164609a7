"""Regression on a CSV table: numeric and categorical columns, prices out, new rows in."""

import tempfile
from pathlib import Path

import numpy as np

import evenflow
from evenflow.layers import BatchNormalization, Dense, Input

PRICE_OF_A_SQUARE_METRE = {"Bergen": 4200, "Oslo": 7100, "Tromso": 3900}


def write_homes(path, rows=2000):
    """Homes whose price follows area, age and city, up to 5 % of noise."""
    rng = np.random.default_rng(0)
    lines = ["area,age,city,price"]
    for _ in range(rows):
        area, age, city = rng.uniform(20, 200), rng.integers(0, 120), rng.choice(list(PRICE_OF_A_SQUARE_METRE))
        price = area * PRICE_OF_A_SQUARE_METRE[city] * (1 - 0.004 * age) * rng.normal(1, 0.05)
        lines.append(f"{area:.1f},{age},{city},{price:.0f}")
    path.write_text("\n".join(lines) + "\n")


def main():
    with tempfile.TemporaryDirectory() as folder:
        write_homes(Path(folder) / "homes.csv")
        homes = evenflow.datasets.load_csv(Path(folder) / "homes.csv", target="price")
        (Path(folder) / "new.csv").write_text("city,area,age\nOslo,100,0\nBergen,50,60\n")
        new_rows = homes.encoding.read_csv(Path(folder) / "new.csv")
    print(f"{homes.task} on {homes.encoding.features}, {len(homes.x_train):,} rows")

    evenflow.set_seed(0)
    model = evenflow.Sequential([Input(homes.row_shape)])
    for _ in range(2):
        model.add(Dense(64, activation="gelu", kernel_initializer="he_normal"))
        model.add(BatchNormalization())
    model.add(Dense(1))
    model.compile("adam", loss="mse", metrics=["mae"])
    model.fit(homes.x_train, homes.y_train, epochs=60, validation_split=0.1, verbose=0)

    # The network learns a standardized target; the encoding brings it back to the column's units.
    truth = homes.encoding.decode(homes.y_test[:, None])
    guess = homes.encoding.decode(model.predict(homes.x_test))
    error = float(np.mean(np.abs(guess / truth - 1)))
    print(f"mean error on {len(truth)} test rows: {error:.1%}")
    oslo, bergen = homes.encoding.decode(model.predict(new_rows))
    print(f"Oslo, 100 m2, new: {oslo:,.0f}; Bergen, 50 m2, 60 years: {bergen:,.0f}")
    return error


if __name__ == "__main__":
    main()
