"""The one script that Redis runs for a fleet: ask, renew, give back, keep the pace; and what goes in and comes out.

Decides: in Redis, in one step, who may have how many connections of a key, and when the next request may start.
Knows: the names of the keys, and Redis' clock: no member's own clock enters.
Does not know: connections, who calls it and when.

Each member says how many connections it *has*, every time: so the same call renews, gives back, and registers again
what was forgotten, by an expired lease, a failover or an emptied Redis. What is registered above the cap keeps others
from getting any until it is worked off.

What a member may have in the long run is its share: the cap divided by the members that hold or ask, and one more for
as many as the remainder says, by the order of a hash of key and member that moves on every few seconds. Nobody who is
below their share waits for those who are above it; what nobody below their share asks for, others may have.

No step takes longer the more members there are, but for the logarithm: sums are kept, not counted again.

Source: Josiah Carlson, Redis in Action, §6.3 (counting semaphores with timeouts); the pace is that of `core/pace.py`.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, NamedTuple

#: Seconds after which the order moves on by which the remainder of the cap is given out. A connection given to another
#: member costs it a handshake, so not each second; who has none waits no longer than this for a turn.
TURN_S = 5
#: Seconds for which it counts that somebody has asked. Who still wants something asks again within a quarter of one.
ASK_S = 2

SCRIPT = """
local leases, held, asks, poor, ranks, pace, hold = unpack(KEYS)
local pid, rank = ARGV[1], ARGV[2]
local cap, have, want, ttl = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local starts, gap, burst = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local ended, holds = tonumber(ARGV[10]), tonumber(ARGV[11])
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local ms = math.floor(now)

local function drop(one)
  local n = tonumber(redis.call('HGET', held, one) or '0')
  if n > 0 then redis.call('HINCRBY', held, '*', -n) end
  redis.call('HDEL', held, one, one .. ':since')
  for _, set in ipairs({leases, asks, poor, ranks}) do redis.call('ZREM', set, one) end
end

for _, one in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', ms, 'LIMIT', 0, 64)) do drop(one) end
redis.call('ZREMRANGEBYSCORE', asks, '-inf', ms)
redis.call('ZREMRANGEBYSCORE', poor, '-inf', ms)

local grant, give, used, parties, share, place, others = 0, 0, 0, 0, 0, 0, 0
-- Never sooner than another member has said: its ttl may be longer.
local function keep(...)
  local life = 2 * ttl + ASK
  for _, key in ipairs({...}) do
    if redis.call('PTTL', key) < life then redis.call('PEXPIRE', key, life) end
  end
end

local function count()
  parties = redis.call('ZCARD', leases)
  place = (redis.call('ZRANK', ranks, pid) + math.floor(now / TURN)) % parties
  if cap >= 0 then
    share = math.floor(cap / parties)
    if place < cap % parties then share = share + 1 end
  end
end

if have == 0 and want == 0 then
  -- Who has nothing yet and stands in line for a start is one of those among whom the pace is divided.
  local stood = gap > 0 and not redis.call('HGET', held, pid) and redis.call('ZSCORE', leases, pid)
  drop(pid)
  if starts > 0 or stood then
    redis.call('ZADD', leases, ms + ASK, pid)
    redis.call('ZADD', ranks, rank, pid)
    count()
    keep(leases, ranks)
  end
elseif cap >= 0 then
  redis.call('ZADD', leases, ms + ttl, pid)
  redis.call('ZADD', ranks, rank, pid)
  local before = tonumber(redis.call('HGET', held, pid) or '0')
  if have ~= before then redis.call('HINCRBY', held, '*', have - before) end
  used = tonumber(redis.call('HGET', held, '*') or '0')
  count()
  local below = redis.call('ZCARD', poor)
  if redis.call('ZSCORE', poor, pid) then below = below - 1 end
  local free = math.max(0, cap - used)
  grant = math.min(want, free, math.max(0, share - have))
  if below == 0 then grant = math.min(want, free) end
  local has = have + grant
  if grant > 0 then used = redis.call('HINCRBY', held, '*', grant) end
  if has > 0 then
    redis.call('HSET', held, pid, has, '*cap', cap)
    redis.call('HSETNX', held, pid .. ':since', ms)
  else
    redis.call('HDEL', held, pid, pid .. ':since')
    redis.call('ZADD', leases, ms + ASK, pid)
  end
  if want > grant then redis.call('ZADD', asks, ms + ASK, pid) else redis.call('ZREM', asks, pid) end
  if want > grant and has < share then
    redis.call('ZADD', poor, ms + ASK, pid)
  else
    redis.call('ZREM', poor, pid)
  end
  others = redis.call('ZCARD', asks)
  if want > grant then others = others - 1 end
  if used > cap then
    give = math.max(0, has - share)
  elseif below > 0 then
    give = math.min(math.max(0, has - share), below)
  end
  keep(leases, held, asks, poor, ranks)
end

if holds > 0 and redis.call('PTTL', hold) < holds then redis.call('SET', hold, '1', 'PX', math.ceil(holds)) end
local left = math.max(0, redis.call('PTTL', hold))
local reply = {grant, give, used, parties, share, place, others, left}
if gap > 0 and (starts > 0 or ended > 0) then
  local slack = gap * (burst - 1)
  local due = tonumber(string.match(redis.call('GET', pace) or '0', '^%S+'))
  if ended > 0 then due = math.max(due, now + gap) end
  for i = 1, starts do
    local at = math.max(now + left, due - slack)
    due = math.max(at, due) + gap
    reply[#reply + 1] = string.format('%.3f', at - now)
  end
  redis.call('SET', pace, string.format('%.3f %.3f', due, gap), 'PX', math.ceil(math.max(due - now, 0) + slack + 1000))
end
return reply
""".replace("TURN", str(TURN_S * 1000)).replace("ASK", str(ASK_S * 1000))

#: The parts of a key's record, in the order the script takes them.
PARTS = ("leases", "held", "asks", "poor", "ranks", "pace", "hold")


class Reply(NamedTuple):
    """What Redis has said of one key.

    Attributes:
        granted: Connections the member may open beyond those it has.
        give_back: How many of those it has it is to close.
        used: Connections of all members.
        parties: Members that hold or ask, or stand in line for a start.
        share: What the member may have in the long run.
        place: Its place in the order of those who get one of the remainder.
        others: Other members that ask.
        hold: Seconds for which a server's Retry-After holds on.
        starts: Seconds until each of the starts that were reserved.
    """

    granted: int
    give_back: int
    used: int
    parties: int
    share: int
    place: int
    others: int
    hold: float
    starts: tuple[float, ...]


def keys_of(fleet: str, key: str) -> list[str]:
    """Name the parts of a key's record; in a cluster all of them are in one slot."""
    return [f"kp:{fleet}:{{{key}}}:{part}" for part in PARTS]


def rank_of(key: str, pid: str) -> int:
    """Give a member's number in the order of one key: a hash, so that each member is early for some keys."""
    return int.from_bytes(hashlib.blake2b(f"{key} {pid}".encode(), digest_size=6).digest(), "big")


def reply_of(raw: Any) -> Reply:
    """Read what the script has returned.

    Raises:
        ValueError: Something else has come, so this is no Redis, or not this script.
    """
    try:
        granted, give_back, used, parties, share, place, others = (int(value) for value in raw[:7])
        hold, *starts = (float(value) / 1000 for value in raw[7:])
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"no reply of the script: {raw!r:.100}") from error
    if not all(map(math.isfinite, (hold, *starts))) or min(granted, give_back, used, parties, share) < 0:
        raise ValueError(f"no reply of the script: {raw!r:.100}")
    return Reply(granted, give_back, used, parties, share, place, others, hold, tuple(starts))
