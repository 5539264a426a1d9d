"""Samples: what they are read from, which are used, and what a model takes."""
