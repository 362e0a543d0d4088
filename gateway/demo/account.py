"""What the demonstration found, step by step, and how it is told: to a person, to a program, or as a page."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import orjson
import typer
from rich.console import Console
from rich.markup import escape

_PAGE = Path(__file__).parent / "page.html.jinja"


@dataclass(frozen=True, slots=True)
class Step:
    """One claim. `checks`: (what was checked, did it hold). `facts`: what was seen, for a reader."""

    name: str
    title: str
    checks: tuple[tuple[str, bool], ...]
    facts: tuple[tuple[str, str], ...] = ()
    pictures: tuple[tuple[str, str], ...] = ()

    @property
    def held(self) -> bool:
        """True if something was checked and all of it held: no checks are no proof."""
        return bool(self.checks) and all(held for _, held in self.checks)


@dataclass(slots=True)
class Account:
    """Tells each step as it ends, and keeps all of them for the page."""

    as_json: bool
    steps: list[Step] = field(default_factory=list)
    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))

    @contextmanager
    def working(self, title: str) -> Iterator[None]:
        """Shows that something is going on."""
        if self.as_json:
            yield
            return
        with self.console.status(title):
            yield

    def tell(self, step: Step) -> None:
        """Tells a finished step."""
        self.steps.append(step)
        if self.as_json:
            said = {
                "step": step.name,
                "ok": step.held,
                "checks": [{"check": check, "ok": held} for check, held in step.checks],
                "facts": dict(step.facts),
            }
            typer.echo(orjson.dumps(said).decode())
            return
        sign = "[green]✓[/green]" if step.held else "[red]✗[/red]"
        self.console.print(f"{sign} [bold]{escape(step.title)}[/bold]")
        for check, held in step.checks:
            self.console.print(f"    {'[green]held[/green]  ' if held else '[red]FAILED[/red]'} {escape(check)}")
        for name, value in step.facts:
            self.console.print(f"    [dim]{escape(name)}:[/dim] {escape(value)}")

    @property
    def held(self) -> bool:
        """True if every step held."""
        return bool(self.steps) and all(step.held for step in self.steps)

    def write_page(self, file: Path, facts: Mapping[str, Any]) -> None:
        """The account as one self-contained page beside the pictures it shows."""
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
        template = environment.from_string(_PAGE.read_text("utf-8"))
        file.write_text(template.render(steps=self.steps, held=self.held, **facts), "utf-8")
