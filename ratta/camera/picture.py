"""Picture files, as `ratta.media` reads them for every part of the package."""

from ratta.media.picture import PICTURE_SUFFIXES, list_pictures, read_picture

__all__ = ["PICTURE_SUFFIXES", "list_pictures", "read_picture"]
