"""Checks of what a router is made of, all of it together."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from resilience._types import type_name
from resilience.providers._llm.ledger import Budget
from resilience.providers._llm.provider import Provider


def checked_providers(providers: Iterable[Provider | Mapping[str, Any]]) -> list[Provider]:
    """Providers, of which there is at least one, under different names.

    Raises:
        TypeError: for something else.
        ValueError: for none, or two of one name.
    """
    several: object = providers
    if not isinstance(several, Iterable) or isinstance(several, (str, Mapping)):
        raise TypeError("providers must be a list of Provider, or of mappings of its settings")
    made = [Provider.from_mapping(each) if isinstance(each, Mapping) else each for each in providers]
    if not made:
        raise ValueError("providers must name at least one provider")
    for each in made:
        if not isinstance(each, Provider):
            raise TypeError(f"providers must be Provider or mappings, got {type_name(each)}")
    names = [each.name for each in made]
    if len(set(names)) != len(names):
        raise ValueError(f"providers must have different names, got {', '.join(names)}: give each a name")
    return made


def checked_budgets(budgets: Iterable[Budget], providers: Sequence[Provider]) -> list[Budget]:
    """Budgets, each of which can be kept: what it covers has prices.

    Raises:
        TypeError: for something else.
        ValueError: for one that can't be kept.
    """
    made = list(budgets)
    for budget in made:
        if not isinstance(budget, Budget):
            raise TypeError(f"budgets must be Budget, got {type_name(budget)}")
        for each in providers:
            if budget.provider in {None, each.name} and each.prices is None:
                raise ValueError(f"budgets need prices: {budget.name} covers {each.name!r}, which has none")
    return made
