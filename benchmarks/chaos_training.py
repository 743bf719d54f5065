"""The training that `chaos.py` disturbs: how it is started, checked and compared."""

import os
import random
import time
from pathlib import Path
from typing import Any

import torch
from chaos_work import Broken, Work, draw

import translate.monitoring.validation
import translate.trainers.pix2pix
import translate.training.fit  # noqa: F401 - imported once, before processes are forked
from translate.training.snapshot import FILE_NAME, read_header, read_tensors

STOP = ["--stop-after", "6images"]
TINY = ["--snapshot-time", "0s", "--validations", "2", "--sample-grids", "2", "--workers", "1", "--device", "cpu"]
TINY += ["--precision", "32", "--image-size", "32", "--batch-size", "2", "--adaptive-augmentation", "0"]
TINY += ["--generator-widths", "8", "8", "--generator-blocks", "1", "--discriminator-width", "8"]
TINY += ["--discriminator-layers", "2", "--discriminator-scales", "1"]


class Training(Work):
    """A tiny network that learns photographs from drawings."""

    name, share = "training", 0.35

    def __init__(self, folder: Path, images: int) -> None:
        super().__init__(folder)
        self._images = images
        for number in range(6):
            draw(folder / "photos" / f"{number}.png", number, side=48)
        self.undisturbed(folder / "undisturbed")
        self._expected = self._tensors(folder / "undisturbed")
        self.faults = {"loader process killed": self._kill_loader, "line of the log cut off": self._cut}

    def command(self, out: Path, fault: str = "") -> list[str]:
        """See `Work`."""
        stop = STOP if fault else []
        if (out / FILE_NAME).exists():
            return ["resume", str(out), "--threads", "1", *stop]
        data = ["--data", str(self.folder / "photos"), "--out", str(out), "--max-images", str(self._images)]
        return ["train", "sketch-to-photo", *data, *TINY, "--threads", "1", *stop]

    def done(self) -> int:
        """Number of images seen, as the snapshot says."""
        path = self.out / FILE_NAME
        return read_header(path).images_seen if path.exists() else 0

    def complete(self) -> bool:
        """See `Work`."""
        return self.done() >= self._images

    def check(self) -> None:
        """See `Work`: the snapshot can be read."""
        if (self.out / FILE_NAME).exists():
            tensors = self._tensors(self.out)
            if not tensors.keys() <= self._expected.keys() or not all(x.isfinite().all() for x in tensors.values()):
                raise Broken(f"{self.name}: the snapshot is damaged")

    def finish(self) -> None:
        """See `Work`."""
        if not self.complete():
            self.undisturbed(self.out)
        found = self._tensors(self.out)
        wrong = [name for name, tensor in self._expected.items() if not torch.equal(tensor, found[name])]
        if wrong or found.keys() != self._expected.keys():
            raise Broken(f"{self.name}: not as undisturbed: {len(wrong)} of {len(found)} tensors, such as {wrong[:1]}")
        if left := self.leftovers():
            raise Broken(f"{self.name}: left behind: {', '.join(map(str, left))}")

    @staticmethod
    def _tensors(folder: Path) -> dict[str, Any]:
        # Copied: what is read stays mapped to the file.
        return {name: tensor.clone() for name, tensor in read_tensors(folder / FILE_NAME).items()}

    def _kill_loader(self, _: Work, dice: random.Random) -> bool:
        """Kill the process that loads pictures: the training goes on by itself."""
        process = self.start()
        before = self.done()
        while self.done() == before:
            if self.ended(process):
                return False
            time.sleep(0.01)
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        if not children:
            return False
        os.kill(int(children[0]), 9)
        ended = os.waitstatus_to_exitcode(self.wait(process))
        if ended or "Traceback" in self.said():
            raise Broken(f"{self.name}: without its loader it ended with {ended}: {self.said()}")
        return "was killed; it is started again" in self.said()

    def _cut(self, _: Work, dice: random.Random) -> bool:
        log = self.out / "log.jsonl"
        if not log.exists():
            return False
        data = log.read_bytes()
        log.write_bytes(data[: max(0, len(data) - dice.randrange(1, 100))])
        return True
