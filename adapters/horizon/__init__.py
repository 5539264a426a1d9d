"""The Horizon plugin's modules by their own paths: change the prefix of an import."""
