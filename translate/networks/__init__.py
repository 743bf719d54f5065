"""Networks: one family per file, importing torch only.

All generators have the same interface, so that trainers, export and tests can use any of them:

    generator(x_BCHW, condition_BD=None) -> BCHW

    size_multiple: int            height and width of the input must be divisible by this
    receptive_field: int | None   side in input pixels of the square that one output pixel can depend on (an upper
                                  bound); None if a pixel can depend on all others, as with spatial statistics
    scale: int                    output side over input side: 1 except for super-resolution

Signals are nominally in [-1, 1]. For an unconditional generator the condition is always None.

Every discriminator takes images, concatenated along the channels with what they are conditioned on, and returns a
`DiscriminatorOutput` (`patchgan.py`).
"""
