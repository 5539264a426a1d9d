"""Rewrites of a graph, one a file: each changes a model in place or gives a new one."""
