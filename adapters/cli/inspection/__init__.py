"""Descriptions of files: `describe(path, arguments)` yields lines."""
