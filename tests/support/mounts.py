"""File systems of a test's own: a small tmpfs to fill, and an ext4 in a file with simulated power failures.

They are mounted in a mount namespace of this process and its children, so other processes do not see them. When the last of those
processes ends, in any way, the kernel removes mounts and loop devices.
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
NO_LOG_FLUSH = struct.pack("I", 2)  # also drops the part of the file system's log that is not on disk yet
CLONE_NEWNS = 0x00020000

_entered = False


def missing(loop=False):
    """The reason why this machine cannot mount file systems, or None."""
    if os.geteuid() != 0:
        return "mounting a file system needs root"
    if loop and not os.path.exists("/dev/loop-control"):
        return "no loop devices here"
    if loop and not shutil.which("mkfs.ext4"):
        return "mkfs.ext4 is not installed"
    return enter()


def in_chroot():
    """True if this process has another root than its mount namespace: a process that enters the namespace again leaves the chroot."""
    with tempfile.TemporaryDirectory() as directory:
        return subprocess.run(["nsenter", "--mount=/proc/self/ns/mnt", "test", "-e", directory], timeout=30).returncode != 0


def enter():
    """Gives this process its own mount namespace, once. Later mounts stay private; mounts made outside still appear."""
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
    """The reason why this machine cannot simulate a power failure, or None. It makes a file system, cuts it and mounts it again."""
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
    """A directory for a mount."""

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
        """Frees the name. Processes with open files there keep them."""
        if self.mounted and subprocess.run(["umount", str(self.path)], capture_output=True, timeout=60).returncode != 0:
            _do("umount", "--lazy", self.path)
        self.mounted = False

    def close(self):
        self.unmount()


class Tmpfs(Mount):
    """A tmpfs limited to this many pages and inodes until grow(). Its root directory takes one inode."""

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
        """Leaves room for exactly spare_pages more pages, even while another process fills it."""
        for tries in range(100):
            fs = os.statvfs(self.path)
            try:
                return self.limit(f"size={(fs.f_blocks - fs.f_bfree + spare_pages) * self.PAGE}")
            except OSError:
                if tries == 99:
                    raise

    def take_inodes(self):
        """Leaves no free inode."""
        fs = os.statvfs(self.path)
        self.limit(f"nr_inodes={fs.f_files - fs.f_ffree}")


class Ext4(Mount):
    """An ext4 in a file. cut() simulates a power failure; again() mounts the state that survived it."""

    # A rename over a file must not write its data to disk by itself: only fsync may.
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
        """Cuts the power. A sync in progress may still report success (its bytes are written and the file system can no longer return an
        error): only acknowledgements before cut_time count."""
        self.cut_time = time.time()
        fcntl.ioctl(self.handle, EXT4_SHUTDOWN, NO_LOG_FLUSH)
        self.cuts += 1

    def again(self, options=None):
        """Mounts it again after a cut. No process may have open files there; this waits for killed processes to exit."""
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
        for line in devices.splitlines():  # the unmount normally removes its loop device; this removes one that is left
            subprocess.run(["losetup", "-d", line.split(":")[0]], capture_output=True, timeout=30)
        self.image.unlink(missing_ok=True)
