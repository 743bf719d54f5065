"""Dynamic batching: concurrent calls from several threads are run as one batch.

A GPU takes about as long for four small pictures as for one. No call waits for others to arrive: the calls that come in
while one batch is computed form the next.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = NDArray[Any]
Run = Callable[[Arrays, Mapping[str, Arrays]], Arrays]
"""(N, H, W, C) and the model's other inputs -> (N, H', W', C')."""


@dataclass(eq=False)
class _Call:
    image_NHWC: Arrays
    controls: Mapping[str, Arrays]
    result_NHWC: Arrays | None = None
    error: BaseException | None = None
    key: tuple[Any, ...] = field(init=False)
    """Calls with equal keys can be batched together."""

    def __post_init__(self) -> None:
        controls = tuple(sorted((name, value.tobytes()) for name, value in self.controls.items()))
        self.key = (self.image_NHWC.shape[1:], self.image_NHWC.dtype, controls)

    @property
    def done(self) -> bool:
        return self.result_NHWC is not None or self.error is not None


class Batcher:
    """Runs a model for several threads, one run at a time.

    Args:
        run: the model.
        most: maximum batch size; a single call with more pictures runs as it is. If a batch runs out of memory, its
            calls are run one by one, and `most` is halved.
    """

    def __init__(self, run: Run, most: int) -> None:
        self._run, self.most = run, most
        self._changed = threading.Condition()
        self._waiting: list[_Call] = []
        self._busy = False

    def __call__(self, image_NHWC: Arrays, controls: Mapping[str, Arrays]) -> Arrays:
        """Run the model; its exceptions are raised by the affected calls."""
        call = _Call(image_NHWC, controls)
        with self._changed:
            self._waiting.append(call)
            self._changed.wait_for(lambda: call.done or not self._busy)
            batch = [] if call.done else self._take(call)
        if batch:
            try:
                self._serve(batch)
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
        if call.error is not None:
            raise call.error
        assert call.result_NHWC is not None
        return call.result_NHWC

    def _take(self, first: _Call) -> list[_Call]:
        """Form a batch of this call and waiting calls with the same key, up to the maximum size."""
        self._busy = True
        batch, count = [first], len(first.image_NHWC)
        for call in self._waiting:
            if call is not first and call.key == first.key and count + len(call.image_NHWC) <= self.most:
                batch.append(call)
                count += len(call.image_NHWC)
        self._waiting = [call for call in self._waiting if call not in batch]
        return batch

    def _serve(self, batch: list[_Call]) -> None:
        """Set the result or the error of every call."""
        try:
            joined_NHWC = np.concatenate([call.image_NHWC for call in batch])
            result_NHWC = self._run(joined_NHWC, batch[0].controls)
        except MemoryError as error:
            if len(batch) == 1:
                batch[0].error = error
                return
            self.most = max(1, self.most // 2)
            for call in batch:
                self._serve([call])
        except BaseException as error:
            for call in batch:
                call.error = error
        else:
            ends = np.cumsum([len(call.image_NHWC) for call in batch])
            for call, part_NHWC in zip(batch, np.split(result_NHWC, ends[:-1]), strict=True):
                call.result_NHWC = part_NHWC
