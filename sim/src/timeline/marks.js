// What happened, as marks in its lane: operations, ticks, life and death, arrows from cause to effect.

const LABEL_FROM = 44;
const ARROWS_UP_TO = 500;

function drawLaneEvents(c, ui, lane) {
  if (lane.kind === "client") drawOperations(c, ui, lane);
  drawTicks(c, ui, lane);
  for (const i of lane.marks) {
    if (i >= ui.first - 1 && i <= ui.last + 1) drawMark(c, ui, lane, i);
  }
}

function drawOperations(c, ui, lane) {
  const p = ui.colours;
  const lastAt = [];
  const [from, to] = visiblePart(ui, lane.begins);
  for (let at = Math.max(0, from - 8); at < to; at++) {
    const operation = lane.operations[at];
    const x0 = xOfEvent(ui, operation.begin);
    const x1 = operation.end < 0 ? x0 : xOfEvent(ui, operation.end);
    if (x1 < GUTTER - 8) continue;
    const y = lane.top + lane.bandY + operation.row * OPERATION_ROW;
    const crowded = x1 - (lastAt[operation.row] ?? -99) < 7;
    if (x1 - x0 > 2) {
      c.fillStyle = operation.outcome === "unknown" ? p.unknown : p.operation;
      c.fillRect(x0, y + 1, x1 - x0, OPERATION_ROW - 3);
    }
    c.fillStyle = p.tick;
    if (x1 > x0) c.fillRect(x0, y + 3, 1, OPERATION_ROW - 7);
    const room = operation.next < 0 ? ui.width : Math.min(ui.width, xOfEvent(ui, operation.next) - 8);
    if (!crowded) drawOutcome(c, ui, operation.outcome, x1, y + OPERATION_ROW / 2 - 0.5);
    lastAt[operation.row] = crowded ? lastAt[operation.row] : x1;
    const label = labelOf(ui.trace.events[operation.begin]);
    const start = Math.max(x0, GUTTER) + 5;
    const inside = Math.floor((Math.min(x1 - 8, room) - start) / ui.charWidth);
    const beside = Math.floor((room - x1 - 8) / ui.charWidth);
    if (inside >= 8) note(c, ui, cut(label, inside), start, y + OPERATION_ROW / 2 - 0.5, p.ink, null);
    else if (beside >= 10) note(c, ui, cut(label, beside), x1 + 8, y + OPERATION_ROW / 2 - 0.5, p.muted, null);
  }
}

// The shape alone tells the outcome, too.
function drawOutcome(c, ui, outcome, x, y) {
  const p = ui.colours;
  c.lineWidth = 1.5;
  c.fillStyle = p.bg;
  c.strokeStyle = p.tick;
  c.beginPath();
  if (outcome === "acknowledged") {
    c.fillStyle = p.accent;
    c.arc(x, y, 3, 0, 7);
    c.fill();
  } else if (outcome === "unknown") {
    c.strokeStyle = p["unknown-ink"];
    polygon(c, [[x, y - 4], [x + 4, y], [x, y + 4], [x - 4, y]]);
    c.fill();
    c.stroke();
  } else if (outcome === "rejected") {
    c.rect(x - 2.5, y - 2.5, 5, 5);
    c.fill();
    c.stroke();
  } else if (outcome === "did not happen") {
    cross(c, x, y, 3);
  } else {
    c.arc(x, y, 2.5, 0, 7);
    c.stroke();
  }
  c.lineWidth = 1;
}

function polygon(c, points) {
  points.forEach(([x, y], at) => (at ? c.lineTo(x, y) : c.moveTo(x, y)));
  c.closePath();
}

function cross(c, x, y, r) {
  c.moveTo(x - r, y - r);
  c.lineTo(x + r, y + r);
  c.moveTo(x + r, y - r);
  c.lineTo(x - r, y + r);
  c.stroke();
}

// One mark per pixel at most, the taller the more events it stands for.
function drawTicks(c, ui, lane) {
  const { axis, view } = ui;
  const [from, to] = visiblePart(ui, lane.ticks);
  const y = lane.top + lane.tickY;
  let pixel = -1;
  let count = 0;
  const flush = () => {
    const half = Math.min(6, 2.5 + Math.log2(count));
    if (count > 0) c.fillRect(pixel, y - half, 1, 2 * half);
  };
  c.fillStyle = ui.colours.tick;
  c.globalAlpha = 0.55;
  for (let at = from; at < to; at++) {
    const x = Math.round(GUTTER + (axis.U[lane.ticks[at]] - view.u0) * view.k);
    if (x !== pixel) flush(), (count = 0);
    pixel = x;
    count += 1;
  }
  flush();
  c.globalAlpha = 1;
  if (to - from < (ui.width - GUTTER) / 8) drawTickLabels(c, ui, lane, from, to);
}

function drawTickLabels(c, ui, lane, from, to) {
  for (let at = from; at < to; at++) {
    const i = lane.ticks[at];
    const x = xOfEvent(ui, i);
    const next = at + 1 < lane.ticks.length ? xOfEvent(ui, lane.ticks[at + 1]) : ui.width;
    if (next - x < LABEL_FROM || ui.trace.slice.reasons.has(i)) continue;
    if (x < GUTTER - 1) continue;
    const start = x + 4;
    const text = cut(labelOf(ui.trace.events[i]), Math.floor((Math.min(next, ui.width) - start - 4) / ui.charWidth));
    note(c, ui, text, start, lane.top + lane.tickY, ui.colours.muted, null);
  }
}

function drawMark(c, ui, lane, i) {
  const p = ui.colours;
  const event = ui.trace.events[i];
  const x = xOfEvent(ui, i);
  const y = lane.kind === "node" ? lane.top + lane.bandY + BAND / 2 : lane.top + lane.tickY;
  c.fillStyle = p.ink;
  c.strokeStyle = p.ink;
  c.lineWidth = 2;
  c.beginPath();
  if (event.what === "start") {
    polygon(c, [[x - 1, y - 6], [x + 8, y], [x - 1, y + 6]]);
    c.fill();
  } else if (event.what === "crash") {
    cross(c, x, y, 5);
  } else if (event.what === "wipe") {
    c.fillStyle = p.bg;
    c.rect(x + 7, y - 4.5, 9, 9);
    c.fill();
    c.stroke();
    strokeLine(c, x + 7, y + 4.5, x + 16, y - 4.5);
  }
  c.lineWidth = 1;
}

function yOfEvent(ui, i) {
  const event = ui.trace.events[i];
  const lane = laneOf(ui, event);
  const top = ui.panes.lanes.top + lane.y - ui.panes.lanes.scroll;
  if (event.bar) return top + lane.barsY + event.bar.row * BAR_ROW + BAR_ROW / 2 - 1;
  if (lane.kind === "node" && (event.what === "phase" || LIFECYCLE.has(event.what))) return top + lane.bandY + BAND / 2;
  return top + lane.tickY + (event.operation ? event.operation.row * OPERATION_ROW : 0);
}

// The end of a fault stands where the fault stands.
function laneOf(ui, event) {
  return event.bar?.lane ?? ui.trace.lanes[event.laneIndex];
}

function isShown(ui, i) {
  const lane = laneOf(ui, ui.trace.events[i]);
  return !lane.lines && !ui.hidden.has(lane.name);
}

// An operation and its answer are joined by the operation's own bar.
function isOneOperation(ui, from, to) {
  const { operation } = ui.trace.events[from];
  return operation !== undefined && operation === ui.trace.events[to].operation;
}

function drawArrow(c, ui, from, to) {
  if (!isShown(ui, from) || !isShown(ui, to) || isOneOperation(ui, from, to)) return;
  const [x0, y0, x1, y1] = [xOfEvent(ui, from), yOfEvent(ui, from), xOfEvent(ui, to), yOfEvent(ui, to)];
  if (Math.max(x0, x1) < GUTTER || Math.min(x0, x1) > ui.width) return;
  const steep = x1 - x0 < 26;
  const bend = Math.min(70, (x1 - x0) / 2);
  c.beginPath();
  c.moveTo(x0, y0);
  if (steep) c.lineTo(x1, y1);
  else c.bezierCurveTo(x0 + bend, y0, x1 - bend, y1, x1, y1);
  c.stroke();
  if (Math.hypot(x1 - x0, y1 - y0) < 14) return;
  const angle = steep ? Math.atan2(y1 - y0, x1 - x0) : 0;
  const wing = (turn) => [x1 - 7 * Math.cos(angle + turn), y1 - 7 * Math.sin(angle + turn)];
  c.beginPath();
  polygon(c, [[x1, y1], wing(0.42), wing(-0.42)]);
  c.fill();
}

function drawArrows(c, ui) {
  if (ui.last - ui.first > ARROWS_UP_TO) return;
  c.strokeStyle = c.fillStyle = ui.colours.tick;
  c.globalAlpha = ui.last - ui.first > 120 ? 0.22 : 0.4;
  for (let i = Math.max(0, ui.first); i <= Math.min(ui.last + 40, ui.trace.events.length - 1); i++) {
    const event = ui.trace.events[i];
    if (event.from < 0) continue;
    if (ui.trace.events[event.from].laneIndex !== event.laneIndex) drawArrow(c, ui, event.from, i);
  }
  c.globalAlpha = 1;
}

// The slice stays visible at every zoom: its edges and marks are few.
function drawSlice(c, ui, shown) {
  const { colours: p, trace } = ui;
  c.strokeStyle = c.fillStyle = p.red;
  c.lineWidth = 1.5;
  let lastX = -Infinity;
  for (const to of trace.slice.edges) {
    const [x0, x1] = [xOfEvent(ui, trace.events[to].from), xOfEvent(ui, to)];
    if (x1 - lastX < 3 && x1 - x0 < 3 && ui.last - ui.first > ARROWS_UP_TO) continue;
    lastX = x1;
    c.globalAlpha = trace.slice.strong.has(to) ? 0.9 : 0.3;
    drawArrow(c, ui, trace.events[to].from, to);
  }
  c.globalAlpha = 1;
  c.lineWidth = 1;
  const lanes = new Set(shown);
  const { order, reasons, strong } = trace.slice;
  for (const i of order) {
    const lane = laneOf(ui, trace.events[i]);
    const x = xOfEvent(ui, i);
    if (!lanes.has(lane) || x < GUTTER - 2 || x > ui.width + 2) continue;
    const y = yOfEvent(ui, i);
    c.fillStyle = p.red;
    c.globalAlpha = strong.has(i) ? 1 : 0.5;
    c.fillRect(x - 1, y - 6, 2, 12);
    c.globalAlpha = 1;
    const apart = trace.events[i].operation || y !== yOfTicks(ui, lane);
    if (reasons.get(i) === "violation" || apart) continue;
    const next = nextInLane(ui, lane, i);
    const room = Math.floor((Math.min(next, ui.width) - x - 8) / ui.charWidth);
    if (room >= 6) note(c, ui, cut(labelOf(trace.events[i]), room), x + 5, y, p.red);
  }
}

function yOfTicks(ui, lane) {
  return ui.panes.lanes.top + lane.y - ui.panes.lanes.scroll + lane.tickY;
}

function nextInLane(ui, lane, i) {
  const at = ui.trace.events[i].place + 1;
  return at < lane.events.length ? xOfEvent(ui, lane.events[at]) : ui.width;
}
