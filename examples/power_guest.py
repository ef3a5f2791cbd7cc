# SPDX-License-Identifier: MIT
"""A POWER guest maps a page for a device, twice: answered in the kernel, and by way of a VMM."""

from kvmiommu import System
from kvmiommu.kvm import Guest, Kvm
from kvmiommu.spapr import SpaprContainer
from kvmiommu.uapi.kvm import KVM_DEV_TYPE_VFIO
from kvmiommu.uapi.papr import H_PUT_TCE
from kvmiommu.vfio import Group
from kvmiommu.vmm import Bus, Vmm

RAM = 16 << 20
IN_KERNEL, IN_USER_SPACE = 0x80000001, 0x80000002

with System("powernv9") as system:
    process = system.process()
    ram = process.mmap(RAM, 3, 0x22, align=2 << 20)

    # The device's group gets a window of 64 KiB pages, and the guest's memory is registered.
    container = SpaprContainer(process)
    group = Group(process, 1)
    group.set_container(container)
    container.set_iommu()
    container.remove_window(0)
    start = container.create_window(page_shift=16, size=1 << 28)
    container.register_memory(ram, RAM)

    vm = Kvm(process).create_vm()
    vmm = Vmm(Guest(vm, ram, RAM))

    # One bus has its table in the kernel, with the group's window behind it; the other's table is
    # the VMM's, who maps with VFIO_IOMMU_MAP_DMA.
    table = vm.create_spapr_tce(IN_KERNEL, page_shift=16, size=4096)
    device = vm.create_device(KVM_DEV_TYPE_VFIO)
    device.add_file(group)
    device.set_spapr_tce(group, table)
    vmm.add_bus(Bus(IN_USER_SPACE, container, start, page_shift=16, size=4096))

    for liobn in (IN_KERNEL, IN_USER_SPACE):
        before = vmm.vcpu.figures
        answers = vmm.run([(H_PUT_TCE, liobn, 0x30000, 0x50003)])
        after = vmm.vcpu.figures
        print(
            f"bus {liobn:#x}: H_PUT_TCE = {answers[0].r3}, "
            f"answered by the kernel {after.kernel - before.kernel}, "
            f"by user space {after.user - before.user}; "
            f"the hardware has {system.tces(1, 0, 3, 1)[0]:#x}"
        )
