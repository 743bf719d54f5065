"""Networks: one family a file, importing torch only.

Every generator keeps the same convention, so that trainers, export and tests need not know which one they hold:

    generator(x_BCHW, condition_BD=None) -> BCHW

    size_multiple: int            height and width of the input must be divisible by this
    receptive_field: int | None   side in input pixels of the square that one output pixel can depend on (an upper
                                  bound); None if a pixel can depend on all others, as with spatial statistics
    scale: int                    output side over input side: 1 but for super-resolution

Signals are nominally in [-1, 1]. A generator that takes no condition is only ever given None.

Every discriminator eats the pictures to judge, with what they are judged against concatenated to the channels, and
returns a `Verdict` (`patchgan.py`).
"""
