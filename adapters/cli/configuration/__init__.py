"""Arguments in a file: `--config qcore.yaml`."""
