"""The layouts of data sets, by name: each reads its tables or folders, and makes masks of what it holds."""

from types import ModuleType

from ftu.datasets import competition, folders

LAYOUTS: dict[str, ModuleType] = {"competition": competition, "folders": folders}
