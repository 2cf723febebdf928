"""Calls while they go on: packets in any rhythm in, estimates per tick out."""
