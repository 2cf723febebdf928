"""A synthetic corpus whose best possible model is known."""
