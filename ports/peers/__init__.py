"""The same work by PyTorch's implementations, for `worldkv bench peers` alone; needs the extra ``torch``."""
