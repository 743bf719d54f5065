"""Every word of the page, in each of its languages; the browser's language decides.

A component takes `word("key")`, which Gradio translates in the browser. HTML and JavaScript of our own call
`word(key, facts)`, which `HEAD` defines there; messages that are made while an event is handled come from
`text(key, request)`. What the library says (`TranslateError`), file names and the labels of models are not translated.
"""

import json

import gradio as gr
from gradio.i18n import I18nData
from starlette.requests import Request

from translate.tasks import TASKS

LANGUAGES = ("en", "de")

# --- key: (English, German); one section for each part of the page. {name} is a fact that is filled in.
WORDS: dict[str, tuple[str, str]] = {
    # the page
    "page.title": ("Translate pictures", "Bilder übersetzen"),
    "page.failed": ("Conversion failed", "Umwandlung fehlgeschlagen"),
    "page.offline": (
        "The program behind this page does not answer. Is it still running?",
        "Das Programm hinter dieser Seite antwortet nicht. Läuft es noch?",
    ),
    "page.broken": (
        "The program behind this page failed ({status}).",
        "Das Programm hinter dieser Seite hat einen Fehler gemacht ({status}).",
    ),
    "page.too_large": (
        "This file is too large; use one of up to {megabytes} MB.",
        "Diese Datei ist zu groß; erlaubt sind höchstens {megabytes} MB.",
    ),
    "page.other_site": ("only the page itself may ask for this", "das darf nur die Seite selbst anfragen"),
    "page.no_length": ("the length is missing", "die Länge fehlt"),
    # controls that several tabs have
    "choice.model": ("Model", "Modell"),
    "choice.label": ("What is it?", "Was ist es?"),
    "choice.open": ("Open a picture", "Bild öffnen"),
    "choice.format": ("Format", "Format"),
    "choice.same": ("As the original", "Wie das Original"),
    "choice.examples": ("Or try an example", "Oder ein Beispiel ausprobieren"),
    # the tabs of tasks whose input is a file
    "tab.drop": (
        "Or drop a picture on the large one, or paste it",
        "Oder ein Bild auf dem großen ablegen oder einfügen",
    ),
    "tab.style": ("Style", "Stil"),
    "tab.random_style": ("Random style", "Zufälliger Stil"),
    "tab.default_style": ("Default (0)", "Standard (0)"),
    "tab.detail": ("Fine detail", "Feine Einzelheiten"),
    "tab.detail_info": (
        "Left is faithful; right is sharper, with invented detail: plausible, but not necessarily true.",
        "Links ist getreu; rechts ist schärfer, mit erfundenen Einzelheiten: glaubhaft, aber nicht unbedingt wahr.",
    ),
    "tab.strength": ("Strength", "Stärke"),
    "tab.download": ("Download {name}", "{name} herunterladen"),
    "tab.frames": (
        "This is the first of {frames} frames; the file to download has all of them.",
        "Das ist das erste von {frames} Einzelbildern; die Datei zum Herunterladen enthält alle.",
    ),
    "tab.not_shown": (
        "The result is too large to show here; the file to download is complete.",
        "Das Ergebnis ist zu groß, um es hier zu zeigen; die Datei zum Herunterladen ist vollständig.",
    ),
    "tab.smaller": (
        "Shown smaller: the file to download has {width} x {height} pixels.",
        "Verkleinert gezeigt: die Datei zum Herunterladen hat {width} x {height} Pixel.",
    ),
    # before and after
    "compare.tools": ("View", "Ansicht"),
    "compare.view": ("How to compare", "Wie verglichen wird"),
    "compare.line": ("Slide", "Regler"),
    "compare.line_title": ("On top of each other, with a line to drag", "Übereinander, mit einer Linie zum Ziehen"),
    "compare.side": ("Side by side", "Nebeneinander"),
    "compare.side_title": ("All views show the same place", "Alle Ansichten zeigen dieselbe Stelle"),
    "compare.against": ("Compare with", "Vergleichen mit"),
    "compare.bicubic": ("Bicubic", "Bikubisch"),
    "compare.zoom": ("Zoom", "Vergrößerung"),
    "compare.in": ("Zoom in", "Vergrößern"),
    "compare.out": ("Zoom out", "Verkleinern"),
    "compare.fit": ("Fit", "Ganz"),
    "compare.fit_title": ("The whole picture", "Das ganze Bild"),
    "compare.full_title": ("Every pixel of the result", "Jedes Pixel des Ergebnisses"),
    "compare.stage": (
        "Pictures to compare; zoom with + and -, move with the arrow keys",
        "Bilder zum Vergleichen; mit + und - vergrößern, mit den Pfeiltasten bewegen",
    ),
    "compare.size": ("{width} x {height} pixels.", "{width} x {height} Pixel."),
    "compare.speed": (
        "Made in {seconds} s, {megapixels} million pixels per second.",
        "In {seconds} s erstellt, {megapixels} Millionen Pixel pro Sekunde.",
    ),
    "compare.traces": (
        "This picture shows traces of JPEG compression; the model for photographs from the web removes them.",
        "Dieses Bild zeigt Spuren von JPEG-Kompression; das Modell für Fotos aus dem Netz entfernt sie.",
    ),
    "compare.no_traces": (
        "This picture shows no traces of JPEG compression; another model keeps more of its detail.",
        "Dieses Bild zeigt keine Spuren von JPEG-Kompression; ein anderes Modell erhält mehr Einzelheiten.",
    ),
    "compare.suggested": ("Use that model", "Dieses Modell verwenden"),
    # models that are shipped, where their task alone does not say which
    "model.super-resolution": ("4 times as large", "4-mal so groß"),
    "model.super-resolution-x2": ("2 times as large", "2-mal so groß"),
    "model.super-resolution-robust": ("4 times, photographs from the web", "4-mal, Fotos aus dem Netz"),
    # about a model
    "about.working_size": (
        "The model works at {pixels} pixels on the longer side, so finer detail is lost; "
        "the result has the size of the picture.",
        "Das Modell arbeitet mit {pixels} Pixeln auf der längeren Seite, feinere Einzelheiten gehen also verloren; "
        "das Ergebnis ist so groß wie das Bild.",
    ),
    "about.cropped": (
        "A drawing that is small on its sheet is cropped first.",
        "Eine Zeichnung, die klein auf ihrem Blatt steht, wird zuerst ausgeschnitten.",
    ),
    "about.same_size": ("The result has the size of the picture.", "Das Ergebnis ist so groß wie das Bild."),
    "about.scale": (
        "The result is {scale} times as wide and high as the picture.",
        "Das Ergebnis ist {scale} Mal so breit und so hoch wie das Bild.",
    ),
    "about.data": ("The model was trained on {data}.", "Das Modell wurde trainiert mit: {data}."),
    "about.private": (
        "Pictures stay on the computer that runs this page. Model licence: {licence}.",
        "Bilder bleiben auf dem Rechner, auf dem diese Seite läuft. Lizenz des Modells: {licence}.",
    ),
    # the canvas
    "sketch.tools": ("Drawing tools", "Zeichenwerkzeuge"),
    "sketch.thin": ("Thin pen", "Dünner Stift"),
    "sketch.medium": ("Medium pen", "Mittlerer Stift"),
    "sketch.thick": ("Thick pen", "Dicker Stift"),
    "sketch.eraser": ("Eraser", "Radierer"),
    "sketch.undo": ("Undo", "Rückgängig"),
    "sketch.redo": ("Redo", "Wiederholen"),
    "sketch.clear": ("Clear", "Leeren"),
    "sketch.sheet": (
        "Sheet to draw on with a mouse, a pen, a finger, or the arrow keys and the space bar",
        "Blatt zum Zeichnen mit Maus, Stift, Finger oder mit Pfeiltasten und Leertaste",
    ),
    "sketch.hint": ("Draw here, or drop a picture", "Hier zeichnen oder ein Bild ablegen"),
    "sketch.example_hint": (
        "An example: draw here to begin your own",
        "Ein Beispiel: einfach zeichnen, um neu zu beginnen",
    ),
    "sketch.use_as": ("Use the picture as", "Das Bild verwenden als"),
    "sketch.drawing": ("Drawing", "Zeichnung"),
    "sketch.drawing_title": ("The picture is a drawing already", "Das Bild ist schon eine Zeichnung"),
    "sketch.lines": ("Lines of a photo", "Linien eines Fotos"),
    "sketch.lines_title": (
        "The lines of the photograph are drawn for you",
        "Die Linien des Fotos werden nachgezeichnet",
    ),
    "sketch.trace": ("Trace it", "Abpausen"),
    "sketch.trace_title": (
        "The picture lies under the sheet and is not part of the drawing",
        "Das Bild liegt unter dem Blatt und gehört nicht zur Zeichnung",
    ),
    "sketch.examples": ("Or begin with an example", "Oder mit einem Beispiel beginnen"),
    "sketch.random_look": ("Random look", "Zufälliges Aussehen"),
    "sketch.six": ("Six variations", "Sechs Varianten"),
    "sketch.variation": ("Variation {number}", "Variante {number}"),
    "sketch.number": ("Style number", "Nummer des Stils"),
    "sketch.like": ("Like this photo", "Wie dieses Foto"),
    "sketch.usual_look": ("Usual look", "Übliches Aussehen"),
    "sketch.copy": ("Copy as a command", "Als Befehl kopieren"),
    "sketch.copied": (
        "Copied. Run it where the program is installed.",
        "Kopiert. Dort ausführen, wo das Programm installiert ist.",
    ),
    "sketch.empty": (
        "The sheet is empty: draw something or open a picture first.",
        "Das Blatt ist leer: zuerst etwas zeichnen oder ein Bild öffnen.",
    ),
    "sketch.drawn_over": (
        "You drew on it, so the file is made from this sheet of {width} x {height} pixels.",
        "Darauf wurde gezeichnet, die Datei entsteht also aus diesem Blatt von {width} x {height} Pixeln.",
    ),
    "sketch.these_lines": ("These lines are what the model sees.", "Diese Linien sieht das Modell."),
    "sketch.reading": ("Reading the picture ...", "Das Bild wird gelesen ..."),
    "sketch.matching": ("Trying looks like that of the photo ...", "Ein Aussehen wie das des Fotos wird gesucht ..."),
    "sketch.saving": ("Making the file ...", "Die Datei wird erstellt ..."),
    # the look
    "look.brightness": ("Brightness", "Helligkeit"),
    "look.dark": ("dark", "dunkel"),
    "look.light": ("light", "hell"),
    "look.hue": ("Hue", "Farbton"),
    "look.colour": ("Colour", "Farbe"),
    "look.grey": ("grey", "grau"),
    "look.strong": ("strong", "kräftig"),
    "look.contrast": ("Contrast", "Kontrast"),
    "look.soft": ("soft", "weich"),
    "look.hard": ("hard", "hart"),
    "look.texture": ("Texture", "Textur"),
    "look.smooth": ("smooth", "glatt"),
    "look.rough": ("rough", "rau"),
    # keyboard shortcuts
    "keys.title": ("Keyboard shortcuts", "Tastenkürzel"),
    "keys.drawing": ("Drawing", "Zeichnen"),
    "keys.comparing": ("Comparing", "Vergleichen"),
    "keys.pens": ("Thin, medium, thick pen", "Dünner, mittlerer, dicker Stift"),
    "keys.download": ("Download", "Herunterladen"),
    "keys.by_keyboard": (
        "On the sheet, the arrow keys move the pen and the space bar puts it down or lifts it; "
        "with Shift it moves further.",
        "Auf dem Blatt bewegen die Pfeiltasten den Stift, die Leertaste setzt ihn auf oder hebt ihn ab; "
        "mit der Umschalttaste geht es weiter voran.",
    ),
    "keys.move": ("Move a picture that is zoomed in", "Ein vergrößertes Bild verschieben"),
    "keys.close": ("Close", "Schließen"),
}

# --- what depends on the task; a task's own words are English, `task.NAME.FIELD` has them in every language

_GERMAN_TASKS = {
    # name: (name, summary, input, output, "the" input, "the" output)
    "sketch-to-photo": (
        "Skizze zu Foto", "Aus einer Strichzeichnung ein Foto machen",
        "Skizze", "Foto", "die Skizze", "das Foto",
    ),
    "day-to-night": (
        "Tag zu Nacht", "Aus Bildern vom Tag Nachtbilder machen",
        "Tagbild", "Nachtbild", "das Tagbild", "das Nachtbild",
    ),
    "night-to-day": (
        "Nacht zu Tag", "Aus Bildern der Nacht Tagbilder machen",
        "Nachtbild", "Tagbild", "das Nachtbild", "das Tagbild",
    ),
    "super-resolution": (
        "Vergrößern", "Bilder vergrößern, schärfer als durch Strecken",
        "Kleines Bild", "Großes Bild", "das kleine Bild", "das große Bild",
    ),
    "pix2pix": (
        "Pix2pix", "Jede Übersetzung, die Paare zeigen: Bilder nebeneinander oder gleichen Namens in zwei Ordnern",
        "Eingabe", "Ergebnis", "die Eingabe", "das Ergebnis",
    ),
    "cyclegan": (
        "Cyclegan", "Jede Übersetzung zwischen zwei Sammlungen ohne Paare, hin und zurück",
        "Eingabe", "Ergebnis", "die Eingabe", "das Ergebnis",
    ),
    "cut": (
        "Cut", "Dasselbe nur in eine Richtung, doppelt so schnell und mit halb so viel Speicher",
        "Eingabe", "Ergebnis", "die Eingabe", "das Ergebnis",
    ),
}  # fmt: skip

_OF_TASKS = {
    "download": ("Download {the_output}", "{output} herunterladen"),
    "save": ("Save {the_input}", "{input} speichern"),
    "appears": ("{The_output} appears here.", "Hier erscheint {the_output}."),
    "compare": ("Compare {the_input} and {the_output}", "{input} und {output} vergleichen"),
    "made_from": ("{The_output} made from {the_input}", "{The_output}, entstanden durch {the_input}"),
    "command": ("The command that makes {the_output}", "Der Befehl, mit dem {the_output} entsteht"),
}
"""Sentences that name the input or the result of a task: `task.NAME.FIELD`."""


def title(name: str) -> str:
    """`day-to-night` -> `Day to night`."""
    return name.replace("-", " ").replace("_", " ").capitalize()


def _task_words() -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for task in TASKS.values():
        own = (title(task.name), task.summary, task.input_label, task.output_label)
        english = (*own, f"the {task.input_label.lower()}", f"the {task.output_label.lower()}")
        names = ("name", "summary", "input", "output", "the_input", "the_output")
        pairs = zip(english, _GERMAN_TASKS[task.name], strict=True)
        both: dict[str, tuple[str, str]] = dict(zip(names, pairs, strict=True))
        the, das = both["the_output"]
        both["The_output"] = (the[0].upper() + the[1:], das[0].upper() + das[1:])
        for field, texts in both.items():
            found[f"task.{task.name}.{field}"] = texts
        for field, texts in _OF_TASKS.items():
            filled = [text.format(**{name: both[name][place] for name in both}) for place, text in enumerate(texts)]
            found[f"task.{task.name}.{field}"] = (filled[0], filled[1])
    return found


WORDS |= _task_words()

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

WORDS |= {
    # --- models and training
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

_SCRIPT = """
const table = TABLE, language = navigator.language.split("-")[0];
const words = table[language] ?? table.en;
window.word = (key, facts = {}) => {
  if (!(key in words)) throw new Error(`no word for ${key}`);
  return words[key].replace(/\\{(\\w+)\\}/g, (_, name) => facts[name]);
};
window.escaped = (text) => String(text).replace(/[&<>"'`]/g, (sign) => `&#${sign.charCodeAt()};`);
"""


HEAD = f"<script>(() => {{{_SCRIPT.replace('TABLE', json.dumps(TABLE, ensure_ascii=False), 1)}}})();</script>"
"""The script for the head of the page: `word(key, facts)`, and `escaped(text)` for what is put into HTML."""


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


def text(key: str, request: gr.Request | Request | None = None, **facts: object) -> str:
    """The text of `key` in the language that the browser of a request prefers.

    Args:
        key: the key in `WORDS`.
        request: whose `Accept-Language` decides; None is English.
        facts: what is filled in.

    Raises:
        KeyError: no such text, or a fact is missing.
    """
    return TABLE[language_of(request)][key].format(**facts)


def language_of(request: gr.Request | Request | None) -> str:
    """The first language of `Accept-Language`, which browsers sort; English if the page does not speak it."""
    accepted = "" if request is None else request.headers.get("accept-language", "")
    first = accepted.split(",")[0].split(";")[0].split("-")[0].strip().lower()
    return first if first in LANGUAGES else LANGUAGES[0]
