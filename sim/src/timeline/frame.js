// What all panes share: axis, silences, lines across, the overview below; and what lies over it.

const CHAIN = 60;

function drawAll(c, ui) {
  ui.first = countUpTo(ui.axis.U, ui.view.u0) - 1;
  ui.last = countUpTo(ui.axis.U, ui.view.u0 + (ui.width - GUTTER) / ui.view.k);
  c.fillStyle = ui.colours.bg;
  c.fillRect(0, 0, ui.width, ui.height);
  drawGaps(c, ui);
  drawLanes(c, ui);
  drawCharts(c, ui);
  drawAxis(c, ui);
  drawLines(c, ui);
  drawOverview(c, ui);
}

function drawGaps(c, ui) {
  for (const gap of ui.axis.gaps) {
    const x0 = Math.max(xOf(ui, gap.u0), GUTTER);
    const x1 = Math.min(xOf(ui, gap.u1), ui.width);
    if (x1 - x0 < 6) continue;
    c.fillStyle = ui.colours.gap;
    c.fillRect(x0 + 2, AXIS, x1 - x0 - 4, ui.height - AXIS - OVERVIEW);
  }
}

function drawAxis(c, ui) {
  const p = ui.colours;
  c.fillStyle = p.bg;
  c.fillRect(0, 0, ui.width, AXIS);
  c.fillStyle = p.line;
  c.fillRect(0, AXIS - 1, ui.width, 1);
  c.fillRect(0, ui.panes.charts.top - SPLIT, ui.width, SPLIT);
  c.fillStyle = p.faint;
  c.fillRect(ui.width / 2 - 14, ui.panes.charts.top - 4, 28, 1);
  const taken = [...drawGapLengths(c, ui), ...drawHeals(c, ui)];
  const ticks = ui.axis.kind === "linear" ? linearTicks(ui) : steppedTicks(ui);
  for (const { x, label } of ticks) {
    const x1 = x + label.length * ui.charWidth + 6;
    if (taken.some(([from, to]) => x1 > from && x < to) || x1 > ui.width) continue;
    c.fillStyle = p.faint;
    c.fillRect(Math.round(x), AXIS - 6, 1, 6);
    note(c, ui, label, x + 4, AXIS / 2 - 1, p.muted, null);
  }
  c.font = ui.fonts.plain;
  c.fillStyle = p.muted;
  c.fillText("time, s", 28, AXIS / 2);
}

function drawGapLengths(c, ui) {
  const taken = [];
  for (const gap of ui.axis.gaps) {
    const [x0, x1] = [Math.max(xOf(ui, gap.u0), GUTTER), Math.min(xOf(ui, gap.u1), ui.width)];
    if (x1 - x0 < 6) continue;
    const label = duration(gap.us);
    const width = label.length * ui.charWidth;
    c.fillStyle = ui.colours.gap;
    c.fillRect(x0 + 2, 0, x1 - x0 - 4, AXIS - 1);
    if (x1 - x0 < width + 10) continue;
    note(c, ui, label, (x0 + x1 - width) / 2, AXIS / 2 - 1, ui.colours.faint, null);
    taken.push([x0, x1]);
  }
  return taken;
}

function drawHeals(c, ui) {
  const label = "healed";
  const width = label.length * ui.charWidth;
  const xs = ui.heals.map((event) => xOfEvent(ui, event.i)).filter((x) => x >= GUTTER && x < ui.width - width);
  for (const x of xs) note(c, ui, label, x + 3, AXIS / 2 - 1, ui.colours.accent);
  return xs.map((x) => [x - 4, x + width + 8]);
}

function linearTicks(ui) {
  const step = niceStep(120 / ui.view.k, 1);
  const origin = ui.axis.T[0] ?? 0;
  const ticks = [];
  for (let t = Math.ceil((ui.view.u0 + origin) / step) * step; ticks.length < 40; t += step) {
    const x = xOf(ui, t - origin);
    if (x > ui.width) break;
    if (x >= GUTTER) ticks.push({ x, label: seconds(t, step) });
  }
  return ticks;
}

// Labels stand at events, about evenly, each as precise as tells it from its neighbours.
function steppedTicks(ui) {
  const { events } = ui.trace;
  const ticks = [];
  let free = GUTTER;
  let before = null;
  for (let i = Math.max(0, ui.first); i <= ui.last && i < events.length; ) {
    const x = xOfEvent(ui, i);
    if (x >= free && events[i].t !== before) {
      const next = Math.min(countUpTo(ui.axis.U, ui.axis.U[i] + 112 / ui.view.k), events.length - 1);
      const gap = Math.max(1, Math.abs(events[next].t - events[i].t));
      const label = seconds(events[i].t, gap >= 3_000_000 ? 100_000 : gap >= 30_000 ? 1_000 : 1);
      ticks.push({ x, label });
      before = events[i].t;
      free = x + Math.max(112, (label.length + 3) * ui.charWidth);
    }
    const u = ui.view.u0 + (Math.max(free, x + 1) - GUTTER) / ui.view.k;
    i = Math.max(i + 1, x < free ? firstFromU(ui, u) : i + 1);
  }
  return ticks;
}

function firstFromU(ui, u) {
  return countUpTo(ui.axis.U, u - 1e-9);
}

// Moments that concern every lane.
function drawLines(c, ui) {
  const bottom = ui.height - OVERVIEW;
  for (const event of ui.heals) {
    const x = Math.round(xOfEvent(ui, event.i)) + 0.5;
    if (x < GUTTER || x > ui.width) continue;
    c.strokeStyle = ui.colours.accent;
    c.setLineDash([4, 3]);
    strokeLine(c, x, AXIS, x, bottom);
    c.setLineDash([]);
  }
  const { violation } = ui.trace;
  if (!violation) return;
  const x = Math.round(xOfEvent(ui, violation.i));
  if (x < GUTTER || x > ui.width) return;
  const p = ui.colours;
  c.fillStyle = p.red;
  c.fillRect(x, 4, 2, bottom - 4);
  const label = violation.oracle ?? "!";
  const width = label.length * ui.charWidth + 10;
  const left = x + width > ui.width ? x - width + 2 : x;
  c.fillRect(left, 3, width, 17);
  note(c, ui, label, left + 5, 12, p["on-red"], null);
  if (!isShown(ui, violation.i)) return;
  const y = yOfEvent(ui, violation.i);
  const pane = ui.panes.lanes;
  if (y < pane.top || y > pane.top + pane.height) return;
  c.beginPath();
  c.arc(x + 1, y, 5, 0, 7);
  c.fill();
}

function drawOverview(c, ui) {
  const p = ui.colours;
  const top = ui.height - OVERVIEW;
  c.fillStyle = p.panel;
  c.fillRect(0, top, ui.width, OVERVIEW);
  c.fillStyle = p.line;
  c.fillRect(0, top, ui.width, 1);
  const k = fitScale(ui);
  const bins = new Uint16Array(Math.ceil(ui.width - GUTTER) + 2);
  for (const u of ui.axis.U) bins[Math.floor(u * k)] += 1;
  const most = bins.reduce((a, b) => Math.max(a, b), 1);
  c.fillStyle = p.faint;
  bins.forEach((count, x) => {
    const height = count && Math.max(1, Math.sqrt(count / most) * 18);
    c.fillRect(GUTTER + x, top + 30 - height, 1, height);
  });
  c.fillStyle = p.fault;
  for (const bar of ui.trace.faults) {
    const last = bar.until === undefined ? ui.axis.end : ui.axis.uOf(bar.until);
    const to = bar.end >= 0 ? ui.axis.U[bar.end] : bar.moment ? ui.axis.U[bar.begin] : last;
    c.globalAlpha = 0.6;
    c.fillRect(GUTTER + ui.axis.U[bar.begin] * k, top + 33, Math.max(2, (to - ui.axis.U[bar.begin]) * k), 2);
  }
  c.globalAlpha = 1;
  c.fillStyle = p.match;
  for (const i of ui.matches) c.fillRect(GUTTER + ui.axis.U[i] * k, top + 3, 1, 5);
  c.fillStyle = p.red;
  const { order, strong } = ui.trace.slice;
  for (const i of order) {
    const near = !strong.has(i);
    c.globalAlpha = near ? 0.5 : 1;
    c.fillRect(GUTTER + ui.axis.U[i] * k, top + (near ? 21 : 6), 1, near ? 9 : 24);
  }
  c.globalAlpha = 1;
  c.font = ui.fonts.plain;
  c.fillStyle = p.muted;
  c.fillText("whole run", 28, top + OVERVIEW / 2);
  drawWindow(c, ui, top, k);
}

function drawWindow(c, ui, top, k) {
  const x0 = clamp(GUTTER + ui.view.u0 * k, GUTTER, ui.width);
  const x1 = clamp(x0 + ((ui.width - GUTTER) / ui.view.k) * k, x0 + 3, ui.width - 1);
  c.fillStyle = ui.colours.panel;
  c.globalAlpha = 0.65;
  c.fillRect(GUTTER, top + 1, x0 - GUTTER, OVERVIEW);
  c.fillRect(x1, top + 1, ui.width - x1, OVERVIEW);
  c.globalAlpha = 1;
  c.strokeStyle = ui.colours.muted;
  c.strokeRect(Math.round(x0) + 0.5, top + 2.5, Math.round(x1 - x0) - 1, OVERVIEW - 5);
}

function drawOver(c, ui) {
  c.clearRect(0, 0, ui.width, ui.height);
  c.save();
  clip(c, GUTTER, 0, ui.width - GUTTER, ui.height - OVERVIEW);
  c.strokeStyle = ui.colours.match;
  c.lineWidth = 2;
  for (const i of ui.matches) {
    if (i < ui.first - 1 || i > ui.last + 1 || !isShown(ui, i)) continue;
    if (inLanes(ui, yOfEvent(ui, i))) c.strokeRect(xOfEvent(ui, i) - 3, yOfEvent(ui, i) - 7, 7, 14);
  }
  c.lineWidth = 1;
  if (ui.selected >= 0) drawChosen(c, ui, ui.selected);
  if (ui.span) drawSpan(c, ui, ui.span);
  if (ui.pointer) drawPointer(c, ui, ui.pointer);
  const chosen = ui.selected >= ui.first && ui.selected <= ui.last ? ui.selected : -1;
  const read = ui.pointer && ui.pointer.x >= GUTTER ? ui.pointer.i : chosen;
  if (read >= 0) drawReadings(c, ui, read);
  c.restore();
}

function inLanes(ui, y) {
  const { top, height } = ui.panes.lanes;
  return y > top - 4 && y < top + height + 4;
}

function drawChosen(c, ui, i) {
  const { events, slice } = ui.trace;
  const x = Math.round(xOfEvent(ui, i)) + 0.5;
  c.strokeStyle = ui.colours.ink;
  c.globalAlpha = 0.35;
  strokeLine(c, x, AXIS, x, ui.height - OVERVIEW);
  c.globalAlpha = 1;
  const y = yOfEvent(ui, i);
  if (!isShown(ui, i) || !inLanes(ui, y)) return;
  c.lineWidth = 2;
  c.strokeRect(x - 5, y - 9, 10, 18);
  c.lineWidth = 1;
  const red = slice.reasons.has(i);
  c.strokeStyle = c.fillStyle = red ? ui.colours.red : ui.colours.accent;
  if (events[i].from >= 0) drawArrow(c, ui, events[i].from, i);
  c.strokeStyle = c.fillStyle = ui.colours.accent;
  for (const effect of events[i].effects.slice(0, 40)) drawArrow(c, ui, i, effect);
}

function drawPointer(c, ui, { x, y, hit }) {
  if (x < GUTTER) return;
  const { events } = ui.trace;
  c.strokeStyle = ui.colours.faint;
  strokeLine(c, Math.round(x) + 0.5, AXIS, Math.round(x) + 0.5, ui.height - OVERVIEW);
  if (hit >= 0 && isShown(ui, hit)) {
    c.strokeStyle = c.fillStyle = ui.colours.ink;
    const chain = [];
    for (let i = hit; events[i].from >= 0 && chain.length < CHAIN; i = events[i].from) chain.push(i);
    for (const i of chain) drawArrow(c, ui, events[i].from, i);
    const at = yOfEvent(ui, hit);
    if (inLanes(ui, at)) c.strokeRect(Math.round(xOfEvent(ui, hit)) - 4.5, at - 8.5, 9, 17);
  }
  const u = ui.view.u0 + (x - GUTTER) / ui.view.k;
  const label = seconds(ui.axis.tOf(u), ui.last - ui.first < 2_000 ? 1 : 1_000);
  const left = Math.min(x + 4, ui.width - label.length * ui.charWidth - 6);
  note(c, ui, label, left, AXIS / 2 - 1, ui.colours.ink, ui.colours.hover);
}

function drawSpan(c, ui, [x0, x1]) {
  c.fillStyle = ui.colours.accent;
  c.globalAlpha = 0.15;
  c.fillRect(Math.min(x0, x1), AXIS, Math.abs(x1 - x0), ui.height - AXIS - OVERVIEW);
  c.globalAlpha = 1;
}

function drawReadings(c, ui, i) {
  const pane = ui.panes.charts;
  c.save();
  clip(c, GUTTER, pane.top, ui.width, pane.height);
  for (const partition of ui.trace.partitions) {
    let x = GUTTER + 6;
    const y = pane.top + partition.y - pane.scroll + 11;
    for (const [colour, text] of readings(ui, partition, i)) {
      note(c, ui, text, x, y, ui.colours[colour]);
      x += (text.length + 2) * ui.charWidth;
    }
  }
  c.restore();
}
