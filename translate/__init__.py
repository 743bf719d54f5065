"""Image-to-image translation: photographs in, a trained translator out, pictures converted anywhere."""

__version__ = "0.1.0"
