"""Every word of the page, in each of its languages; the browser's language decides.

A component takes `word("key")`, which Gradio translates in the browser. HTML and JavaScript of our own get the whole
table (`TABLE`) and look words up by the same keys. What the library says (`TranslateError`) is in English.
"""

import gradio as gr
from gradio.i18n import I18nData

LANGUAGES = ("en", "de")

# --- key: (English, German); one section for each part of the page
WORDS: dict[str, tuple[str, str]] = {}

TABLE = {language: {key: texts[place] for key, texts in WORDS.items()} for place, language in enumerate(LANGUAGES)}

translations = gr.I18n(**TABLE)


def word(key: str) -> I18nData:
    """The text of `key`, for a component; translated in the browser.

    Raises:
        KeyError: no such text.
    """
    if key not in WORDS:
        raise KeyError(key)
    return translations(key)
