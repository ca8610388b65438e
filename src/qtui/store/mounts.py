"""Which file system a directory is on: several hosts may see a network file system, and none shares memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

NETWORK: Final = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ncpfs",
        "afs",
        "coda",
        "9p",
        "ceph",
        "lustre",
        "gpfs",
        "beegfs",
        "orangefs",
    }
    | {"gfs2", "ocfs2", "panfs", "davfs", "virtiofs", "vboxsf", "prl_fs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph"}
    | {"fuse.ceph-fuse", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.juicefs", "fuse.vmhgfs-fuse"}
    | {"fuse.grpcfuse", "fuse.osxfs", "fuse.moosefs", "fuse.mfs", "fuse.lizardfs"}
)
"""File systems, as Linux calls them, that another kernel may change."""


def network_of(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The name of the network file system that `path` is on (``nfs4``); empty on a local one, or if nobody can tell.

    Raises OSError if `path` is not there.
    """
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # not Linux
        return ""
    for line in lines:
        mount, _, rest = line.partition(" - ")
        fields = mount.split()
        if len(fields) > 2 and fields[2] == wanted:
            kind = rest.partition(" ")[0]
            return kind if kind in NETWORK else ""
    return ""
