"""The discriminator's side of every game whose discriminator is a classifier: which of two classes is this?"""

from torch import Tensor
from torch.nn import functional as F


def discriminator_cross_entropy(real_scores: Tensor, fake_scores: Tensor, real_label: float = 1.0) -> Tensor:
    """mean [-a log s(D(real)) - (1 - a) log(1 - s(D(real)))] - mean log(1 - s(D(fake))), s the sigmoid, a `real_label`.

    Goodfellow et al., "Generative Adversarial Nets", 2014, eq. 1, with scores before the sigmoid. Labels below 1 are
    one-sided smoothing: Salimans et al., "Improved Techniques for Training GANs", 2016, section 3.4. The best
    discriminator is then s(D) = a p_data / (p_data + p_model), which is never sure of itself. Smoothing the fakes' 0 as
    well would add b p_model to the numerator, so that it praised the model where there are no data.

    Args:
        real_scores, fake_scores: any shape, unbounded; positive means judged real.
        real_label: of real pictures, above 0 and at most 1; 0.9 is usual.

    Returns:
        Scalar, at least 0; 2 ln 2 when the discriminator answers 0 to everything.
    """
    # a softplus(-x) + (1 - a) softplus(x), since softplus(x) = softplus(-x) + x.
    real_losses = F.softplus(-real_scores) + (1.0 - real_label) * real_scores
    return real_losses.mean() + F.softplus(fake_scores).mean()
