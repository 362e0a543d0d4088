"""What each category means, where it is grounded, and what a person is told when it was the reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from policies.errors import PolicyError
from policies.findings import Category
from policies.reading import MAX_POLICY_BYTES, SHIPPED, parse_toml, read_limited

TAXONOMY_FILE = SHIPPED / "taxonomy.toml"

_FIELDS = frozenset({"title", "meant", "not_meant", "grounds", "decision_ground", "reason"})


@dataclass(frozen=True, slots=True)
class TaxonomyEntry:
    """One category in words.

    `meant` and `not_meant`: plain descriptions for reviewers and classifier authors. `grounds`: clauses, most
    specific first. `decision_ground`: `illegal` or `incompatible`, as DSA Art 17(3)(d) and (e) tell them apart.
    `reason`: sentence for the statement of reasons; addressed to the person, without blame.
    """

    category: Category
    title: str
    meant: str
    not_meant: str
    grounds: tuple[str, ...]
    decision_ground: str
    reason: str


def load_taxonomy() -> Mapping[str, TaxonomyEntry]:
    """Every category, keyed by its value, in the order of `Category`.

    Raises `PolicyError` if the shipped file misses a category, names an unknown one, or leaves a field out.
    """
    data = parse_toml(TAXONOMY_FILE, read_limited(TAXONOMY_FILE, MAX_POLICY_BYTES))
    if strangers := sorted(set(data) - set(Category)):
        raise PolicyError(str(TAXONOMY_FILE), strangers[0], "unknown category", "Name it in policies/findings.py first")
    return MappingProxyType({category.value: _entry(category, data.get(category.value)) for category in Category})


def _entry(category: Category, fields: object) -> TaxonomyEntry:
    def refuse(field: str, remedy: str) -> PolicyError:
        return PolicyError(str(TAXONOMY_FILE), f"{category.value}{field}", "the entry is not whole", remedy)

    if not isinstance(fields, dict) or set(fields) != _FIELDS:
        raise refuse("", f"Give exactly {', '.join(sorted(_FIELDS))}")
    grounds = fields.pop("grounds")
    if not isinstance(grounds, list) or not grounds or not all(isinstance(ground, str) for ground in grounds):
        raise refuse(".grounds", "Give a list with at least one clause")
    for name, text in fields.items():
        if not isinstance(text, str) or not text.strip():
            raise refuse(f".{name}", "Give words")
    if fields["decision_ground"] not in ("illegal", "incompatible"):
        raise refuse(".decision_ground", "Give 'illegal' or 'incompatible'")
    return TaxonomyEntry(category=category, grounds=tuple(grounds), **fields)
