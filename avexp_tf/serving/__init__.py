"""Exports and their parity: SavedModel, LiteRT, client."""
