"""Hashes of files, each file read once, several at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from frod.audit.findings import NOTHING, Findings

BLOCK = 1 << 20
UNREADABLE = "unreadable"
"""In place of the hash of a file that the system gives no bytes of."""


@dataclass
class Digests:
    """sha256 and, for DVC, md5 of files, by path."""

    md5: bool = False
    """Whether md5 is wanted as well: both come from one reading."""
    _known: dict[str, tuple[str, str]] = field(default_factory=dict)

    def read(self, paths: Iterable[Path | str], progress: Callable[[int, int], None] = lambda done, all: None) -> None:
        """Hash files side by side (hashlib lets other threads run); missing ones are left out."""
        wanted = [path for path in dict.fromkeys(map(str, paths)) if path not in self._known and os.path.isfile(path)]
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for done, (path, digests) in enumerate(zip(wanted, pool.map(self._hash, wanted)), start=1):
                self._known[path] = digests
                progress(done, len(wanted))

    def sha256(self, path: Path | str, *, md5: bool = False) -> str | None:
        """Hash of a file (`md5`: DVC's), None where there is none."""
        if str(path) not in self._known:
            self.read([path])
        return self._known.get(str(path), (None, None))[md5]

    def _hash(self, path: str) -> tuple[str, str]:
        sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        try:
            with open(path, "rb", buffering=0) as file:
                while block := file.read(BLOCK):
                    sha256.update(block)
                    if self.md5:
                        md5.update(block)
        except OSError:
            return UNREADABLE, UNREADABLE
        return sha256.hexdigest(), md5.hexdigest()

    def __len__(self) -> int:
        return len(self._known)

    def compare(self, findings: Findings, path: Path | str, expected: str, *, by: str, remedy: str = "") -> bool:
        """Hold a file against a hash that the file `by` states; returns whether it has it."""
        findings.checked["hashes"] += 1
        found = self.sha256(path)
        if found == expected:
            return True
        what = f"sha256 (in {by})" if found else f"is named in {by}, and missing"
        findings.add(path, what, expected, found or NOTHING, remedy=remedy)
        return False
