"""Every word of the page, in each of its languages; the browser's language decides.

A component takes `word("key")`, which Gradio translates in the browser. HTML and JavaScript of our own get the whole
table (`TABLE`) and look words up by the same keys. What the library says (`TranslateError`) is in English.
"""

import gradio as gr
from gradio.i18n import I18nData

LANGUAGES = ("en", "de")

# --- key: (English, German); one section for each part of the page
WORDS: dict[str, tuple[str, str]] = {
    # Models
    "models_tab": ("Models", "Modelle"),
    "models_about": (
        "What each model makes, what it has learnt from, and what you may do with it.",
        "Was jedes Modell kann, woraus es gelernt hat und was damit erlaubt ist.",
    ),
    "models_use": ("Use it", "Verwenden"),
    "models_used": ("In use", "In Gebrauch"),
    "models_open": ("Open", "Öffnen"),
    "models_licence": ("Licence", "Lizenz"),
    "models_data": ("Learnt from", "Gelernt aus"),
    "models_more": ("All measurements", "Alle Messwerte"),
    "models_file": ("File", "Datei"),
    "models_size": ("Size", "Größe"),
    "models_parameters": ("million weights", "Millionen Gewichte"),
    "models_unknown": ("not stated", "nicht angegeben"),
    "models_no_picture": ("No picture yet", "Noch kein Bild"),
    "models_picture": ("What this model makes of its test pictures", "Was dieses Modell aus Testbildern macht"),
    # Training
    "train_tab": ("Train", "Trainieren"),
    "train_runs": ("Trainings", "Trainings"),
    "train_new": ("New training", "Neues Training"),
    "train_what": ("What should it learn?", "Was soll es lernen?"),
    "train_task": ("Task", "Aufgabe"),
    "train_folder": ("Folder of pictures", "Ordner mit Bildern"),
    "train_needs": ("The folder should hold: {needs}.", "In den Ordner gehört: {needs}."),
    "train_no_folders": (
        "There are no pictures in the folder for training data yet. Put some there and load this page again.",
        "Im Ordner für Trainingsdaten sind noch keine Bilder. Bitte welche hineinlegen und die Seite neu laden.",
    ),
    "train_layout": ("Where the pairs are", "Wo die Paare sind"),
    "train_layout_auto": ("In two folders with equal names", "In zwei Ordnern mit gleichen Namen"),
    "train_layout_left": ("Side by side, input on the left", "Nebeneinander, Eingabe links"),
    "train_layout_right": ("Side by side, input on the right", "Nebeneinander, Eingabe rechts"),
    "train_labels": (
        "Each subfolder is a kind of thing, such as shoes and bags",
        "Jeder Unterordner ist eine Art von Dingen, etwa Schuhe und Taschen",
    ),
    "train_check": ("Look at the pictures", "Bilder ansehen"),
    "train_checking": ("Looking at every picture …", "Jedes Bild wird angesehen …"),
    "train_count_pictures": ("pictures", "Bilder"),
    "train_count_pairs": ("pairs", "Paare"),
    "train_count_source": ("inputs", "Eingaben"),
    "train_count_target": ("results", "Ergebnisse"),
    "train_count_day": ("by day", "bei Tag"),
    "train_count_night": ("by night", "bei Nacht"),
    "train_median": ("usually {width} x {height} pixels", "meist {width} x {height} Pixel"),
    "train_which": ("Which ones", "Welche"),
    "train_nothing_wrong": ("Nothing wrong was found.", "Es wurde kein Fehler gefunden."),
    "train_sheet": ("Some of the pictures, as they were read", "Einige der Bilder, so wie sie gelesen wurden"),
    "train_how": ("How long, and how?", "Wie lange und wie?"),
    "train_budget": ("Train for", "Trainieren für"),
    "train_unit": ("Unit", "Einheit"),
    "train_unit_minutes": ("minutes", "Minuten"),
    "train_unit_pictures": ("pictures seen", "gesehene Bilder"),
    "train_advice_minutes": (
        "10 minutes show whether the pictures are right, 2 hours give recognisable results, a night the best ones.",
        "10 Minuten zeigen, ob die Bilder taugen, 2 Stunden geben erkennbare Ergebnisse, eine Nacht die besten.",
    ),
    "train_advice_pictures": (
        "Every picture is seen many times. The result does not depend on the speed of this computer.",
        "Jedes Bild wird viele Male gesehen. Das Ergebnis hängt nicht von der Geschwindigkeit dieses Rechners ab.",
    ),
    "train_preset": ("Recipe", "Rezept"),
    "train_preset_modern": ("Modern", "Modern"),
    "train_preset_classic": ("Classic", "Klassisch"),
    "train_preset_projected": ("With a trained eye", "Mit geschultem Blick"),
    "train_preset_fast-classic": ("Classic, fast", "Klassisch, schnell"),
    "train_preset_fidelity": ("Faithful", "Getreu"),
    "train_preset_fast": ("Faithful, fast", "Getreu, schnell"),
    "train_preset_robust": ("For pictures from the web", "Für Bilder aus dem Netz"),
    "train_about_modern": ("Small and fast; the usual choice.", "Klein und schnell; die übliche Wahl."),
    "train_about_classic": (
        "The recipe of the original paper, for comparison; large and slow.",
        "Das Rezept der Originalarbeit, zum Vergleich; groß und langsam.",
    ),
    "train_about_projected": (
        "Results are judged by a network that already knows photographs; good with few pictures.",
        "Ergebnisse beurteilt ein Netz, das Fotos schon kennt; gut bei wenigen Bildern.",
    ),
    "train_about_fast-classic": (
        "The faster recipe of the original paper, for comparison.",
        "Das schnellere Rezept der Originalarbeit, zum Vergleich.",
    ),
    "train_about_fidelity": ("Nothing is invented; softer results.", "Nichts wird erfunden; weichere Ergebnisse."),
    "train_about_fast": (
        "Nothing is invented, with half the work for each picture.",
        "Nichts wird erfunden, mit halber Arbeit für jedes Bild.",
    ),
    "train_about_robust": (
        "Learns to repair blur, noise and JPEG traces as well.",
        "Lernt auch, Unschärfe, Rauschen und JPEG-Spuren zu beheben.",
    ),
    "train_start_from": ("Start from", "Ausgehen von"),
    "train_from_nothing": ("Nothing", "Nichts"),
    "train_size": ("Picture size", "Bildgröße"),
    "train_size_preset": ("As in the recipe", "Wie im Rezept"),
    "train_go": ("Start", "Starten"),
    "train_go_about": (
        "The training goes on when this page is closed. It can be stopped and continued at any time.",
        "Das Training läuft auch ohne diese Seite weiter. Es lässt sich jederzeit anhalten und fortsetzen.",
    ),
    "train_start": ("Start training", "Training starten"),
    "train_starting": ("Starting …", "Wird gestartet …"),
    "train_one_at_a_time": (
        "{name} is being trained: one at a time.",
        "{name} wird gerade trainiert: immer nur eines auf einmal.",
    ),
    "train_state_preparing": ("Getting ready", "Wird vorbereitet"),
    "train_state_running": ("Training", "Läuft"),
    "train_state_stopping": ("Stopping after this step", "Hält nach diesem Schritt an"),
    "train_state_stopped": ("Stopped", "Angehalten"),
    "train_state_finished": ("Finished", "Fertig"),
    "train_state_failed": ("Failed", "Gescheitert"),
    "train_from_folder": ("pictures of {folder}", "Bilder aus {folder}"),
    "train_pictures_n": ("{n} pictures seen", "{n} gesehene Bilder"),
    "train_pictures": ("pictures seen", "gesehene Bilder"),
    "train_progress": ("Progress", "Fortschritt"),
    "train_seen": ("{n} pictures seen, out of {of} different ones", "{n} Bilder gesehen, aus {of} verschiedenen"),
    "train_left": ("about {time} left", "noch etwa {time}"),
    "train_skipped": ("{n} unusable files left out", "{n} unbrauchbare Dateien ausgelassen"),
    "train_seconds": ("{n} seconds", "{n} Sekunden"),
    "train_minutes": ("{n} minutes", "{n} Minuten"),
    "train_hours": ("{n} hours", "{n} Stunden"),
    "train_stop": ("Stop", "Anhalten"),
    "train_stopping": ("Stopping …", "Wird angehalten …"),
    "train_resume": ("Continue", "Fortsetzen"),
    "train_export": ("Make a model of it", "Modell daraus machen"),
    "train_export_again": ("Make the model again", "Modell neu erstellen"),
    "train_exporting": (
        "Writing the model, and comparing it with the trained network …",
        "Das Modell wird geschrieben und mit dem trainierten Netz verglichen …",
    ),
    "train_use": ("Use it", "Verwenden"),
    "train_parity": (
        "Compared with the trained network: at most {worst} of {full} apart",
        "Verglichen mit dem trainierten Netz: höchstens {worst} von {full} Abstand",
    ),
    "train_parity_about": (
        "The same pictures went through the trained network and through the file.",
        "Dieselben Bilder gingen durch das trainierte Netz und durch die Datei.",
    ),
    "train_parity_size": ("Size", "Größe"),
    "train_parity_controls": ("Controls", "Regler"),
    "train_parity_largest": ("Largest difference", "Größter Abstand"),
    "train_parity_share": ("Values that differ", "Verschiedene Werte"),
    "train_warning": ("Look out:", "Achtung:"),
    "train_warning_past": ("Over by now:", "Inzwischen vorbei:"),
    "train_ended": ("It ended early:", "Vorzeitig beendet:"),
    "train_samples_after": ("After {n} pictures", "Nach {n} Bildern"),
    "train_samples_columns": (
        "Left: what went in. Then: what came out; on the right the true picture, where there is one.",
        "Links: was hineinging. Dann: was herauskam; rechts das wahre Bild, wo es eines gibt.",
    ),
    "train_samples_when": ("Look back at earlier samples", "Auf frühere Proben zurückblicken"),
    "train_losses": ("Losses, for those who know them", "Verlustwerte, für Kenner"),
    "train_losses_about": (
        "What each network tries to make small. In adversarial training they do not fall all the time.",
        "Was jedes Netz klein machen will. Bei Netzen im Wettstreit fallen sie nicht immerzu.",
    ),
    "train_player_generator": ("The network that makes pictures", "Das Netz, das Bilder macht"),
    "train_player_discriminator": ("The network that judges them", "Das Netz, das sie beurteilt"),
    "train_what_it_means": ("What it means", "Was es bedeutet"),
    "train_better_lower": ("Lower is better.", "Kleiner ist besser."),
    "train_better_higher": ("Higher is better.", "Größer ist besser."),
    "train_better_like the truth": ("Best as in real pictures.", "Am besten wie in echten Bildern."),
}

TABLE = {language: {key: texts[place] for key, texts in WORDS.items()} for place, language in enumerate(LANGUAGES)}

translations = gr.I18n(**TABLE)


def table(prefix: str) -> dict[str, dict[str, str]]:
    """The texts of one part of the page by language, for its JavaScript; their keys come without the prefix."""
    return {
        language: {key.removeprefix(prefix): text for key, text in texts.items() if key.startswith(prefix)}
        for language, texts in TABLE.items()
    }


def word(key: str) -> I18nData:
    """The text of `key`, for a component; translated in the browser.

    Raises:
        KeyError: no such text.
    """
    if key not in WORDS:
        raise KeyError(key)
    return translations(key)
