# SPDX-License-Identifier: MIT
"""Help for tests of VFIO and KVM code.

`kvmiommu.testing.plugin` is a pytest plugin that pip installs with the package: its fixtures
(`kvmiommu_system`, `kvmiommu_process`, `vfio_container`, `vfio_group`, `kvm_vm`) are there without
an import. `kvmiommu.testing.strategies` has Hypothesis strategies and `kvmiommu.testing.stateful`
state machines (they need Hypothesis).

    import pytest

    @pytest.mark.kvmiommu_machine("q35-intel")
    def test_map(vfio_container, kvmiommu_process):
        buffer = kvmiommu_process.mmap(0x1000, 3, 0x22)
        vfio_container.map_dma(0x100000, buffer, 0x1000)
        assert vfio_container.unmap_all() == 0x1000
"""
