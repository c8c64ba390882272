"""What lets other programs open generated images as their own: xarray, TIAToolbox, napari, PyTorch.

Each part needs its host only when it is used, and the hosts find what they can find by entry points.
"""
