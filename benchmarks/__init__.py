"""Programs that print the figures keeppool claims, peers beside it in the same run.

Each runs as `python -m benchmarks.NAME` and as `python benchmarks/NAME.py`:

- `sequential`: one keep-alive GET after the other from nginx, beside other clients.
- `tasks`: many tasks that share six connections to nginx, beside other asyncio clients.
- `core_cost`: acquire and release of an idle connection, with much else in the tables.
- `probe_cost`: the look at an idle socket before each reuse.
- `import_cost`: what importing costs.

Figures in microseconds belong to one machine; ratios between rows of one run are what can be compared.
"""
