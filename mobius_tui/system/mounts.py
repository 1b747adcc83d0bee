"""Which filesystem a folder lies on, and whether locks can be trusted there."""

from __future__ import annotations

import os
import re
from pathlib import Path

NETWORK_FILESYSTEMS = frozenset(
    {
        "9p", "afs", "afp", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.ceph", "fuse.davfs2", "fuse.gcsfuse",
        "fuse.glusterfs", "fuse.goofys", "fuse.juicefs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs",
        "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "prl_fs", "pvfs2", "smb2", "smb3", "smbfs", "vboxsf", "vmhgfs",
        "fuse.vmhgfs-fuse",
    }
)  # fmt: skip
"""Filesystems on which ``flock`` and SQLite's shared memory do not reach the other machines."""

MOUNTINFO = Path("/proc/self/mountinfo")
"""What is mounted where, proc(5)."""


def filesystem_of(path: Path, mountinfo: Path = MOUNTINFO) -> str:
    """The type of the filesystem that a path lies on, or would lie on.

    Args:
        path: A file or folder; where it is missing its nearest parent counts.
        mountinfo: The table of mounts.

    Returns:
        A type like ``ext4``; empty when the system does not tell.
    """
    try:
        lines = mountinfo.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    real = os.path.realpath(path)
    best, kind = -1, ""
    for line in lines:
        left, found, right = line.partition(" - ")
        fields = left.split(" ")
        if not found or len(fields) < 5:
            continue
        point = _unescaped(fields[4])
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:  # a later mount on the same place hides the earlier one
            best, kind = len(point), right.split(" ", 1)[0]
    return kind


def network_filesystem(path: Path, mountinfo: Path = MOUNTINFO) -> str | None:
    """The type of the network filesystem a path lies on; None when it lies on none."""
    kind = filesystem_of(path, mountinfo)
    return kind if kind in NETWORK_FILESYSTEMS else None


def _unescaped(point: str) -> str:
    r"""A mount point as a path: the kernel writes space, tab, newline and backslash as ``\040`` and so on."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point)
