"""Our training step against a plain one: images/s over images/s, measured alternately in one run.

Plain: the same networks, losses and batch; eager float32, default memory layout, `Adam` as it comes, no moving
average. Ours: what `translate train` does for every batch, sketch making and loading left out on both sides.

    python benchmarks/train_step.py
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from translate.tasks import TASKS
from translate.trainers.base import Batch, Term
from translate.trainers.pix2pix import Pix2Pix, Pix2PixConfig
from translate.trainers.run import Run
from translate.trainers.snapshot import Header

TASK = TASKS["sketch-to-photo"]


def plain_step(config: Pix2PixConfig, device: torch.device) -> Callable[[Batch], None]:
    trainer = Pix2Pix(config, TASK).to(device)
    optimizers = {
        name: torch.optim.Adam(network.parameters(), lr=trainer.learning_rates()[name], betas=(0.5, 0.99))
        for name, network in trainer.networks.items()
    }

    def update(network: str, terms: Mapping[str, Term]) -> None:
        for optimizer in optimizers.values():
            optimizer.zero_grad()
        sum(term.weight * term.value for term in terms.values()).backward()
        optimizers[network].step()

    return lambda batch: trainer.step(batch, update)


def our_step(config: Pix2PixConfig, folder: Path) -> tuple[Callable[[Batch], None], Run]:
    header = Header(task=TASK.name, trainer=TASK.trainer, config={}, data="", images_seen=0, steps=0, seconds_used=0.0)
    run = Run(Pix2Pix(config, TASK), header, folder)

    def step(batch: Batch) -> None:
        ours = Batch(*(picture.contiguous(memory_format=torch.channels_last) for picture in batch))
        with run.fabric.autocast():
            run.trainer.step(ours, run.update)
        run.advance(len(ours.source_BCHW))

    return step, run


def images_per_second(step: Callable[[Batch], None], batch: Batch, seconds: float) -> float:
    images, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        step(batch)
        images += len(batch.source_BCHW)
    if batch.source_BCHW.is_cuda:
        torch.cuda.synchronize()
    return images / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    options = parser.parse_args()
    config = Pix2PixConfig(max_images=10**9, batch_size=options.batch_size, image_size=options.image_size)
    with tempfile.TemporaryDirectory() as folder:
        ours, run = our_step(config, Path(folder))
        plain = plain_step(config, run.fabric.device)
        shape = (options.batch_size, 3, options.image_size, options.image_size)
        generator = torch.Generator().manual_seed(0)
        pictures = (torch.rand(shape, generator=generator).to(run.fabric.device) * 2 - 1 for _ in range(2))
        batch = Batch(*pictures)
        for step in (ours, plain):
            step(batch)  # allocates, and lets the libraries choose their algorithms
        print(f"{run.fabric.device}, ours in {run.fabric.strategy.precision.precision}, batch {shape}")
        rows: list[tuple[float, float]] = []
        for number in range(options.rounds):
            rows.append(tuple(images_per_second(step, batch, options.seconds) for step in (ours, plain)))  # type: ignore[arg-type]
            print(f"round {number + 1}: ours {rows[-1][0]:.2f} images/s, plain {rows[-1][1]:.2f}")
    ratio = statistics.median(ours / plain for ours, plain in rows)
    print(f"ours/plain, median: {ratio:.2f}")


if __name__ == "__main__":
    main()
