"""Commands that are imported when they are asked for: checking an image does not wait for what drawing one needs."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


class LazyGroup(TyperGroup):
    """A group of commands by what a person wants.

    `panels`: the headings of `--help` in their order, and below each its commands: name → `module:attribute` of a
    `typer.Typer` that holds one command or several.
    """

    panels: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """Every name, imported or not."""
        return [name for panel in self.panels.values() for name in panel]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, imported now. None if there is no such command."""
        for heading, panel in self.panels.items():
            if cmd_name in panel:
                module, _, attribute = panel[cmd_name].partition(":")
                command: Any = typer.main.get_command(getattr(import_module(module), attribute))
                command.name, command.rich_help_panel = cmd_name, heading
                return command
        return None
