"""The crossmodal transformer."""
