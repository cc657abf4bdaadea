"""Redis with a script in Lua: the windows live in a server."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from importlib import import_module
from typing import Any

from benchmarks.rivals.work import MICROS, Events, Timed, Values, Windows, finished, key_of

SCRIPT = """
local now, answer = tonumber(ARGV[1]), {}
for place = 0, (#ARGV - 1) / 4 - 1 do
  local key, fold = KEYS[place + 1], ARGV[place * 4 + 2]
  local span, enters, value = tonumber(ARGV[place * 4 + 3]), ARGV[place * 4 + 4] == '1', ARGV[place * 4 + 5]
  local first = now - span
  if key == '' then
    answer[place + 1] = ''
  elseif fold == 'recency' then
    local last = redis.call('GET', key)
    if enters then redis.call('SET', key, ARGV[1], 'PX', span / 1000) end
    answer[place + 1] = (last and tonumber(last) > first) and string.format('%.0f', now - tonumber(last)) or ''
  else
    local log, sums = key .. ':l', key .. ':s'
    if enters and value ~= '' then
      redis.call('RPUSH', log, ARGV[1] .. ' ' .. value)
      redis.call('HINCRBY', sums, fold == 'distinct' and value or 'n', 1)
      if fold == 'sum' or fold == 'mean' or fold == 'std' then redis.call('HINCRBY', sums, 'x', value) end
      if fold == 'std' then redis.call('HINCRBY', sums, 'q', string.format('%.0f', tonumber(value) ^ 2)) end
      redis.call('PEXPIRE', log, span / 1000 + 1000)
      redis.call('PEXPIRE', sums, span / 1000 + 1000)
    end
    while true do
      local head = redis.call('LINDEX', log, 0)
      if not head then break end
      local space = string.find(head, ' ', 1, true)
      if tonumber(string.sub(head, 1, space - 1)) > first then break end
      local old = string.sub(head, space + 1)
      redis.call('LPOP', log)
      if redis.call('HINCRBY', sums, fold == 'distinct' and old or 'n', -1) == 0 and fold == 'distinct' then
        redis.call('HDEL', sums, old)
      end
      if fold == 'sum' or fold == 'mean' or fold == 'std' then redis.call('HINCRBY', sums, 'x', '-' .. old) end
      if fold == 'std' then redis.call('HINCRBY', sums, 'q', string.format('%.0f', -tonumber(old) ^ 2)) end
    end
    if fold == 'distinct' then
      answer[place + 1] = tostring(redis.call('HLEN', sums))
    else
      local found = redis.call('HMGET', sums, 'n', 'x', 'q')
      answer[place + 1] = (found[1] or '0') .. ' ' .. (found[2] or '0') .. ' ' .. (found[3] or '0')
    end
  end
end
return answer
"""


def redis(events: Events, windows: Windows, seconds: float) -> Timed:
    """Redis on a Unix socket: one Lua call an event, 100 events a pipeline; logs and sums per key and window."""
    client_of = import_module("redis").Redis
    with tempfile.TemporaryDirectory() as folder:
        socket = os.path.join(folder, "redis.sock")
        command = ["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
        try:
            client = client_of(unix_socket_path=socket)
            _await(client, import_module("redis.exceptions").ConnectionError)
            return _redis(client, events, windows, seconds)
        finally:
            server.terminate()
            server.wait(30)


def _await(client: Any, refused: type[Exception]) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            client.ping()
            return
        except refused:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _redis(client: Any, events: Events, windows: Windows, seconds: float) -> Timed:
    digest = client.script_load(SCRIPT)
    values: Values = []
    began = time.perf_counter()
    until = began + seconds
    for start in range(0, len(events), 100):
        part = events[start : start + 100]
        pipeline = client.pipeline(transaction=False)
        for event in part:
            keys, given = [], [event["t"]]
            for place, window in enumerate(windows):
                key = key_of(window, event)
                value = event.get(window["field"]) if window["field"] else 1
                enters = "1" if event["type"] in window["of"] else "0"
                keys.append("" if key is None else f"{place}:{key}")
                given += [window["fold"], window["span_s"] * MICROS, enters, "" if value is None else value]
            pipeline.evalsha(digest, len(keys), *keys, *given)
        for answers in pipeline.execute():
            values.append([_answer(window, text) for window, text in zip(windows, answers, strict=True)])
        if time.perf_counter() > until:
            break
    return values, time.perf_counter() - began


def _answer(window: dict[str, Any], text: bytes) -> float | None:
    if not text:
        return None
    if window["fold"] == "recency":
        return int(text) / MICROS
    if window["fold"] == "distinct":
        return float(text)
    count, total, squares = (int(part) for part in text.split())
    return finished(window["fold"], count, total, squares)
