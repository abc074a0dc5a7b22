"""What the Human Reference Atlas calls the competition's organs and their functional tissue units.

Source: Bidanta et al. 2025, Functional tissue units in the Human Reference Atlas,
doi:10.1038/s41467-024-54591-6; its table of 22 units, data/asct-22-FTUs.csv (columns FTU Label in Uberon,
FTU ID in Uberon, Organ_ID) in
https://github.com/cns-iu/hra-ftu-vccf-supporting-information at commit 8109449.
"""

from typing import NamedTuple


class Unit(NamedTuple):
    """A functional tissue unit, with ids of UBERON."""

    label: str
    identifier: str
    organ: str  # the organ's id


UNITS = {  # by the competition's name of the organ
    "kidney": Unit("renal corpuscle", "UBERON:0001229", "UBERON:0002113"),
    "largeintestine": Unit("crypt of Lieberkuhn", "UBERON:0001984", "UBERON:0000059"),
    "lung": Unit("alveolus of lung", "UBERON:0002299", "UBERON:0002048"),
    "prostate": Unit("prostate glandular acinus", "UBERON:0004179", "UBERON:0002367"),
    "spleen": Unit("white pulp", "UBERON:0001959", "UBERON:0002106"),
}
