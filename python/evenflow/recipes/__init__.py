"""Recipes: networks with everything that belongs to them, for tables, images and other rows of numbers.

    recipe = evenflow.recipes.default_mlp(x_train, y_train)
    recipe.fit(x_train, y_train)
    recipe.model.evaluate(x_test, y_test)

Each function looks at the rows and targets it is given (their shape, number of classes, means and deviations), trains
nothing, and returns a `Recipe`: a compiled `Sequential` and how to train it. Whole numbers y [rows] are classes 0, 1,
..., other y [rows] or [rows, outputs] values; `task` ("classification", "regression") overrides that. A classifier ends
in a softmax, also for two classes. A regression learns standardized targets and ends in the layer that takes them back
to the units of y: its loss is divided by the variance of y (of several outputs by the mean of their variances), so that
a loss of 1 is no better than the mean. Categories must be encoded as numbers, one column for each of them, as
`datasets.load_csv` does. Raises ValueError or TypeError for data that holds NaN, infinity or other things than numbers.
"""

from .base import BestEpoch, Recipe, WholeRun
from .mlps import RECIPES, default_mlp, self_normalizing_mlp, tabular_mlp

__all__ = ["RECIPES", "BestEpoch", "Recipe", "WholeRun", "default_mlp", "self_normalizing_mlp", "tabular_mlp"]
