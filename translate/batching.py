"""Many threads, one model: calls that wait at the same time go through it together.

A GPU takes about as long for four small pictures as for one. Nobody waits for company: while one batch is computed, the
calls that come meanwhile are the next.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = NDArray[Any]
Run = Callable[[Arrays, Mapping[str, Arrays]], Arrays]
"""(N, H, W, C) and what else the model takes -> (N, H', W', C')."""


@dataclass(eq=False)
class _Call:
    image_NHWC: Arrays
    knobs: Mapping[str, Arrays]
    result_NHWC: Arrays | None = None
    error: BaseException | None = None
    fits: tuple[Any, ...] = field(init=False)
    """Calls of which this is equal may go together."""

    def __post_init__(self) -> None:
        knobs = tuple(sorted((name, value.tobytes()) for name, value in self.knobs.items()))
        self.fits = (self.image_NHWC.shape[1:], self.image_NHWC.dtype, knobs)

    @property
    def over(self) -> bool:
        return self.result_NHWC is not None or self.error is not None


class Batcher:
    """Runs a model for several threads, one run at a time.

    Args:
        run: the model.
        most: pictures that go through together; a single call of more goes through as it is. Where a joint run fails
            for want of memory, its calls are run one by one, and `most` is halved.
    """

    def __init__(self, run: Run, most: int) -> None:
        self._run, self.most = run, most
        self._changed = threading.Condition()
        self._waiting: list[_Call] = []
        self._busy = False

    def __call__(self, image_NHWC: Arrays, knobs: Mapping[str, Arrays]) -> Arrays:
        """Run the model; what it raises is raised by the calls concerned."""
        call = _Call(image_NHWC, knobs)
        with self._changed:
            self._waiting.append(call)
            self._changed.wait_for(lambda: call.over or not self._busy)
            together = [] if call.over else self._take(call)
        if together:
            try:
                self._serve(together)
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
        if call.error is not None:
            raise call.error
        assert call.result_NHWC is not None
        return call.result_NHWC

    def _take(self, first: _Call) -> list[_Call]:
        """This call and those waiting that fit and find room."""
        self._busy = True
        together, count = [first], len(first.image_NHWC)
        for call in self._waiting:
            if call is not first and call.fits == first.fits and count + len(call.image_NHWC) <= self.most:
                together.append(call)
                count += len(call.image_NHWC)
        self._waiting = [call for call in self._waiting if call not in together]
        return together

    def _serve(self, together: list[_Call]) -> None:
        """Give every call its result or its error."""
        try:
            joined_NHWC = np.concatenate([call.image_NHWC for call in together])
            result_NHWC = self._run(joined_NHWC, together[0].knobs)
        except MemoryError as error:
            if len(together) == 1:
                together[0].error = error
                return
            self.most = max(1, self.most // 2)
            for call in together:
                self._serve([call])
        except BaseException as error:
            for call in together:
                call.error = error
        else:
            ends = np.cumsum([len(call.image_NHWC) for call in together])
            for call, part_NHWC in zip(together, np.split(result_NHWC, ends[:-1]), strict=True):
                call.result_NHWC = part_NHWC
