"""The zoo: `architectures.get("siamese").build(channels=[64, 128, 256])` gives a network.

Every module in this folder is loaded and enters its networks: a new family is one new file.
"""

import pkgutil
from importlib import import_module

from hpo.architectures.contract import Architecture, Outputs, architectures, count_parameters


__all__ = ["Architecture", "Outputs", "architectures", "count_parameters"]

for _module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
