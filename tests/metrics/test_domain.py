import pytest
import torch

from translate.metrics.domain import SIDE, domain_share, train_domain_classifier


def stripes(count: int, across: bool, seed: int) -> torch.Tensor:
    """Stripes of eight pixels, upright or lying, of any brightness, with noise."""
    generator = torch.Generator().manual_seed(seed)
    wave_S = ((torch.arange(SIDE) // 4) % 2).float() * 0.6 + 0.2
    picture_SS = wave_S.expand(SIDE, SIDE) if across else wave_S[:, None].expand(SIDE, SIDE)
    gain_N111 = 0.3 + torch.rand(count, 1, 1, 1, generator=generator)
    noise_N3SS = 0.1 * torch.randn(count, 3, SIDE, SIDE, generator=generator)
    return ((picture_SS * gain_N111 + noise_N3SS).clamp(0, 1) * 255).byte()


def test_unseen_pictures_are_told_apart() -> None:
    classifier = train_domain_classifier(stripes(24, True, 0), stripes(40, False, 1))
    assert domain_share(classifier, stripes(10, True, 2)) == 0.0
    assert domain_share(classifier, stripes(10, False, 3)) == 1.0
    mixed = torch.cat([stripes(3, True, 4), stripes(1, False, 5)])
    assert domain_share(classifier, mixed) == 0.25


def test_equal_seeds_give_equal_networks_and_leave_the_generators_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    networks = [train_domain_classifier(stripes(4, True, 0), stripes(4, False, 1), seed=5) for _ in range(2)]
    assert torch.equal(torch.rand(1), expected)
    first, second = (network.state_dict() for network in networks)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_empty_collection_is_refused() -> None:
    with pytest.raises(ValueError, match="one of each"):
        train_domain_classifier(stripes(1, True, 0), stripes(0, True, 0))
