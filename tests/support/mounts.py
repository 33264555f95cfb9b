"""File systems of a test's own: a small tmpfs that gets full, and an ext4 in a file whose power can be cut.

They are mounted in a mount namespace of this process and its children, so nobody else sees them, and when the last of those
processes ends, however it ends, the kernel takes mounts and loop devices away.
"""

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

EXT4_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
NO_LOG_FLUSH = struct.pack("I", 2)  # what the file system's own log has not written yet is gone too
CLONE_NEWNS = 0x00020000

_entered = False


def missing(loop=False):
    """Why nothing can be mounted here; None where it can."""
    if os.geteuid() != 0:
        return "mounting a file system needs root"
    if loop and not os.path.exists("/dev/loop-control"):
        return "no loop devices here"
    if loop and not shutil.which("mkfs.ext4"):
        return "mkfs.ext4 is not installed"
    return enter()


def in_chroot():
    """Whether this process has another root than its mount namespace: a process that enters the namespace again leaves the chroot."""
    with tempfile.TemporaryDirectory() as directory:
        return subprocess.run(["nsenter", "--mount=/proc/self/ns/mnt", "test", "-e", directory], timeout=30).returncode != 0


def enter():
    """Once for this process: mounts made from here on are its own. Those made elsewhere still arrive."""
    global _entered
    if _entered:
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        return f"no mount namespace: {os.strerror(ctypes.get_errno())}"
    done = subprocess.run(["mount", "--make-rslave", "/"], capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        return f"no mount namespace: {done.stderr.strip()}"
    _entered = True
    return None


def _do(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def can_cut(directory):
    """Why the power of a file system cannot be cut here; None where it can: one is made, cut and mounted again."""
    reason = missing(loop=True)
    if reason:
        return reason
    try:
        with Ext4(Path(directory) / "try.img", Path(directory) / "try", 8) as fs:
            (fs.path / "written").write_bytes(b"x" * 5000)
            fs.cut()
            fs.again()
            if (fs.path / "written").exists():
                return "a cut file system still has what was never synced"
    except OSError as e:
        return f"no power can be cut here: {e}"
    return None


class Mount:
    """A directory something is mounted on."""

    def __init__(self, path):
        self.path = Path(path)
        self.mounted = False
        self.path.mkdir(parents=True, exist_ok=True)

    def __enter__(self):
        try:
            self.mount()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    def unmount(self):
        """Whoever still has something open there keeps it, but the name is free."""
        if self.mounted and subprocess.run(["umount", str(self.path)], capture_output=True, timeout=60).returncode != 0:
            _do("umount", "--lazy", self.path)
        self.mounted = False

    def close(self):
        self.unmount()


class Tmpfs(Mount):
    """So many pages and inodes, and no more until grow(). An inode goes for its own directory."""

    PAGE = 4096

    def __init__(self, path, pages, inodes=0):
        super().__init__(path)
        self.limits = f"size={pages * self.PAGE},nr_inodes={inodes}"

    def mount(self):
        _do("mount", "-t", "tmpfs", "-o", f"{self.limits},mode=0755", "chunklift-test", self.path)
        self.mounted = True

    def grow(self, mib=512):
        self.limit(f"size={mib}m,nr_inodes=0")

    def limit(self, options):
        _do("mount", "-o", f"remount,{options}", self.path)

    def shrink_to_fit(self, spare_pages=0):
        """Room for so many more pages and not one more, also while somebody is filling it."""
        for tries in range(100):
            fs = os.statvfs(self.path)
            try:
                return self.limit(f"size={(fs.f_blocks - fs.f_bfree + spare_pages) * self.PAGE}")
            except OSError:
                if tries == 99:
                    raise

    def take_inodes(self):
        """No file can be made any more."""
        fs = os.statvfs(self.path)
        self.limit(f"nr_inodes={fs.f_files - fs.f_ffree}")


class Ext4(Mount):
    """An ext4 in a file. cut(): from now on it is as a disk whose power failed; again(): what is found when the power is back."""

    # Renaming over a file shall not write that file's bytes out as a favour: only fsync may.
    OPTIONS = "noauto_da_alloc"

    def __init__(self, image, path, mib, options=""):
        super().__init__(path)
        self.image = Path(image)
        self.options = ",".join(o for o in (self.OPTIONS, options) if o)
        with open(self.image, "wb") as f:
            f.truncate(mib << 20)
        _do("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image)
        self.cuts, self.cut_time = 0, 0.0
        self.handle = -1

    def mount(self):
        _do("mount", "-o", f"loop,{self.options}", self.image, self.path)
        self.mounted = True
        self.handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)

    def cut(self):
        """A sync under way may still come back as if it had been done (its bytes were written and the file system can no longer say
        where): only what was acknowledged before cut_time counts."""
        self.cut_time = time.time()
        fcntl.ioctl(self.handle, EXT4_SHUTDOWN, NO_LOG_FLUSH)
        self.cuts += 1

    def again(self, options=None):
        """Nobody may have anything open there; what is left of killed processes is waited for."""
        self._let_go()
        for tries in range(200):
            try:
                _do("umount", self.path)
                break
            except OSError:
                if tries == 199:
                    raise
                time.sleep(0.05)
        self.mounted = False
        if options is not None:
            self.options = ",".join(o for o in (self.OPTIONS, options) if o)
        self.mount()

    def _let_go(self):
        if self.handle >= 0:
            os.close(self.handle)
        self.handle = -1

    def close(self):
        self._let_go()
        self.unmount()
        devices = subprocess.run(["losetup", "-j", str(self.image)], capture_output=True, text=True, timeout=30).stdout
        for line in devices.splitlines():  # the mount takes its device along; one that stayed is taken away here
            subprocess.run(["losetup", "-d", line.split(":")[0]], capture_output=True, timeout=30)
        self.image.unlink(missing_ok=True)
