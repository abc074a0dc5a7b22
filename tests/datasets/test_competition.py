"""The competition's tables: which of their columns can say who belongs together."""

import pytest

from ftu.datasets import competition
from ftu.errors import InputError


@pytest.mark.parametrize("column", ["set", "image"])
def test_a_group_is_not_a_column_that_the_pipeline_makes(tmp_path, column):
    with pytest.raises(InputError, match=f"train.csv: column {column}, which data.group names, is one that"):
        competition.read_train(tmp_path / "train.csv", organs=["kidney"], sources=["HPA"], group=[column])
