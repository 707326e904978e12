"""The zoo: `architectures.get("siamese").build(channels=[64, 128, 256])` gives a network."""

from hpo.architectures import siamese
from hpo.architectures.contract import Architecture, Outputs, architectures, count_parameters


FAMILIES = (siamese,)
"""The modules whose networks are in the zoo; a family is entered by being imported."""

__all__ = ["FAMILIES", "Architecture", "Outputs", "architectures", "count_parameters"]
