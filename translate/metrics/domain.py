"""Would results be taken for real pictures of the other domain (night), or for the one they came from (day)?

Shape suffixes: N pictures, B batch.
"""

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

SIDE = 64
"""Side in pixels of what the classifier sees."""

EPOCHS, BATCH, LEARNING_RATE = 12, 32, 2e-3
GAIN = (0.2, 3.0)
"""Range of the brightness that the classifier learns to ignore: a darkened day is no night."""


def train_domain_classifier(first_N3SS: Tensor, second_N3SS: Tensor, *, seed: int = 0) -> nn.Module:
    """Train a small network to tell two collections of real pictures apart.

    Three convolutions and a mean over the places, cross-entropy with both collections weighing alike, pictures
    mirrored and made brighter and darker by a factor within `GAIN`. Equal seeds give equal networks on one machine.
    The idea is that of the classifier two-sample test, Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests",
    2017, with results given to a classifier of real pictures.

    Args:
        first_N3SS, second_N3SS: uint8 pictures of `SIDE` pixels on both sides, at least one of each.
        seed: decides everything.

    Returns:
        float (B, 3, SIDE, SIDE) in [0, 1] -> (B,), above 0 for the second collection.

    Raises:
        ValueError: a collection is empty.
    """
    if not len(first_N3SS) or not len(second_N3SS):
        raise ValueError(f"found {len(first_N3SS)} and {len(second_N3SS)} pictures, expected one of each at least")
    picture_N3SS = torch.cat([first_N3SS, second_N3SS])
    truth_N = torch.cat([torch.zeros(len(first_N3SS)), torch.ones(len(second_N3SS))])
    weight_N = torch.where(truth_N > 0, 0.5 / len(second_N3SS), 0.5 / len(first_N3SS)) * len(truth_N)
    generator = Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network()
    steps = EPOCHS * -(-len(truth_N) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=max(3, steps))
    with torch.enable_grad():
        for _ in range(EPOCHS):
            for chosen_B in torch.randperm(len(truth_N), generator=generator).split(BATCH):
                answer_B = network(_varied(picture_N3SS[chosen_B].float() / 255.0, generator))
                loss = F.binary_cross_entropy_with_logits(answer_B, truth_N[chosen_B], weight_N[chosen_B])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
    return network.eval()


@torch.no_grad()
def domain_share(classifier: nn.Module, picture_N3SS: Tensor) -> float:
    """Share of the pictures that `classifier` takes for the second collection.

    Args:
        classifier: as `train_domain_classifier` makes it.
        picture_N3SS: uint8, at least one.

    Returns:
        0 to 1.
    """
    answers = [classifier(chunk.float() / 255.0) > 0 for chunk in picture_N3SS.split(BATCH)]
    return float(torch.cat(answers).float().mean())


def _network() -> nn.Module:
    layers: list[nn.Module] = []
    for inside, outside in ((3, 16), (16, 32), (32, 48)):
        layers += [nn.Conv2d(inside, outside, 3, stride=2, padding=1), nn.GroupNorm(4, outside), nn.SiLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 1), nn.Flatten(0))


def _varied(picture_B3SS: Tensor, generator: Generator) -> Tensor:
    batch = len(picture_B3SS)
    low, high = GAIN
    gain_B111 = low * (high / low) ** torch.rand(batch, 1, 1, 1, generator=generator)
    mirrored_B111 = torch.rand(batch, 1, 1, 1, generator=generator) < 0.5
    picture_B3SS = torch.where(mirrored_B111, picture_B3SS.flip(3), picture_B3SS)
    return (picture_B3SS * gain_B111).clamp(max=1.0)
