"""Generators that were trained by other programs: their checkpoints, and networks with the same layers and names.

`checkpoint` reads a file and runs nothing in it; `unet`, `resnet` and `community` know the networks; `recognise` finds
out which one a file belongs to.
"""
