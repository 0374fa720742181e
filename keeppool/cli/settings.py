"""Limits and timeouts from the command line, laid over a configuration file.

Decides: which of them wins. Knows: the options' names. Does not know: which values are possible; `Limits` does.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace

from keeppool import Config, HostConfig, Timeout, load_config, presets
from keeppool.cli.endings import UsageError
from keeppool.config import INHERIT
from keeppool.errors import ConfigError
from keeppool.fleet import Fleet

#: The options by the fields that they set.
_OPTIONS = {
    "per_host": "--per-host",
    "total": "--total",
    "pace.per_second": "--pace",
    "pipelining": "--pipelining",
    "preset": "--preset",
    "timeout": "--timeout",
    "url": "--fleet",
    "name": "--fleet-name",
}


def config_of(arguments: Namespace) -> Config:
    """Build the configuration `keeppool fetch` runs with.

    Raises:
        ConfigError: The file is invalid.
        UsageError: The preset, the fleet's URL or a number is.
    """
    config = load_config(arguments.config) if arguments.config is not None else Config()
    try:
        return _laid_over(config, arguments)
    except ConfigError as error:
        if error.field not in _OPTIONS:
            raise
        # Only a cap may be none on the command line.
        rule, lifted, rest = error.rule.partition(", or None")
        if lifted and error.field in ("per_host", "total"):
            rule = f"{rule}, or none{rest}"
        value = f"{error.value:g}" if isinstance(error.value, float) else error.value
        raise UsageError(f"{_OPTIONS[error.field]} {value}: {rule}") from error


def _laid_over(config: Config, arguments: Namespace) -> Config:
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
