# SPDX-License-Identifier: MIT
"""The errnos of answers: the recorder names those that these interfaces use, and numbers the rest.

`-EINVAL` is 22, and `-E52` is 52, which has a name in the headers but not in transcripts.
"""

from __future__ import annotations

import difflib
import errno
import re

__all__ = ["canonical", "name_of", "nearest"]

# fmt: off
_NAMED = (
    "EPERM", "ENOENT", "EINTR", "EIO", "ENXIO", "E2BIG", "EBADF", "EAGAIN", "ENOMEM", "EACCES",
    "EFAULT", "EBUSY", "EEXIST", "EXDEV", "ENODEV", "EINVAL", "ENFILE", "EMFILE", "ENOTTY",
    "ENOSPC", "ESPIPE", "EROFS", "EPIPE", "EDOM", "ERANGE", "EDEADLK", "ENOSYS", "ENODATA",
    "EOVERFLOW", "EOPNOTSUPP", "EADDRINUSE", "ENOBUFS", "ETIMEDOUT", "EALREADY", "EPROTO", "EBADFD",
    "EMEDIUMTYPE", "ENOKEY", "ECANCELED", "EMSGSIZE", "ENOTDIR", "EISDIR",
)
# fmt: on
_NAMES = {getattr(errno, name): name for name in _NAMED}
_NUMBERS = {
    name: number for name, number in vars(errno).items() if name[0] == "E" and name.isupper()
}
_LAST = 4095  # include/linux/err.h: MAX_ERRNO
_NUMBERED = re.compile(r"E([1-9][0-9]{0,3})")


def name_of(number: int) -> str:
    """How a transcript writes an errno: `EINVAL`, or `E52` for those that it has no name for."""
    return _NAMES.get(number, f"E{number}")


def canonical(text: str) -> str | None:
    """The same errno as `name_of` writes it; None for what is no errno: `EEXISTS`, `E5000`."""
    number = _NUMBERS.get(text)
    if number is None:
        numbered = _NUMBERED.fullmatch(text)
        if numbered is None or int(numbered[1]) > _LAST:
            return None
        number = int(numbered[1])
    return name_of(number)


def nearest(text: str) -> str | None:
    """The errno that was probably meant."""
    near = difflib.get_close_matches(text, _NUMBERS, n=1)
    return near[0] if near else None
