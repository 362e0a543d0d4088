"""Which build this is: it stands in every manifest and log entry."""

from importlib.metadata import version

SYSTEM = "Fluxgate"
SYSTEM_VERSION = version("fluxgate")
