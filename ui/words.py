"""Every word of the page, in each of its languages; the browser's language decides.

A component takes `word("key")`, which Gradio translates in the browser. HTML and JavaScript of our own get the whole
table (`TABLE`) and look words up by the same keys. What the library says (`TranslateError`) is in English.
"""

import gradio as gr
from gradio.i18n import I18nData

LANGUAGES = ("en", "de")

# --- key: (English, German); one section for each part of the page
WORDS: dict[str, tuple[str, str]] = {}

WORDS |= {  # --- many pictures at once (batch.py, batch.js)
    "batch_tab": ("Batch", "Stapel"),
    "batch_intro": (
        "Convert many pictures at once. You can close this page meanwhile: the work goes on.",
        "Viele Bilder auf einmal umwandeln. Die Seite darf dabei geschlossen werden: Es geht weiter.",
    ),
    "batch_drop": ("Drop pictures, a folder or a zip archive", "Bilder, einen Ordner oder ein Zip-Archiv ablegen"),
    "batch_drop_films": (
        "Drop pictures, films, a folder or a zip archive",
        "Bilder, Filme, einen Ordner oder ein Zip-Archiv ablegen",
    ),
    "batch_choose": ("Choose files", "Dateien auswählen"),
    "batch_chosen": ("Chosen files", "Ausgewählte Dateien"),
    "batch_remove": ("Remove", "Entfernen"),
    "batch_and_more": ("{name} and {n} more", "{name} und {n} weitere"),
    "batch_left_out": ("Left out, since they are no pictures: {names}", "Ausgelassen, da keine Bilder: {names}"),
    "batch_model": ("Convert with", "Umwandeln mit"),
    "batch_label": ("What is it?", "Was ist es?"),
    "batch_label_from_name": ("As the file name says", "Wie der Dateiname sagt"),
    "batch_style": ("Style number (0: usual)", "Nummer des Stils (0: üblich)"),
    "batch_detail": ("Fine detail", "Feine Details"),
    "batch_detail_low": ("faithful", "treu"),
    "batch_detail_high": ("sharp", "scharf"),
    "batch_strength": ("Strength", "Stärke"),
    "batch_format": ("Format", "Format"),
    "batch_format_same": ("As the original", "Wie das Original"),
    "batch_start_files_one": ("Convert 1 file", "1 Datei umwandeln"),
    "batch_start_files": ("Convert {n} files", "{n} Dateien umwandeln"),
    "batch_uploading": ("Uploading {n} of {total}", "Hochladen: {n} von {total}"),
    "batch_keep_open": (
        "Keep the page open until everything is uploaded.",
        "Die Seite bis zum Ende des Hochladens geöffnet lassen.",
    ),
    "batch_cancel": ("Cancel", "Abbrechen"),
    "batch_one_archive": (
        "Give either one zip archive, or pictures: each archive is a batch of its own.",
        "Entweder ein Zip-Archiv oder Bilder angeben: Jedes Archiv ist ein eigener Stapel.",
    ),
    "batch_too_large": ("{name} is too large; up to {n} GB at once.", "{name} ist zu groß; bis zu {n} GB auf einmal."),
    "batch_gone": (
        "That is not possible any more: this batch has changed or is gone.",
        "Das geht nicht mehr: Dieser Stapel hat sich geändert oder ist fort.",
    ),
    "batch_offline": (
        "The server cannot be reached; trying again.",
        "Der Server ist nicht erreichbar; neuer Versuch läuft.",
    ),
    "batch_elsewhere": (
        "Another server works on these batches. This page shows them; new ones have to be started there.",
        "Ein anderer Server arbeitet an diesen Stapeln. Hier werden sie gezeigt; neue sind dort zu starten.",
    ),
    "batch_yours": ("Your batches", "Ihre Stapel"),
    "batch_kept": (
        "They stay for {n} days, and only this browser shows them.",
        "Sie bleiben {n} Tage, und nur dieser Browser zeigt sie.",
    ),
    "batch_none": ("Nothing here yet.", "Noch nichts."),
    "batch_pictures_one": ("1 picture", "1 Bild"),
    "batch_pictures": ("{n} pictures", "{n} Bilder"),
    "batch_waiting": ("Waiting for its turn", "Wartet"),
    "batch_running": ("{n} of {total}", "{n} von {total}"),
    "batch_stopped": ("Stopped at {n} of {total}", "Angehalten bei {n} von {total}"),
    "batch_finished_one": ("1 picture finished", "1 Bild fertig"),
    "batch_finished": ("{n} pictures finished", "{n} Bilder fertig"),
    "batch_failed": ("Could not go on", "Ging nicht weiter"),
    "batch_soon": ("a few seconds left", "noch wenige Sekunden"),
    "batch_minute": ("about a minute left", "noch etwa eine Minute"),
    "batch_minutes": ("about {n} minutes left", "noch etwa {n} Minuten"),
    "batch_hours": ("about {n} hours left", "noch etwa {n} Stunden"),
    "batch_progress": ("Progress of {name}", "Fortschritt von {name}"),
    "batch_stop": ("Stop", "Anhalten"),
    "batch_go_on": ("Go on", "Fortsetzen"),
    "batch_again": ("Try the failed ones again", "Fehlgeschlagene noch einmal versuchen"),
    "batch_delete": ("Delete", "Löschen"),
    "batch_delete_sure": ("Really delete?", "Wirklich löschen?"),
    "batch_zip": ("Download all (zip)", "Alles herunterladen (zip)"),
    "batch_failures_one": ("1 picture could not be converted", "1 Bild konnte nicht umgewandelt werden"),
    "batch_failures": ("{n} pictures could not be converted", "{n} Bilder konnten nicht umgewandelt werden"),
    "batch_facts": ("Details", "Einzelheiten"),
    "batch_command": ("The same as a command:", "Dasselbe als Befehl:"),
    "batch_more": ("Show more", "Mehr zeigen"),
}

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
