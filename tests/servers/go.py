"""Servers that are Go modules and not in Debian: each is built once, with its version pinned, into build/."""

import os
import shutil
import subprocess
from pathlib import Path

from servers.base import Server
from support.box import ROOT


class GoServer(Server):
    module = version = None  # of the program's package

    @classmethod
    def program(cls):
        name = cls.module.rsplit("/", 1)[1]
        return ROOT / "build" / name / cls.version / name

    @classmethod
    def missing(cls):
        program = cls.program()
        if program.exists():
            return None
        go = shutil.which("go")
        if not go:
            return f"Go is not installed: {program.name} cannot be built"
        program.parent.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "GOBIN": str(program.parent), "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
        done = subprocess.run([go, "install", f"{cls.module}@{cls.version}"], env=env, capture_output=True, text=True, timeout=900, cwd=Path("/"))
        if done.returncode != 0:
            return f"{program.name} {cls.version} could not be built: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no reason given'}"
        return None
