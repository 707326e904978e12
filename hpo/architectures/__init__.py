"""The registry of networks: `architectures.get("siamese").build(channels=[64, 128, 256])`.

Importing this package imports every module of its folder. Each module registers its networks, so
that adding a family of networks takes one new file.
"""

import pkgutil
from importlib import import_module

from hpo.architectures.contract import Architecture, Outputs, architectures, count_parameters


__all__ = ["Architecture", "Outputs", "architectures", "count_parameters"]

for _module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
