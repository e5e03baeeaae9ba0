"""Command line: `worldkv COMMAND`."""
