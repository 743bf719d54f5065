"""Feature matching: the discriminator's features should be the same for output and target."""

from collections.abc import Sequence

from torch import Tensor


def feature_matching(fake_features: Sequence[Tensor], real_features: Sequence[Tensor]) -> Tensor:
    """Mean over the layers of the mean absolute difference between features.

    Wang et al., "High-Resolution Image Synthesis ... with Conditional GANs", 2018 (pix2pixHD), eq. 4. No gradient
    flows into `real_features`.

    Args:
        fake_features, real_features: one tensor per layer, equal shapes pairwise.

    Returns:
        Scalar, at least 0.
    """
    differences = [(fake - real.detach()).abs().mean() for fake, real in zip(fake_features, real_features, strict=True)]
    return sum(differences[1:], start=differences[0]) / len(differences)
