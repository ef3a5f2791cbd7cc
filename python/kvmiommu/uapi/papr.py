"""Hypercalls of a POWER guest that concern TCE tables, and their return codes."""

# ---- Hypercalls

# The number is in r3. Arguments begin at r4: the window's number (liobn), the I/O bus address, then
# what each call needs. The return code comes back in r3, the entry that H_GET_TCE read in r4.

H_GET_TCE = 0x1C
H_PUT_TCE = 0x20
H_STUFF_TCE = 0x138  # one value, r7 times
H_PUT_TCE_INDIRECT = 0x13C  # the r7 entries of a list in guest memory, at most 512

# ---- Return codes

H_SUCCESS = 0
H_BUSY = 1
H_CLOSED = 2
H_NOT_AVAILABLE = 3
H_CONSTRAINED = 4
H_PARTIAL = 5
H_TOO_HARD = 9999  # Linux's own, never seen by a guest: leave it to user space
H_HARDWARE = -1
H_FUNCTION = -2
H_PRIVILEGE = -3
H_PARAMETER = -4
H_NO_MEM = -9
H_AUTHORITY = -10
H_PERMISSION = -11
H_RESOURCE = -16
H_TABLE_FULL = -41
H_RESCINDED = -46
H_P2 = -55
H_P3 = -56
H_P4 = -57
H_P5 = -58

# ---- A translation control entry

TCE_PCI_READ = 1 << 0  # the device may read
TCE_PCI_WRITE = 1 << 1


__all__ = [name for name in globals() if name.startswith(("H_", "TCE_"))]
