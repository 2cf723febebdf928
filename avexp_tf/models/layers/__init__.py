"""Keras layers of the crossmodal transformer."""
