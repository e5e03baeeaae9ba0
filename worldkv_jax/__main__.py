"""``python -m worldkv_jax``: the command line, where the folder of its script is not among those that are searched."""

from worldkv_jax.cli.main import program

if __name__ == "__main__":
    program()
