"""The user's rows, targets and weights: read where they lie, and refused where they cannot be meant."""
