"""Limits and timeouts from the command line, laid over a configuration file.

Decides: which of them wins. Knows: the options' names. Does not know: which values are possible; `Limits` does.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace

from keeppool import Config, HostConfig, Timeout, load_config, presets
from keeppool.config import INHERIT
from keeppool.fleet import Fleet


def config_of(arguments: Namespace) -> Config:
    """Build the configuration `keeppool fetch` runs with.

    Raises:
        ConfigError: The file, the preset, the fleet's URL or a number is invalid.
    """
    config = load_config(arguments.config) if arguments.config is not None else Config()
    limits = presets.by_name(arguments.preset) if arguments.preset is not None else config.limits
    caps = {name: getattr(arguments, name) for name in ("per_host", "total")}
    limits = replace(limits, **{name: cap for name, cap in caps.items() if cap is not INHERIT})
    said = {name: getattr(arguments, name) for name in ("pace", "pipelining")}
    given = {name: value for name, value in said.items() if value is not None}
    defaults = HostConfig(**given).over(config.defaults) if given else config.defaults
    fleet = config.fleet if arguments.fleet is None else Fleet.from_url(arguments.fleet, arguments.fleet_name)
    timeout = _timeout(config.timeout, arguments.timeout)
    return replace(config, limits=limits, timeout=timeout, defaults=defaults, fleet=fleet)


def _timeout(base: Timeout, seconds: float | None) -> Timeout:
    timeout = base if seconds is None else Timeout.of(seconds, base)
    # The queue is of our own making: to wait in it for long is no failure, unless the file says so.
    return replace(timeout, stall=None if base.stall == Timeout().stall else base.stall)
