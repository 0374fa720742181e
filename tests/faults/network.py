"""A network of a process's own, and what can go wrong with it: Linux, by network namespaces.

`alone(...)` is a command line that runs a program where nothing but an interface of its own is there; the other
functions are called within it. No other program is needed, and nothing outside is touched.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

_SIOCSIFADDR, _SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFNETMASK = 0x8916, 0x8913, 0x8914, 0x891C
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI, _IFF_UP = 0x400454CA, 0x0001, 0x1000, 0x1


@functools.cache
def _prefix() -> list[str] | None:
    """Find a command that makes a network namespace; `None` if this machine allows none."""
    for command in (["unshare", "-rn"], ["unshare", "-n"], ["sudo", "-n", "-E", "unshare", "-n"]):
        if shutil.which(command[0]) and subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return command
    return None


def alone(*arguments: str) -> list[str]:
    """Give the command line that runs this Python in a network namespace of its own, or skip the test."""
    prefix = _prefix()
    if prefix is None:
        pytest.skip("this machine lets nobody make a network namespace")
    return [*prefix, sys.executable, *arguments]


def _interface(request: int, name: str, data: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return fcntl.ioctl(sock, request, struct.pack("16s24s", name.encode(), data))


def _address(text: str) -> bytes:
    return struct.pack("HH4s", socket.AF_INET, 0, socket.inet_aton(text))


def turn(on: bool, name: str = "lo") -> None:
    """Switch an interface on or off. What is connected over one that is off hears nothing any more, and not why."""
    (flags,) = struct.unpack_from("H", _interface(_SIOCGIFFLAGS, name, b""), 16)
    _interface(_SIOCSIFFLAGS, name, struct.pack("H", flags | _IFF_UP if on else flags & ~_IFF_UP))


def without_ipv4() -> None:
    """Leave loopback its IPv6 address only."""
    turn(True)
    _interface(_SIOCSIFADDR, "lo", _address("0.0.0.0"))


def without_ipv6() -> None:
    """Leave loopback its IPv4 address only."""
    Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
    turn(True)


def with_ports(first: int, last: int) -> None:
    """Have the system choose the port of whoever connects among these only."""
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"{first} {last}")


def swallowing(name: str = "void", address: str = "10.9.8.1", mask: str = "255.255.255.0") -> int:
    """Make an interface whose every packet is lost. Gives its descriptor, which keeps it there."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    _interface(_SIOCSIFADDR, name, _address(address))
    _interface(_SIOCSIFNETMASK, name, _address(mask))
    turn(True, name)
    return descriptor
