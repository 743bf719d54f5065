"""What the page says where one picture is made; see `ui.words`."""

from collections.abc import Mapping

WORDS: Mapping[str, tuple[str, str]] = {
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
    "page.stopping": (
        "The server is being stopped; try again later.",
        "Der Server wird gerade angehalten; bitte später noch einmal versuchen.",
    ),
    "page.other_site": ("only the page itself may ask for this", "das darf nur die Seite selbst anfragen"),
    "page.no_length": ("the length is missing", "die Länge fehlt"),
    # controls that several tabs have
    "choice.model": ("Model", "Modell"),
    "choice.label": ("What is it?", "Was ist es?"),
    "choice.open": ("Open a picture", "Bild öffnen"),
    "choice.format": ("Format", "Format"),
    "choice.same": ("As the original", "Wie das Original"),
    "choice.credentials": ("Content credentials", "Herkunftsnachweis"),
    "choice.credentials_info": (
        "A signed note in the file: which model made it, from which file. It does not tell who you are.",
        "Ein signierter Vermerk in der Datei: welches Modell sie aus welcher Datei gemacht hat. Wer Sie sind, sagt er "
        "nicht.",
    ),
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
    "model.super-resolution-free": ("4 times, free for any use", "4-mal, frei für jeden Zweck"),
    "model.super-resolution-x2": ("2 times as large", "2-mal so groß"),
    "model.super-resolution-x2-free": ("2 times, free for any use", "2-mal, frei für jeden Zweck"),
    "model.super-resolution-photo": ("4 times, photographs from the web", "4-mal, Fotos aus dem Netz"),
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
