# SPDX-License-Identifier: MIT
"""The shim costs what budgets.md says: not more, and where it costs less, that is written down (make budgets)."""
import budgets
import pytest

CELLS = list(budgets.cells())


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_cost_is_what_the_budget_says(cell):
    number, why = budgets.measured(cell)
    low, high = budgets.allowed(cell)
    assert number <= high, f"{number:g} instead of {cell.held}: {why}"
    assert number >= low, f"{number:g}, less than the {cell.held} of {budgets.FILE.name}: write it down (make budgets)"


def test_every_table_has_numbers():
    assert {cell.table for cell in CELLS} == set(budgets.MEASURED)


def test_every_case_is_held():
    assert {cell.row for cell in CELLS if cell.table == "System calls"} == set(budgets.counting.CASES)
