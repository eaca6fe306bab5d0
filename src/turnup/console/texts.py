"""Every word that people read passes here, so that a catalogue of another language finds it."""

from gettext import NullTranslations

TRANSLATIONS = NullTranslations()


def _(text: str) -> str:
    return TRANSLATIONS.gettext(text)
