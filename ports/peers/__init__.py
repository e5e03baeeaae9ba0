"""The same work by PyTorch's implementations, for `worldkv bench peers` alone; needs the extra ``torch``.

PyTorch is imported where it is used: a process that finds the peak memory of ours must not hold it.
"""
