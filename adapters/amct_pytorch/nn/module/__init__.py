"""Modules by what they are for."""
