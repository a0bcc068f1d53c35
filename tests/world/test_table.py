# SPDX-License-Identifier: MIT
"""The table has a row for each server of the world and no other."""
import table
import test_world


def test_every_server_of_the_world_has_its_row():
    asked = [value.LABEL for name, value in vars(test_world).items() if name.startswith("Test")]
    assert len(set(asked)) == len(asked)
    assert table.WRITES or sorted(table.rows()) == sorted(asked)
