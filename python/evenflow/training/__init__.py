"""How models are trained, scored and asked for predictions: from `fit` to the calls of the native core."""
