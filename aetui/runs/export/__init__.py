"""A run in forms that other programs read."""
