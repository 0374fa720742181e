"""Programs that print the figures keeppool claims, with its peers in the same run.

`python -m benchmarks` asks all questions, `--quick` in a few minutes; `questions.py` lists them, and the goals (bars).
Each is also a program of its own: `python -m benchmarks.sequential`, or `python benchmarks/sequential.py`.
The peers come with the extra `bench`; nginx from the system. Apart from these there are:

- `count`: what one request takes in steps instead of time; a test holds it to that.
- `stale`: how clients fare with servers that close connections.
- `sdk`: a thousand requests at once through openai, and a third of them cancelled.
- `soak`: very many requests to servers of every manner, and a count of what went wrong.
- `crawl`: a crawl by Scrapy, with its own handler and with keeppool's.
- `watched`, `fleet`: what `keeppool top` costs the process it looks at; what a call to Redis costs.

The questions' programs measure twice, with client and server on one core and on all of them. These last ones do not:
they count, or are about several processes, and run on all cores.

Figures in microseconds belong to one machine; ratios between rows of one run are what can be compared.
"""

import sys
from pathlib import Path

# A program that is run as a file has this folder first where modules are looked for, and `httpx` is not meant to be the
# program of that name here.
sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).resolve().parent]
