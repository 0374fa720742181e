// The waterfall. Reads the record in #data, lays it out once for each choice of filters, and draws what is in sight.
//
// A canvas, not SVG: ten thousand requests have some fifty thousand phases, and a document with as many elements takes
// seconds to lay out and stutters when it is moved. Drawn, they take milliseconds. What a canvas cannot do, be read
// aloud and be searched, the tables below do with the same content.
//
// Nothing from the record is ever made markup: text goes into text nodes, and onto the canvas.
//
// One file, because it becomes the page's one script. In order: text, layout, drawing, facts, moving about, tables, filters.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const record = JSON.parse(byId("data").textContent);
  const AXIS = 24, HEADER = 24, LANE = 14, BAR = 9, GAP = 12, QUEUE_MOST = 72, QUEUE_ROW = 6, EDGE = 12, OVERVIEW = 48;
  const PHASES = ["queue", "lost", "name", "connect", "proxy", "tls", "sending", "wait", "receive"];
  const PHASE_TEXT = {
    queue: "waiting", lost: "lost attempt", name: "name", connect: "TCP", proxy: "proxy", tls: "TLS",
    sending: "sending", wait: "first byte", receive: "receiving",
  };
  const ROOM_TEXT = { host: "room at its host (per_host)", proxy: "room at its proxy (per_proxy)", total: "room in the pool (total)",
    pace: "its turn (pace)", "retry-after": "the server's Retry-After", fleet: "room in the fleet" };
  const rows = (fields, lists) => lists.map((list) => Object.fromEntries(fields.map((name, at) => [name, list[at]])));
  const sockets = rows(record.socketFields, record.sockets);
  const requests = rows(record.requestFields, record.requests);

  // Text

  // Controls, and what turns the direction of writing, are shown as codes: a URL looks like what it is.
  const visible = (text) => String(text).replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g,
    (sign) => "\\u" + sign.charCodeAt(0).toString(16).padStart(4, "0"));
  const duration = (ms) => {
    if (ms === null || ms === undefined) return "–";
    const size = Math.abs(ms);
    if (size < 0.0005) return "0 ms";
    if (size < 1) return ms.toFixed(3) + " ms";
    if (size < 100) return ms.toFixed(1) + " ms";
    if (size < 1000) return Math.round(ms) + " ms";
    if (size < 60000) return (ms / 1000).toFixed(2) + " s";
    return (ms / 60000).toFixed(1) + " min";
  };
  const bytes = (size) => size < 1000 ? size + " B" : size < 1e6 ? (size / 1e3).toFixed(1) + " kB" : (size / 1e6).toFixed(1) + " MB";
  const count = (number) => number.toLocaleString("en");
  const plural = (number, word) => count(number) + " " + word + (number === 1 ? "" : "s");
  const moment = (ms) => new Date(record.epoch + ms).toISOString().slice(11, 23);
  const element = (name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const statusOf = (one) => one.error ? one.error : one.status ? one.status + (one.complete ? "" : ", unread") : "no response";
  const kindOf = (one) => one.error ? "failed" : one.status ? Math.floor(one.status / 100) + "xx" : "failed";
  const isBad = (one) => Boolean(one.error) || one.status >= 400;

  // What follows from the record, whatever is shown of it

  for (const one of sockets) {
    one.end = one.closed === null ? record.span : one.closed;
    one.from = one.opened - one.dial;
    one.requests = [];
  }
  requests.forEach((one, at) => {
    one.at = at;
    const [, lost, ...rest] = one.phases;
    // The part in the lane of its socket: the dial that was made for it, sending, waiting, receiving.
    const dialled = rest.slice(0, 4).reduce((sum, ms) => sum + (ms || 0), 0);
    one.from = one.socket < 0 ? one.end : Math.max(one.begun - dialled, one.start);
    one.waited = one.waits.reduce((sum, wait) => sum + wait[2], 0);
    one.queued = one.socket < 0 || one.waited > 0.05 || lost > 0;
    if (one.socket >= 0) sockets[one.socket].requests.push(one);
  });
  for (const one of sockets) one.requests.sort((a, b) => a.from - b.from);
  const stride = requests.reduce((most, one) => Math.max(most, one.end), record.span);
  const SPAN = Math.max(stride, 0.001);

  // Layout: groups of hosts, each with the queue above and the lanes of its sockets below

  const chosen = { host: "", status: "", why: "", text: "" };
  let groups = [], shown = [], shownSockets = [], order = [], total = AXIS, bars = 0, place = new Map();

  function passes(one) {
    if (chosen.host !== "" && one.host !== Number(chosen.host)) return false;
    if (chosen.status === "marked" ? !(isBad(one) || one.resent || !one.complete) : chosen.status && kindOf(one) !== chosen.status) return false;
    if (chosen.why && !(one.socket >= 0 && (sockets[one.socket].why || "open") === chosen.why)) return false;
    return !chosen.text || one.url.toLowerCase().includes(chosen.text);
  }

  // Gives each the first row that is free when it begins. All are sorted by their beginning.
  function stack(ones, from, end, most) {
    const ends = [];
    for (const one of ones) {
      let row = ends.findIndex((until) => until <= from(one));
      if (row < 0 && most && ends.length >= most) {
        // A close is told a moment after it was done, when the next dial may have begun: no cap was passed for that.
        const soonest = ends.indexOf(Math.min(...ends));
        if (ends[soonest] - from(one) < 20) row = soonest;
      }
      if (row < 0) row = ends.push(0) - 1;
      ends[row] = Math.max(ends[row], end(one));
      one.row = row;
    }
    return ends.length;
  }

  // Requests that were sent before the one ahead was answered share the height of their lane while they overlap.
  function shareHeight(bars) {
    let since = 0, until = -Infinity, most = 1;
    const close = (to) => {
      const ones = bars.slice(since, to), depth = ones.length > 1 ? Math.min(stack(ones, (one) => one.from + 0.001, (one) => one.end), 4) : 1;
      most = Math.max(most, depth);
      ones.forEach((one) => { one.depth = depth; one.deep = depth > 1 ? one.row % depth : 0; });
      since = to;
    };
    bars.forEach((one, at) => {
      if (one.from + 0.001 >= until) close(at);
      until = Math.max(until, one.end);
    });
    close(bars.length);
    return most;
  }

  function layOut() {
    shown = requests.filter(passes);
    const isFiltered = chosen.status || chosen.text || chosen.why;
    const used = new Set(shown.map((one) => one.socket));
    shownSockets = sockets.filter((one, at) =>
      (chosen.host === "" || one.host === Number(chosen.host)) && (!isFiltered || used.has(at) || (chosen.why && (one.why || "open") === chosen.why)));
    const perHost = new Map();
    const groupOf = (host) => {
      if (!perHost.has(host)) perHost.set(host, { host, sockets: [], requests: [], queue: [], lanes: [] });
      return perHost.get(host);
    };
    for (const one of shown) groupOf(one.host).requests.push(one);
    for (const one of shownSockets) groupOf(one.host).sockets.push(one);
    groups = [...perHost.values()].sort((a, b) => a.host - b.host);
    let y = AXIS;
    for (const group of groups) {
      const cap = record.hosts[group.host].cap;
      group.y = y;
      group.queue = group.requests.filter((one) => one.queued).sort((a, b) => a.start - b.start);
      group.queueRows = [];
      const queueRows = stack(group.queue, (one) => one.start, (one) => Math.max(one.from, one.start + 0.001));
      for (const one of group.queue) one.queueRow = one.row;
      group.queueRow = queueRows ? Math.min(QUEUE_ROW, QUEUE_MOST / queueRows) : 0;
      group.queueY = y + HEADER;
      group.laneY = group.queueY + Math.ceil(group.queueRow * queueRows) + (queueRows ? 5 : 0);
      group.sockets.sort((a, b) => a.from - b.from);
      const lanes = stack(group.sockets, (one) => one.from, (one) => one.end, cap);
      for (const one of group.sockets) one.lane = one.row;
      group.lanes = Array.from({ length: lanes }, () => ({ sockets: [], bars: [] }));
      for (const one of group.sockets) group.lanes[one.lane].sockets.push(one);
      for (const one of group.requests) if (one.socket >= 0 && sockets[one.socket].lane !== undefined) group.lanes[sockets[one.socket].lane].bars.push(one);
      for (const lane of group.lanes) {
        lane.bars.sort((a, b) => a.from - b.from);
        const most = shareHeight(lane.bars);
        lane.bar = most > 1 ? Math.max(BAR, most * 5) : BAR;
        lane.height = lane.bar + LANE - BAR;
        // The longest bar up to each: how far back a search has to look.
        lane.longest = lane.bars.reduce((most, one) => Math.max(most, one.end - one.from), 0);
      }
      y = group.laneY;
      for (const lane of group.lanes) {
        lane.y = y;
        y += lane.height;
      }
      // There may be more lanes than the cap allows where it was changed meanwhile.
      group.capY = cap !== null && lanes ? (lanes > cap ? group.lanes[cap].y : y) + 2 : null;
      y += (cap !== null ? 6 : 0) + GAP;
      group.end = y;
    }
    total = Math.max(y, AXIS + 60);
    bars = groups.reduce((sum, group) => sum + group.lanes.reduce((own, lane) => own + lane.bars.length, 0) + group.queue.filter((one) => one.socket < 0).length, 0);
    order = [...shown].sort((a, b) => a.start - b.start || a.at - b.at);
    place = new Map(order.map((one, at) => [one, at]));
  }

  // Drawing

  const chart = byId("chart"), scroller = byId("scroller"), overview = byId("overview");
  const pen = chart.getContext("2d"), small = overview.getContext("2d");
  let colours = {}, width = 0, height = 0, view = { from: 0, to: SPAN }, focus = null, hover = null, kept = false, wanted = false;

  const readColours = () => {
    const style = getComputedStyle(document.documentElement);
    colours = Object.fromEntries(["paper", "raised", "ink", "soft", "line", "grid", "band", "accent", "rail", "cap", "bad", "warn", ...PHASES]
      .map((name) => [name, style.getPropertyValue("--" + name).trim()]));
  };
  const x = (ms) => EDGE + (ms - view.from) / (view.to - view.from) * (width - 2 * EDGE);
  const timeAt = (px) => view.from + (px - EDGE) / (width - 2 * EDGE) * (view.to - view.from);

  function size(canvas, context, w, h) {
    const dense = Math.min(window.devicePixelRatio || 1, 3);
    canvas.width = Math.round(w * dense);
    canvas.height = Math.round(h * dense);
    canvas.style.height = h + "px";
    context.setTransform(dense, 0, 0, dense, 0, 0);
  }

  function measure() {
    width = Math.max(scroller.clientWidth, 120);
    byId("spacer").style.height = total + "px";
    height = Math.min(total, Math.max(scroller.clientHeight, 80));
    size(chart, pen, width, height);
    size(overview, small, overview.clientWidth || width, OVERVIEW);
    readColours();
  }

  function draw() {
    if (wanted) return;
    wanted = true;
    requestAnimationFrame(() => { wanted = false; paint(); paintOverview(); });
  }

  function ticks(from, to, room) {
    const rough = (to - from) / Math.max(room / 110, 1), power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough) || power * 10;
    const found = [];
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push(at);
    return { found, step };
  }
  const tickText = (ms, step) => {
    if (ms === 0) return "0";
    const inSeconds = SPAN >= 2000;
    const digits = Math.max(0, -Math.floor(Math.log10(inSeconds ? step / 1000 : step) + 1e-9));
    return inSeconds ? (ms / 1000).toFixed(digits) + " s" : ms.toFixed(digits) + " ms";
  };

  function paint() {
    const top = scroller.scrollTop;
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = colours.raised;
    pen.fillRect(0, 0, width, height);
    const { found, step } = ticks(view.from, view.to, width);
    pen.fillStyle = colours.grid;
    for (const at of found) pen.fillRect(Math.round(x(at)), 0, 1, height);
    pen.save();
    pen.translate(0, -top);
    for (const group of groups) if (group.end > top && group.y < top + height) paintGroup(group);
    for (const one of new Set([focus, hover])) if (one) paintRing(one);
    pen.restore();
    pen.fillStyle = colours.raised;
    pen.fillRect(0, 0, width, AXIS - 4);
    pen.fillStyle = colours.line;
    pen.fillRect(0, AXIS - 4, width, 1);
    pen.fillStyle = colours.soft;
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    for (const at of found) {
      const text = tickText(at, step), w = pen.measureText(text).width, px = x(at);
      pen.textAlign = px + w / 2 > width - 4 ? "right" : px - w / 2 < 4 ? "left" : "center";
      pen.fillText(text, px, (AXIS - 4) / 2);
    }
    chart.dataset.bars = bars;
    chart.dataset.hosts = groups.length;
  }

  function paintGroup(group) {
    const host = record.hosts[group.host];
    pen.fillStyle = colours.band;
    pen.fillRect(0, group.y, width, HEADER - 4);
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    pen.font = "600 12px system-ui, sans-serif";
    pen.fillStyle = colours.ink;
    const mid = group.y + (HEADER - 4) / 2;
    const lanes = group.lanes.length, isNarrow = width < 560, facts = [isNarrow ? count(group.requests.length) : plural(group.requests.length, "request")];
    if (lanes) facts.push(host.cap === null ? plural(lanes, "lane") : lanes >= host.cap ? (isNarrow ? "cap " + host.cap : "cap of " + host.cap + " reached") : lanes + "/" + host.cap + (isNarrow ? "" : " sockets"));
    const waited = group.requests.filter((one) => one.waited > 0.05).length;
    if (waited) facts.push(count(waited) + " waited");
    const text = facts.join(" · ");
    pen.font = "11px system-ui, sans-serif";
    const factsWidth = pen.measureText(text).width;
    pen.fillStyle = colours.soft;
    pen.textAlign = "right";
    pen.fillText(text, width - EDGE, mid);
    pen.textAlign = "left";
    pen.font = "600 12px system-ui, sans-serif";
    pen.fillStyle = colours.ink;
    pen.fillText(fitted(visible(host.name), width - factsWidth - 3 * EDGE), EDGE, mid);
    pen.save();
    pen.beginPath();
    pen.rect(0, group.queueY, width, group.end - group.queueY);
    pen.clip();
    for (const one of group.queue) paintQueued(group, one);
    for (const lane of group.lanes) paintLane(lane);
    if (group.capY !== null && lanes >= host.cap) {
      pen.fillStyle = colours.cap;
      for (let px = 0; px < width; px += 7) pen.fillRect(px, group.capY, 4, 1);
    }
    pen.restore();
  }

  function fitted(text, room) {
    if (pen.measureText(text).width <= room) return text;
    let low = 0, high = text.length;
    while (low < high) {
      const mid = (low + high + 1) >> 1;
      if (pen.measureText(text.slice(0, mid) + "…").width <= room) low = mid; else high = mid - 1;
    }
    return low ? text.slice(0, low) + "…" : "";
  }

  function paintQueued(group, one) {
    if (one.start > view.to || Math.max(one.from, one.start) < view.from) return;
    const y = group.queueY + one.queueRow * group.queueRow, h = Math.max(group.queueRow - (group.queueRow >= 4 ? 2 : 0), 0.6);
    const left = x(one.start), lostMs = one.phases[1];
    if (one.socket < 0) {
      paintPhases(one, one.start, y, h);
      if (h > 2) paintMarks(one, x(one.end), y, h);
      return;
    }
    pen.fillStyle = colours.queue;
    pen.fillRect(left, y, Math.max(x(one.from) - left, 0.8), h);
    if (lostMs) {
      pen.fillStyle = colours.lost;
      pen.fillRect(x(one.from - lostMs), y, Math.max(x(one.from) - x(one.from - lostMs), 1.5), h);
    }
  }

  const partsOf = (one) => one.socket < 0 ? one.phases : [0, 0, ...one.phases.slice(2)];

  function paintPhases(one, since, y, h) {
    let at = since, edge = x(at);
    const right = x(one.end);
    if (right - edge < 1.2) {
      // Too narrow for its parts: the largest stands for all of it.
      const parts = partsOf(one);
      pen.fillStyle = colours[PHASES[parts.indexOf(Math.max(...parts.map((ms) => ms || 0)))] || "receive"];
      pen.fillRect(edge, y, 1.2, h);
      return;
    }
    partsOf(one).forEach((ms, phase) => {
      if (!ms) return;
      at += ms;
      const next = Math.min(x(at), right);
      pen.fillStyle = colours[PHASES[phase]];
      pen.fillRect(edge, y, Math.max(next - edge, 0.4), h);
      edge = next;
    });
    if (right - x(since) > 4) {
      // Between two that follow at once.
      pen.fillStyle = colours.raised;
      pen.fillRect(right - 0.8, y, 0.8, h);
    }
  }

  function paintMarks(one, right, y, h) {
    if (isBad(one) || !one.complete) {
      pen.strokeStyle = isBad(one) ? colours.bad : colours.warn;
      pen.lineWidth = 1.6;
      const r = Math.min(3.2, h / 2 + 0.6), cx = right + r + 1.5, cy = y + h / 2;
      pen.beginPath();
      if (isBad(one)) {
        pen.moveTo(cx - r, cy - r); pen.lineTo(cx + r, cy + r); pen.moveTo(cx + r, cy - r); pen.lineTo(cx - r, cy + r);
      } else {
        pen.moveTo(cx - r, cy - r); pen.lineTo(cx + r * 0.4, cy); pen.lineTo(cx - r, cy + r);
      }
      pen.stroke();
    }
    if (one.resent) {
      const left = x(one.from);
      pen.fillStyle = colours.lost;
      pen.beginPath();
      pen.moveTo(left - 1, y - 2); pen.lineTo(left + 6, y - 2); pen.lineTo(left - 1, y + 5);
      pen.fill();
    }
  }

  function firstAt(lane) {
    let low = 0, high = lane.bars.length;
    const since = view.from - lane.longest;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (lane.bars[mid].from < since) low = mid + 1; else high = mid;
    }
    return low;
  }

  function paintLane(lane) {
    const middle = lane.y + lane.height / 2;
    lane.sockets.forEach((one) => {
      if (one.from > view.to || one.end < view.from) return;
      const left = Math.max(x(one.from), -2), right = Math.min(x(one.end), width + 2);
      pen.fillStyle = colours.rail;
      pen.fillRect(left, middle - 1, Math.max(right - left, 1), 2);
    });
    for (let at = firstAt(lane); at < lane.bars.length; at++) {
      const one = lane.bars[at];
      if (one.from > view.to) break;
      if (one.end < view.from) continue;
      const tall = lane.bar / one.depth, top = middle - lane.bar / 2 + one.deep * tall;
      paintPhases(one, one.from, top, tall);
      if (isBad(one) || one.resent || !one.complete) paintMarks(one, x(one.end), top, tall);
    }
    lane.sockets.forEach((one, at) => {
      if (one.why === null || one.end < view.from || one.end > view.to) return;
      const right = x(one.end), side = record.whys[one.why].side, colour = side === "trouble" ? colours.bad : side === "server" ? colours.warn : colours.soft;
      pen.fillStyle = pen.strokeStyle = colour;
      pen.fillRect(right - 1, middle - 5, 2, 10);
      if (side !== "us") {
        pen.beginPath();
        pen.arc(right, middle, 2.6, 0, 7);
        pen.fill();
      }
      const gap = side === "us" ? 7 : 13, next = lane.sockets[at + 1], room = (next ? x(next.from) : width) - right - gap - 3;
      pen.font = "10px system-ui, sans-serif";
      pen.textAlign = "left";
      pen.textBaseline = "middle";
      if (pen.measureText(one.why).width < room) pen.fillText(one.why, right + gap, middle + 0.5);
    });
  }

  function boxOf(one) {
    const group = groups.find((other) => other.host === one.host);
    if (!group || !place.has(one)) return null;
    if (one.socket < 0 || sockets[one.socket].lane === undefined) {
      return { left: x(one.start), right: x(one.end), y: group.queueY + (one.queueRow || 0) * group.queueRow, h: Math.max(group.queueRow, 3) };
    }
    const lane = group.lanes[sockets[one.socket].lane], tall = lane.bar / one.depth;
    return { left: x(one.from), right: x(one.end), y: lane.y + (LANE - BAR) / 2 + one.deep * tall, h: tall, group };
  }

  function paintRing(one) {
    const box = boxOf(one);
    if (!box) return;
    pen.strokeStyle = colours.accent;
    pen.lineWidth = 2;
    pen.strokeRect(box.left - 2, box.y - 2, Math.max(box.right - box.left, 2) + 4, box.h + 4);
    if (one.queued && box.group) {
      // Where it waited, and the way from there to its socket.
      const y = box.group.queueY + one.queueRow * box.group.queueRow + box.group.queueRow / 2;
      pen.lineWidth = 1.5;
      pen.beginPath();
      pen.moveTo(x(one.start), y); pen.lineTo(x(one.from), y); pen.lineTo(x(one.from), box.y);
      pen.stroke();
    }
  }

  // The overview: how many sockets were open, how many requests waited, and which part of that is in sight

  const steps = (ones, from, end) => {
    const changes = [];
    for (const one of ones) { changes.push([from(one), 1], [end(one), -1]); }
    changes.sort((a, b) => a[0] - b[0] || b[1] - a[1]);
    let level = 0;
    return changes.map(([at, by]) => [at, level += by]);
  };
  let curves = null;
  function curvesOf() {
    const open = steps(shownSockets, (one) => one.opened, (one) => one.end);
    const waiting = steps(shown.filter((one) => one.waited > 0.05), (one) => one.start, (one) => one.start + one.waited);
    const most = (curve) => curve.reduce((high, [, level]) => Math.max(high, level), 0);
    return { open, waiting, mostOpen: most(open), mostWaiting: most(waiting) };
  }
  function paintOverview() {
    const w = overview.clientWidth, h = OVERVIEW, base = h - 4, high = base - 6;
    const at = (ms) => EDGE + ms / SPAN * (w - 2 * EDGE);
    small.clearRect(0, 0, w, h);
    if (!curves) curves = curvesOf();
    const cap = record.total, most = Math.max(curves.mostOpen, curves.mostWaiting, 1), scale = cap !== null && cap < most * 3 ? Math.max(cap, most) : most;
    const trace = (curve, colour, fill) => {
      small.beginPath();
      small.moveTo(at(0), base);
      let level = 0;
      for (const [ms, next] of curve) {
        small.lineTo(at(ms), base - level / scale * high);
        level = next;
        small.lineTo(at(ms), base - level / scale * high);
      }
      small.lineTo(at(SPAN), base - level / scale * high);
      if (fill) { small.lineTo(at(SPAN), base); small.fillStyle = colour; small.globalAlpha = 0.35; small.fill(); small.globalAlpha = 1; }
      else { small.strokeStyle = colour; small.lineWidth = 1.4; small.stroke(); }
    };
    trace(curves.open, colours.receive, true);
    if (curves.mostWaiting) trace(curves.waiting, colours.soft, false);
    if (cap !== null && cap <= scale) {
      small.fillStyle = colours.cap;
      for (let px = EDGE; px < w - EDGE; px += 7) small.fillRect(px, base - cap / scale * high, 4, 1);
    }
    if (view.from > 0 || view.to < SPAN) {
      small.fillStyle = colours.paper;
      small.globalAlpha = 0.65;
      small.fillRect(0, 0, at(view.from), h);
      small.fillRect(at(view.to), 0, w - at(view.to), h);
      small.globalAlpha = 1;
      small.strokeStyle = colours.accent;
      small.lineWidth = 1.5;
      small.strokeRect(at(view.from), 1, Math.max(at(view.to) - at(view.from), 2), h - 2);
    }
  }

  // Facts of one request, or of one socket

  const facts = byId("facts");
  function list(pairs, className) {
    const made = element("dl", undefined, className);
    for (const [name, value, swatch] of pairs) {
      made.append(element("dt", name, swatch ? "s-" + swatch : ""), element("dd", value));
    }
    return made;
  }
  const shortened = (text, most) => text.length > most ? text.slice(0, most) + "…" : text;
  function requestFacts(one) {
    const socket = one.socket >= 0 ? sockets[one.socket] : null;
    const parts = one.phases.map((ms, at) => [PHASE_TEXT[PHASES[at]], duration(ms), PHASES[at], ms]).filter((part) => part[3] !== null && part[3] > 0);
    const said = [["host", visible(record.hosts[one.host].name)], ["request", "#" + one.request], ["begun", "+" + duration(one.start) + " (" + moment(one.start) + " UTC)"]];
    for (const [room, limit, ms] of one.waits) said.push(["waited", duration(ms) + " for " + (ROOM_TEXT[room] || visible(room)) + (limit === null ? "" : " = " + limit)]);
    if (one.resent) said.push(["resent", "once: its connection was dead"]);
    if (socket) said.push(["socket", "#" + socket.connection + (one.served ? ", reused after " + plural(one.served, "request") : ", new")]);
    if (socket && socket.why) said.push(["closed later", socket.why + ": " + record.whys[socket.why].text]);
    if (one.position) said.push(["sent behind", plural(one.position - 1, "other") + " under way"]);
    if (one.peer) said.push(["peer", visible(one.peer)]);
    said.push(["sent, received", bytes(one.sent) + ", " + bytes(one.received)]);
    if (one.version) said.push(["version", "HTTP/" + one.version]);
    return [element("h3", shortened(one.method + " " + visible(one.url), 600)),
      element("p", statusOf(one) + (one.reason && !one.error ? " " + visible(one.reason) : "") + " · " + duration(one.end - one.start), isBad(one) ? "bad" : ""),
      list(parts, "phases"), list(said)];
  }
  function socketFacts(one) {
    const said = [["opened", "+" + duration(one.opened) + " (" + moment(one.opened) + " UTC)"], ["dial", duration(one.dial)]];
    if (one.closed !== null) said.push(["closed", "+" + duration(one.closed)], ["after", plural(one.served, "response")]);
    const why = one.why === null ? "still open" : one.why;
    return [element("h3", "Socket #" + one.connection + " to " + visible(record.hosts[one.host].name)),
      element("p", why + (one.why === null ? "" : ": " + record.whys[one.why].text), one.why !== null && record.whys[one.why].side === "trouble" ? "bad" : ""), list(said)];
  }
  function show(made, px, py) {
    facts.replaceChildren(...made);
    facts.hidden = false;
    facts.classList.toggle("kept", kept);
    const room = byId("picture").getBoundingClientRect(), own = facts.getBoundingClientRect();
    const left = px + 18 + own.width > room.width ? px - own.width - 14 : px + 18;
    facts.style.left = Math.min(Math.max(left, 4), Math.max(room.width - own.width - 4, 4)) + "px";
    const below = room.top + py + 18 + own.height < window.innerHeight;
    facts.style.top = (below ? py + 18 : Math.max(py - own.height - 14, 4 - room.top)) + "px";
  }
  function hide() { facts.hidden = true; kept = false; facts.classList.remove("kept"); }

  // What is under a point

  function found(px, py) {
    const y = py + scroller.scrollTop;
    if (py < AXIS - 4) return null;
    const group = groups.find((one) => y >= one.y && y < one.end);
    if (!group) return null;
    const ms = timeAt(px), near = 3 / (width - 2 * EDGE) * (view.to - view.from);
    const closest = (ones, from, end) => {
      let best = null, least = Infinity;
      for (const one of ones) {
        const away = ms < from(one) ? from(one) - ms : ms > end(one) ? ms - end(one) : 0;
        if (away <= near && away < least) { best = one; least = away; }
      }
      return best;
    };
    if (y >= group.queueY && y < group.laneY && group.queueRow) {
      const row = Math.floor((y - group.queueY) / group.queueRow), slack = Math.ceil(2 / group.queueRow);
      return { request: closest(group.queue.filter((one) => Math.abs(one.queueRow - row) < slack), (one) => one.start, (one) => one.from) };
    }
    const lane = group.lanes.find((one) => y >= one.y && y < one.y + one.height);
    if (!lane) return null;
    const share = Math.min(Math.max((y - lane.y - (LANE - BAR) / 2) / lane.bar, 0), 0.999);
    const inSight = lane.bars.slice(firstAt(lane)).filter((one) => one.from <= ms + near && one.end >= ms - near
      && one.deep === Math.floor(share * one.depth));
    const request = closest(inSight, (one) => one.from, (one) => one.end);
    return request ? { request } : { socket: closest(lane.sockets, (one) => one.from, (one) => one.end) };
  }

  // Moving about

  function look(from, to) {
    const least = Math.max(SPAN / 1e6, 0.002), long = Math.min(Math.max(to - from, least), SPAN);
    const start = Math.min(Math.max(from, 0), SPAN - long);
    view = { from: start, to: start + long };
    draw();
  }
  const zoom = (by, around) => look(around - (around - view.from) * by, around + (view.to - around) * by);
  const centre = () => focus && place.has(focus) ? (Math.max(focus.from, focus.start) + focus.end) / 2 : (view.from + view.to) / 2;

  function reveal(one) {
    const long = view.to - view.from, from = Math.min(one.from, one.end), middle = (from + one.end) / 2;
    if (from < view.from || one.end > view.to) look(middle - long / 2, middle + long / 2);
    const box = boxOf(one);
    if (box && (box.y < scroller.scrollTop + AXIS + 4 || box.y + 30 > scroller.scrollTop + height)) scroller.scrollTop = Math.max(box.y - height / 2, 0);
    return boxOf(one);
  }
  function focusOn(one, silent) {
    if (!one) return;
    focus = one;
    const box = reveal(one);
    draw();
    if (box) show(requestFacts(one), Math.min(Math.max(box.left, 0), width - 20), scroller.offsetTop + box.y + box.h - scroller.scrollTop);
    if (!silent) byId("said").textContent = one.method + " " + shortened(visible(one.url), 200) + ", " + statusOf(one) + ", " + duration(one.end - one.start);
  }
  function besides(by) {
    if (!focus || !place.has(focus)) return order[0];
    const lane = focus.socket >= 0 ? groups.find((one) => one.host === focus.host).lanes[sockets[focus.socket].lane] : null;
    if (lane) {
      const next = lane.bars[lane.bars.indexOf(focus) + by];
      if (next) return next;
    }
    return order[place.get(focus) + by] || focus;
  }
  function across(by) {
    if (!focus || !place.has(focus)) return order[0];
    const all = groups.flatMap((group) => [group.queue.filter((one) => one.socket < 0), ...group.lanes.map((lane) => lane.bars)]).filter((ones) => ones.length);
    const own = all.findIndex((ones) => ones.includes(focus)), next = all[own + by];
    if (!next) return focus;
    return next.reduce((best, one) => Math.abs(one.from - focus.from) < Math.abs(best.from - focus.from) ? one : best);
  }

  const keys = {
    ArrowRight: () => focusOn(besides(1)), ArrowLeft: () => focusOn(besides(-1)), ArrowDown: () => focusOn(across(1)), ArrowUp: () => focusOn(across(-1)),
    Home: () => focusOn(order[0]), End: () => focusOn(order[order.length - 1]),
    "+": () => zoom(0.5, centre()), "=": () => zoom(0.5, centre()), "-": () => zoom(2, centre()), "0": () => look(0, SPAN),
    Enter: () => { kept = Boolean(focus); if (focus) focusOn(focus); }, Escape: () => { hide(); focus = null; draw(); },
  };
  chart.addEventListener("keydown", (event) => {
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
    if (focus && ["+", "=", "-", "0"].includes(event.key)) requestAnimationFrame(() => focusOn(focus, true));
  });
  chart.addEventListener("blur", () => { if (!kept) hide(); });

  const pointers = new Map();
  let moved = 0, apart = 0;
  const inChart = (event) => {
    const box = chart.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  chart.addEventListener("pointerdown", (event) => { pointers.set(event.pointerId, inChart(event)); moved = 0; chart.setPointerCapture(event.pointerId); });
  chart.addEventListener("pointermove", (event) => {
    const now = inChart(event), before = pointers.get(event.pointerId), scale = (view.to - view.from) / (width - 2 * EDGE);
    if (before) {
      pointers.set(event.pointerId, now);
      moved += Math.abs(now[0] - before[0]) + Math.abs(now[1] - before[1]);
      if (pointers.size === 2) {
        const [a, b] = [...pointers.values()], wide = Math.abs(a[0] - b[0]);
        if (apart > 20 && wide > 20) zoom(apart / wide, timeAt((a[0] + b[0]) / 2));
        apart = wide;
      } else if (moved > 4) {
        look(view.from - (now[0] - before[0]) * scale, view.to - (now[0] - before[0]) * scale);
        if (event.pointerType === "mouse") scroller.scrollTop -= now[1] - before[1];
      }
      return;
    }
    if (!kept) point(now, event.pointerType !== "touch");
  });
  function point([px, py], isHover) {
    const hit = found(px, py);
    hover = hit && hit.request ? hit.request : null;
    chart.style.cursor = hit && (hit.request || hit.socket) ? "pointer" : "grab";
    if (hit && hit.request) show(requestFacts(hit.request), px, py + scroller.offsetTop);
    else if (hit && hit.socket) show(socketFacts(hit.socket), px, py + scroller.offsetTop);
    else if (isHover || !focus) facts.hidden = true;
    draw();
    return hit;
  }
  const release = (event) => {
    const was = pointers.get(event.pointerId);
    pointers.delete(event.pointerId);
    apart = 0;
    if (!was || event.type === "pointercancel" || moved > 4) return;
    kept = false;
    const hit = point(was, true);
    if (hit && hit.request) { focus = hit.request; kept = true; facts.classList.add("kept"); }
    else if (hit && hit.socket) { kept = true; facts.classList.add("kept"); }
    else { hide(); focus = null; draw(); }
  };
  chart.addEventListener("pointerup", release);
  chart.addEventListener("pointercancel", release);
  chart.addEventListener("pointerleave", () => { hover = null; if (!kept && !pointers.size) facts.hidden = true; draw(); });
  chart.addEventListener("dblclick", (event) => {
    const hit = found(...inChart(event));
    if (hit && hit.request) look(hit.request.from - (hit.request.end - hit.request.from) * 2, hit.request.end + (hit.request.end - hit.request.from) * 2);
    else zoom(0.5, timeAt(inChart(event)[0]));
  });
  chart.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey) { event.preventDefault(); zoom(Math.exp(event.deltaY / 240), timeAt(inChart(event)[0])); }
    else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      const by = (event.deltaX || event.deltaY) / width * (view.to - view.from);
      look(view.from + by, view.to + by);
    }
  }, { passive: false });
  scroller.addEventListener("scroll", draw);

  // A window is drawn over the overview, or moved where it is
  let drag = null;
  const overviewTime = (event) => Math.min(Math.max((event.offsetX - EDGE) / (overview.clientWidth - 2 * EDGE) * SPAN, 0), SPAN);
  overview.addEventListener("pointerdown", (event) => {
    overview.setPointerCapture(event.pointerId);
    const at = overviewTime(event), isWhole = view.from <= 0 && view.to >= SPAN;
    drag = { at, view: { ...view }, moves: !isWhole && at > view.from && at < view.to };
  });
  overview.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const at = overviewTime(event);
    if (drag.moves) look(drag.view.from + at - drag.at, drag.view.to + at - drag.at);
    else if (Math.abs(at - drag.at) > SPAN / 500) look(Math.min(at, drag.at), Math.max(at, drag.at));
  });
  overview.addEventListener("pointerup", () => { drag = null; });
  overview.addEventListener("dblclick", () => look(0, SPAN));
  byId("zoom-in").addEventListener("click", () => zoom(0.5, centre()));
  byId("zoom-out").addEventListener("click", () => zoom(2, centre()));
  byId("fit").addEventListener("click", () => look(0, SPAN));

  // Tables

  const PAGE = 100;
  const columns = [
    ["#", (one) => one.request], ["Request", (one) => one.method + " " + visible(one.url), "text url"], ["Status", statusOf, "text"],
    ["Begun", (one) => one.start, "", (one) => "+" + duration(one.start)], ["Total", (one) => one.end - one.start, "", (one) => duration(one.end - one.start)],
    ...PHASES.map((name, at) => [PHASE_TEXT[name], (one) => one.phases[at] ?? -1, "", (one) => one.phases[at] ? duration(one.phases[at]) : "–"]),
    ["Waited for", (one) => one.waits.map((wait) => wait[0] + (wait[1] === null ? "" : " " + wait[1])).join(", "), "text"],
    ["Sent", (one) => one.sent, "", (one) => bytes(one.sent)], ["Received", (one) => one.received, "", (one) => bytes(one.received)],
    ["Socket", (one) => one.socket < 0 ? 0 : sockets[one.socket].connection, "", (one) => one.socket < 0 ? "none" : "#" + sockets[one.socket].connection],
    ["Reused after", (one) => one.served], ["Resent", (one) => one.resent ? "resent" : ""], ["Peer", (one) => visible(one.peer || ""), "text"],
  ];
  const sorted = { column: 3, down: false };
  let page = 0;
  function fillTable() {
    const key = columns[sorted.column][1], ones = [...shown].sort((a, b) => { const [l, r] = [key(a), key(b)]; return (l < r ? -1 : l > r ? 1 : a.at - b.at) * (sorted.down ? -1 : 1); });
    const pages = Math.max(Math.ceil(ones.length / PAGE), 1);
    page = Math.min(page, pages - 1);
    const head = element("thead"), line = element("tr"), body = element("tbody");
    columns.forEach(([name, , kind], at) => {
      const cell = element("th", undefined, kind && kind.includes("text") ? "text" : ""), button = element("button", name);
      button.type = "button";
      cell.scope = "col";
      cell.setAttribute("aria-sort", at === sorted.column ? (sorted.down ? "descending" : "ascending") : "none");
      button.addEventListener("click", () => { sorted.down = at === sorted.column && !sorted.down; sorted.column = at; page = 0; fillTable(); byId("requests").querySelectorAll("th button")[at].focus(); });
      cell.append(button);
      line.append(cell);
    });
    head.append(line);
    for (const one of ones.slice(page * PAGE, (page + 1) * PAGE)) {
      const row = element("tr");
      row.dataset.request = one.request;
      for (const [name, value, kind, written] of columns) {
        const cell = element("td", shortened(String((written || value)(one)), 300), (kind || "") + (name === "Status" && isBad(one) ? " bad" : ""));
        if (kind && kind.includes("url")) cell.title = shortened(visible(one.url), 2000);
        row.append(cell);
      }
      row.addEventListener("click", () => { chart.focus({ preventScroll: true }); kept = true; focusOn(one); chart.scrollIntoView({ block: "center" }); });
      body.append(row);
    }
    byId("requests").replaceChildren(head, body);
    const nav = byId("pages"), turn = (text, to) => {
      const button = element("button", text);
      button.type = "button";
      button.disabled = to < 0 || to >= pages;
      button.addEventListener("click", () => { page = to; fillTable(); });
      return button;
    };
    nav.replaceChildren(turn("Previous", page - 1), element("span", "page " + (page + 1) + " of " + pages), turn("Next", page + 1));
    nav.hidden = pages < 2;
  }
  function fillSockets() {
    const head = element("thead"), line = element("tr"), body = element("tbody"), most = 500;
    for (const [name, kind] of [["Host", "text"], ["Socket"], ["Opened"], ["Dial"], ["Lived"], ["Responses"], ["Closed because", "text"], ["That is", "text"]]) {
      const cell = element("th", name, kind);
      cell.scope = "col";
      line.append(cell);
    }
    head.append(line);
    for (const one of shownSockets.slice(0, most)) {
      const row = element("tr"), why = one.why === null ? null : record.whys[one.why];
      const cells = [[visible(record.hosts[one.host].name), "text"], ["#" + one.connection], ["+" + duration(one.opened)], [duration(one.dial)],
        [one.closed === null ? "open" : duration(one.closed - one.opened)], [String(one.closed === null ? one.requests.length : one.served)], [one.why || "", "text" + (why && why.side === "trouble" ? " bad" : "")], [why ? why.text : "", "text"]];
      for (const [text, kind] of cells) row.append(element("td", shortened(text, 300), kind));
      body.append(row);
    }
    if (shownSockets.length > most) {
      const row = element("tr"), cell = element("td", "and " + count(shownSockets.length - most) + " more: choose a host or a reason above", "text");
      cell.colSpan = 8;
      row.append(cell);
      body.append(row);
    }
    byId("sockets").replaceChildren(head, body);
  }

  // Words above the picture

  function summarise() {
    byId("summary").textContent = (shown.length === requests.length ? plural(shown.length, "request") : count(shown.length) + " of " + plural(requests.length, "request"))
      + " to " + plural(groups.length, "host") + " over " + plural(shownSockets.length, "socket") + " in " + duration(SPAN) + ", from " + record.started;
    const took = shown.map((one) => one.end - one.start).sort((a, b) => a - b), at = (share) => took.length ? duration(took[Math.min(Math.floor(share * took.length), took.length - 1)]) : "–";
    const failed = shown.filter((one) => one.error).length, bad = shown.filter((one) => !one.error && one.status >= 400).length;
    const reused = shown.filter((one) => one.served > 0).length, waited = shown.filter((one) => one.waited > 0.05).length;
    const told = [["median", at(0.5)], ["95 %", at(0.95)], ["slowest", at(1)], ["reused a socket", shown.length ? Math.round(reused / shown.length * 100) + " %" : "–"], ["waited", count(waited)],
      ["resent", count(shown.filter((one) => one.resent).length)], ["failed", count(failed), failed], ["status ≥ 400", count(bad), bad]];
    if (!curves) curves = curvesOf();
    byId("caption").textContent = "Up to " + plural(curves.mostOpen, "open socket") + (record.total === null ? "" : " of " + count(record.total)) + (curves.mostWaiting ? ", and up to " + count(curves.mostWaiting) + " waiting (the line)" : "");
    byId("figures").replaceChildren(...told.map(([name, value, isAlarming]) => {
      const made = element("div");
      made.append(element("dt", name), element("dd", value, isAlarming ? "bad" : ""));
      return made;
    }));
  }
  function legend() {
    const made = PHASES.map((name) => [PHASE_TEXT[name], (c) => { c.fillStyle = colours[name]; c.fillRect(0, 1, 18, 8); }]);
    const marks = [["failed, or status ≥ 400", (c) => cross(c, colours.bad)], ["not read to its end", (c) => { c.strokeStyle = colours.warn; c.lineWidth = 1.6; c.beginPath(); c.moveTo(6, 1); c.lineTo(11, 5); c.lineTo(6, 9); c.stroke(); }],
      ["resent", (c) => { c.fillStyle = colours.lost; c.beginPath(); c.moveTo(5, 1); c.lineTo(13, 1); c.lineTo(5, 9); c.fill(); }],
      ["closed by us", (c) => { c.fillStyle = colours.rail; c.fillRect(0, 4, 12, 2); c.fillStyle = colours.soft; c.fillRect(11, 0, 2, 10); }],
      ["by the server", (c) => end(c, colours.warn)], ["in trouble", (c) => end(c, colours.bad)], ["cap", (c) => { c.fillStyle = colours.cap; for (let px = 0; px < 18; px += 6) c.fillRect(px, 5, 4, 1); }]];
    const cross = (c, colour) => { c.strokeStyle = colour; c.lineWidth = 1.6; c.beginPath(); c.moveTo(6, 2); c.lineTo(12, 8); c.moveTo(12, 2); c.lineTo(6, 8); c.stroke(); };
    const end = (c, colour) => { c.fillStyle = colours.rail; c.fillRect(0, 4, 12, 2); c.fillStyle = colour; c.fillRect(11, 0, 2, 10); c.beginPath(); c.arc(12, 5, 3, 0, 7); c.fill(); };
    byId("legend").replaceChildren(...[...made, ...marks].map(([text, drawn]) => {
      const item = element("li"), canvas = element("canvas"), context = canvas.getContext("2d");
      canvas.width = 54; canvas.height = 30;
      context.scale(3, 3);
      drawn(context);
      item.append(canvas, element("span", text));
      return item;
    }));
  }

  // Filters

  function choices(select, pairs) {
    select.replaceChildren(...pairs.map(([value, text]) => { const option = element("option", text); option.value = value; return option; }));
  }
  const tally = (ones, key) => ones.reduce((counts, one) => counts.set(key(one), (counts.get(key(one)) || 0) + 1), new Map());
  const perHost = tally(requests, (one) => one.host);
  choices(byId("by-host"), [["", (record.hosts.length > 1 ? "all " : "") + plural(record.hosts.length, "host")], ...record.hosts.map((host, at) => [String(at), shortened(visible(host.name), 80) + " (" + count(perHost.get(at) || 0) + ")"])]);
  choices(byId("by-status"), [["", "all"], ["marked", "failed, resent or unread"], ...[...tally(requests, kindOf)].sort().map(([kind, number]) => [kind, kind + " (" + count(number) + ")"])]);
  choices(byId("by-why"), [["", "any reason"], ...[...tally(sockets, (one) => one.why || "open")].sort().map(([why, number]) => [why, (why === "open" ? "still open" : why) + " (" + count(number) + ")"])]);
  function changed() {
    chosen.host = byId("by-host").value;
    chosen.status = byId("by-status").value;
    chosen.why = byId("by-why").value;
    chosen.text = byId("by-text").value.trim().toLowerCase();
    page = 0;
    focus = hover = null;
    hide();
    refresh();
  }
  function refresh() {
    curves = null;
    layOut();
    measure();
    summarise();
    fillTable();
    fillSockets();
    draw();
  }
  byId("filters").addEventListener("input", changed);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => setTimeout(changed));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { measure(); legend(); draw(); });
  new ResizeObserver(() => { measure(); draw(); }).observe(scroller);
  refresh();
  legend();
})();
