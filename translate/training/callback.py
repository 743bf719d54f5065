"""Callbacks of the training loop."""


class Callback:
    """Called by `fit` during training, for logging and validation. The methods here do nothing.

    Called in all processes of a run.
    """

    @property
    def should_stop(self) -> bool:
        """Whether to stop before the budget is used."""
        return False

    def on_train_start(self) -> None:
        """Before the first step of this process."""

    def on_train_batch_end(self, rejected: tuple[str, ...]) -> None:
        """After every step.

        Args:
            rejected: one line per file of the batch that could not be used.
        """

    def on_message(self, text: str) -> None:
        """A one-line message for the user."""

    def on_train_end(self) -> None:
        """After the last step, before the last snapshot; not after an error."""

    def teardown(self) -> None:
        """At the end, also after an error."""
