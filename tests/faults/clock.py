"""A wall clock that a test sets for other processes, by a library loaded before all others."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static volatile long *offset_seconds;

static long ahead(void) {
    if (!offset_seconds) {
        const char *name = getenv("CRUCIBLE_TEST_CLOCK");
        int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
        if (file < 0) return 0;
        void *found = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
        if (found == MAP_FAILED) return 0;
        offset_seconds = found;
    }
    return *offset_seconds;
}

int clock_gettime(clockid_t which, struct timespec *told) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(which, told);
    if (!failed && which == CLOCK_REALTIME) told->tv_sec += ahead();
    return failed;
}

int gettimeofday(struct timeval *restrict told, void *restrict zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
    int failed = real(told, zone);
    if (!failed) told->tv_sec += ahead();
    return failed;
}

time_t time(time_t *told) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (told) *told = now.tv_sec;
    return now.tv_sec;
}
"""


class Clock:
    """A clock for the processes that get its `environment`; it begins at the right time.

    Args:
        folder: where the library is made.

    Raises:
        FileNotFoundError: there is no C compiler.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise FileNotFoundError("a clock for other processes needs a C compiler")
        self._file, library = folder / "clock", folder / "clock.so"
        self.set(0)
        with tempfile.NamedTemporaryFile("w", suffix=".c") as source:
            source.write(SOURCE)
            source.flush()
            subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), source.name,
                            "-ldl"], check=True)  # fmt: skip
        self.environment = {
            "LD_PRELOAD": str(library),
            "CRUCIBLE_TEST_CLOCK": str(self._file),
        }

    def set(self, seconds: int) -> None:
        """Let it be so far ahead of the right time, from now on."""
        with self._file.open("r+b" if self._file.exists() else "wb") as opened:
            opened.write(struct.pack("=q", seconds))
