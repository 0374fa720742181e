"""The soak: very many requests of every kind to servers of every manner, and a count of what went wrong.

`python -m benchmarks.soak` makes 30,000 in a minute. What each request is, which host it goes to and which fault
it meets there, is a function of the seed and of the request's number alone (`plan.py`); `--only NUMBER` sends one of
them again. Threads, tasks, and threads that fork each run in a process of their own (`caller.py`), before servers in
another one (`server.py`) that count what they have carried out and what is open, and before nginx, Apache httpd, Node,
HAProxy, squid, tinyproxy and Redis where they are installed (`real.py`). Each part ends with its accounts
(`ledger.py`), and the command prints one table of all. Whatever is not zero there is a fault, and makes the exit
status 1.
"""
