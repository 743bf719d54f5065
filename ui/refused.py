"""What the page refuses in its own words."""

from translate.errors import TranslateError
from ui.words_work import WORDS


class Refused(TranslateError):  # noqa: N818 - no fault of the program
    """A request that cannot be done; whoever answers it says so in the language of its browser.

    `str` is the English text, for logs and programs.

    Args:
        key: of `ui.words_work`.
        facts: what is filled in.

    Raises:
        KeyError: no such text, or a fact is missing.
    """

    def __init__(self, key: str, **facts: object) -> None:
        super().__init__(WORDS[key][0].format(**facts))
        self.key, self.facts = key, facts
