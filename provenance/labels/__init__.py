"""Labels: what a picture says of itself, to any tool in its metadata and, if asked for, to everyone in its pixels."""

from provenance.labels.embedded import embedded
from provenance.labels.packet import attach, packet
from provenance.labels.reading import NO_LABELS, Labels, read_labels
from provenance.labels.visible import LabelDoesNotFit, check_fits, draw, languages

__all__ = (
    "NO_LABELS",
    "LabelDoesNotFit",
    "Labels",
    "attach",
    "check_fits",
    "draw",
    "embedded",
    "languages",
    "packet",
    "read_labels",
)
