"""The three array operations of World Compression, each as a jax.numpy specification and as Pallas kernels; attention.

==================== ============================================== ===== ============ ========
kernel               computes                                       "xla" "mosaic_gpu" "triton"
==================== ============================================== ===== ============ ========
`anchor_similarity`  how much every key resembles the anchor frame  yes   yes          yes
`select_lowest`      the k lowest scores, in order of position      yes   no           yes
`compact`            the chosen tokens of keys and values           yes   yes          yes
==================== ============================================== ===== ============ ========

Use them as ``from kernels_pallas.compact import compact``. Each folder holds `reference.py` (the
specification, which is also the "xla" version), one file per Pallas version, and `api.py`, where callers
enter.

The default is XLA everywhere. XLA reads the keys once for both sums of the similarity, and fuses the gather
of the kept tokens into the write of a donated bank; compiled for an H200 that write needs no temporary, while
a Pallas gather first puts all kept tokens somewhere (2.6 GB for the 40 layers of LingBot). A Pallas version
becomes a default when a measurement on a GPU says so. Until then ask for one by name:
``implementation="mosaic_gpu"``, or ``("mosaic_gpu", "xla")`` to fall back where it does not fit.

"mosaic_gpu" needs a Hopper GPU or newer. "triton" runs on older ones and on every jax version in Pallas's
interpreter, but JAX has announced the end of its Triton backend: it is here to be read and tested, and as the
only one that can select (Mosaic GPU has no scan, sort or scatter).

`attention` is chosen by platform: cuDNN's fused kernel on a GPU, a loop over blocks of keys on a CPU, XLA's else.
"""
