# SPDX-License-Identifier: MIT
"""Hypothesis state machines to subclass: your code in the place of the calls, their model as judge.

- `ContainerMachine` opens containers, groups and devices, joins and closes them: it knows who holds
  what, and what is refused because of it.
- `Type1Machine` maps and unmaps in a type 1 container: it knows what a device reaches, page by
  page, and what is pinned and charged.
- `TceTableMachine` makes hypercalls on a POWER guest's TCE table: it knows every entry, and what
  each hypercall returns.

Each makes an emulated machine, holds a model of it that is too simple to be wrong, and compares the
two after every step. The methods that make the calls are there to be overridden by the code under
test; the model stays. Hypothesis runs a machine through its `TestCase`:

    class MyMachine(Type1Machine):
        def map_dma(self, iova, offset, size, access): ...

    TestMine = MyMachine.TestCase
"""

from __future__ import annotations

from ._container import ContainerMachine
from ._tce import TceTableMachine
from ._type1 import Type1Machine

__all__ = ["ContainerMachine", "TceTableMachine", "Type1Machine"]
