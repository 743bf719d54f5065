"""The canvas, and what it asks for while it is drawn on."""
