"""Runnable tools for exports: SavedModel, LiteRT, parity check."""
