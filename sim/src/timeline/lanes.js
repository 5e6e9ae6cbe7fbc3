// The upper pane: one lane per client, node, disk, log and broker; what happened as marks on it.

const GUTTER = 104;
const BAR_ROW = 14;
const OPERATION_ROW = 15;
const BAND = 16;
const TICKS = 14;
const LEADING_ROWS = 6;
const PAUSE = "D2";

const PHASE_STYLES = {
  OPENING: ["opening", "ink"], RESTORING: ["restoring", "ink"], CATCHING_UP: ["catching", "ink"],
  READY: ["ready", "ink"], REFUSED: ["refused", "on-refused"], STOPPED: ["opening", "muted"],
};

function layOutLanes(ui) {
  let y = 4;
  let before = null;
  const leads = Math.min(ui.trace.partitions.length, LEADING_ROWS);
  ui.lanes = ui.trace.lanes.filter((lane) => !ui.hidden.has(lane.name) && !lane.lines);
  for (const lane of ui.lanes) {
    const apart = before && (lane.kind !== before.kind) && lane.kind !== "disk";
    if (apart || (before && lane.kind === "node")) y += 6;
    lane.y = y;
    lane.barsY = 3;
    const bars = (lane.bars.rows ?? 0) * BAR_ROW;
    lane.bandY = lane.barsY + bars;
    if (lane.kind === "client") lane.height = lane.bandY + lane.operations.rows * OPERATION_ROW + 2;
    else if (lane.kind === "node") lane.height = lane.bandY + BAND + TICKS + 2;
    else if (lane.kind === "broker") lane.height = lane.bandY + Math.max(TICKS - 1, 5 * leads + 4);
    else lane.height = lane.bandY + TICKS + (lane.kind === "disk" ? -1 : 1);
    lane.tickY = lane.kind === "client" ? lane.bandY + OPERATION_ROW / 2 : lane.height - TICKS / 2 - 1;
    y += lane.height;
    before = lane;
  }
  ui.panes.lanes.content = y + 6;
}

function xOf(ui, u) {
  return GUTTER + (u - ui.view.u0) * ui.view.k;
}

function xOfEvent(ui, i) {
  return xOf(ui, ui.axis.U[i]);
}

function endOf(ui, bar) {
  if (bar.end >= 0) return xOfEvent(ui, bar.end);
  if (bar.moment) return xOfEvent(ui, bar.begin);
  return bar.until === undefined ? xOf(ui, ui.axis.end) : xOf(ui, ui.axis.uOf(bar.until));
}

// The visible part of the ascending event numbers in `list`, with one more on each side.
function visiblePart(ui, list) {
  return [Math.max(0, firstFrom(list, ui.first) - 1), Math.min(list.length, firstFrom(list, ui.last + 1) + 1)];
}

function firstFrom(list, i) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] < i) low = middle + 1;
    else high = middle;
  }
  return low;
}

function drawLanes(c, ui) {
  const pane = ui.panes.lanes;
  const shown = ui.lanes.filter((lane) => {
    lane.top = pane.top + lane.y - pane.scroll;
    return lane.top < pane.top + pane.height && lane.top + lane.height > pane.top;
  });
  c.save();
  clip(c, 0, pane.top, ui.width, pane.height);
  c.save();
  clip(c, GUTTER, pane.top, ui.width - GUTTER, pane.height);
  for (const lane of shown) drawLaneGround(c, ui, lane);
  drawArrows(c, ui);
  for (const lane of shown) drawLaneEvents(c, ui, lane);
  drawSlice(c, ui, shown);
  c.restore();
  for (const lane of shown) drawLaneName(c, ui, lane);
  drawScrollbar(c, ui, pane);
  c.restore();
}

function clip(c, x, y, width, height) {
  c.beginPath();
  c.rect(x, y, width, height);
  c.clip();
}

function drawLaneName(c, ui, lane) {
  const p = ui.colours;
  const mine = ui.trace.violation?.lane === lane.name;
  const main = lane.kind === "node" || lane.kind === "log";
  const y = lane.top + (lane.kind === "node" ? lane.bandY + BAND / 2 : lane.tickY);
  c.font = main ? ui.fonts.strong : ui.fonts.plain;
  c.fillStyle = mine ? p.red : main ? p.ink : p.muted;
  c.textBaseline = "middle";
  c.fillText(lane.name, 28, y);
  if (lane.kind === "node") {
    c.fillStyle = p[`n${lane.number % 7}`];
    c.fillRect(16, y - 4, 8, 8);
  }
}

function drawLaneGround(c, ui, lane) {
  const p = ui.colours;
  c.fillStyle = p.line;
  if (lane.kind !== "disk") c.fillRect(GUTTER, Math.round(lane.top) - 1, ui.width, 1);
  for (const bar of lane.bars) drawBar(c, ui, lane, bar);
  if (lane.kind === "broker") drawLeading(c, ui, lane);
  if (lane.kind !== "node") return;
  drawPhases(c, ui, lane);
  for (const bar of lane.bars) {
    if (bar.id === PAUSE && bar.kind === "fault") drawPaused(c, ui, lane, bar);
  }
}

function drawPhases(c, ui, lane) {
  const p = ui.colours;
  const y = lane.top + lane.bandY;
  for (const { phase, begin, end, mark } of lane.phases) {
    const x0 = Math.max(xOfEvent(ui, begin), GUTTER);
    const x1 = Math.min(end < 0 ? xOf(ui, ui.axis.end) : xOfEvent(ui, end), ui.width);
    if (x1 < GUTTER || x0 > ui.width) continue;
    if (phase === "DOWN") {
      c.strokeStyle = p.faint;
      c.setLineDash([2, 4]);
      strokeLine(c, x0, y + BAND / 2, x1, y + BAND / 2);
      c.setLineDash([]);
      if (x1 - x0 > 70) note(c, ui, "down", x0 + 26, y + BAND / 2, p.muted);
      continue;
    }
    const [fill, text] = PHASE_STYLES[phase] ?? ["opening", "ink"];
    c.fillStyle = p[fill];
    c.fillRect(x0, y, Math.max(1, x1 - x0 - (x1 - x0 > 4 ? 1 : 0)), BAND);
    const label = phase.replaceAll("_", " ");
    const indent = mark < 0 ? 5 : Math.max(5, xOfEvent(ui, mark) + 12 - x0);
    if (x1 - x0 > label.length * ui.charWidth + indent + 5) note(c, ui, label, x0 + indent, y + BAND / 2, p[text], null);
  }
}

// The process stands still: its phase is what it was, but nothing happens.
function drawPaused(c, ui, lane, bar) {
  const x0 = Math.max(xOfEvent(ui, bar.begin), GUTTER);
  const crash = lane.marks.find((i) => i > bar.begin && ui.trace.events[i].what === "crash");
  const x1 = Math.min(endOf(ui, bar), crash ? xOfEvent(ui, crash) : Infinity, ui.width);
  if (x1 <= x0) return;
  const y = lane.top + lane.bandY;
  c.save();
  clip(c, x0, y, x1 - x0, BAND);
  c.strokeStyle = ui.colours.fault;
  for (let x = x0 - (x0 % 6) - BAND; x < x1; x += 6) strokeLine(c, x, y + BAND, x + BAND, y);
  c.restore();
  if (x1 - x0 > 60) note(c, ui, "PAUSED", (x0 + x1) / 2 - 3 * ui.charWidth, y + BAND / 2, ui.colours.fault);
}

// The stretches over which this broker leads, a thin row per partition.
function drawLeading(c, ui, lane) {
  const rows = ui.trace.partitions.slice(0, LEADING_ROWS);
  rows.forEach((partition, row) => {
    const y = lane.top + lane.bandY + 3 + row * 5;
    partition.epochs.forEach((event, at) => {
      if (event.leader !== lane.number) return;
      const next = partition.epochs[at + 1];
      const x0 = Math.max(xOfEvent(ui, event.i), GUTTER);
      const x1 = Math.min(next ? xOfEvent(ui, next.i) : xOf(ui, ui.axis.end), ui.width);
      if (x1 < x0) return;
      c.fillStyle = ui.colours.faint;
      c.globalAlpha = 0.45;
      c.fillRect(x0, y, Math.max(1, x1 - x0), 3);
      c.globalAlpha = 1;
    });
  });
}

function drawBar(c, ui, lane, bar) {
  const p = ui.colours;
  const from = xOfEvent(ui, bar.begin);
  const to = endOf(ui, bar);
  const room = bar.moment ? Math.max(to, from + (bar.label.length + 1) * ui.charWidth) : to;
  if (room < GUTTER || from > ui.width) return;
  const x0 = Math.max(from, GUTTER - 1);
  const x1 = Math.min(Math.max(to, from + 3), ui.width + 1);
  const y = lane.top + lane.barsY + bar.row * BAR_ROW;
  const stall = bar.kind === "stall";
  if (stall) {
    c.strokeStyle = p.stall;
    c.setLineDash([3, 2]);
    c.strokeRect(x0 + 0.5, y + 0.5, Math.max(1, x1 - x0 - 1), BAR_ROW - 3);
    c.setLineDash([]);
  } else {
    c.fillStyle = p["fault-soft"];
    c.globalAlpha = 0.35;
    if (!bar.moment) c.fillRect(x0, y, x1 - x0, lane.top + lane.height - y);
    c.globalAlpha = 1;
    c.fillRect(x0, y, x1 - x0, BAR_ROW - 2);
    c.fillStyle = p.fault;
    c.fillRect(from, y, 3, bar.moment ? lane.height - (y - lane.top) - 2 : BAR_ROW - 2);
    if (to > from + 6) c.fillRect(to - 1, y, 1, BAR_ROW - 2);
  }
  drawBarLabel(c, ui, lane, bar, from, to, y + BAR_ROW / 2 - 0.5);
}

// Inside the bar when it fits there, else behind it, else the fault's id alone.
function drawBarLabel(c, ui, lane, bar, from, to, y) {
  const next = lane.bars.find((other) => other.row === bar.row && other.begin > bar.begin);
  const limit = next ? Math.min(xOfEvent(ui, next.begin) - 6, ui.width) : ui.width;
  const start = Math.max(from, GUTTER) + 6;
  const chars = (width) => Math.floor(width / ui.charWidth);
  const id = bar.kind === "fault" ? bar.label.split(" ")[0] : "";
  const inside = chars(Math.min(to, limit) - 4 - start);
  const behind = bar.moment || to < GUTTER ? 0 : chars(limit - to - 6);
  const write = (text, x) => note(c, ui, text, x, y, ui.colours[bar.kind], null);
  if (bar.moment) write(cut(bar.label, chars(limit - start)), start);
  else if (inside >= bar.label.length) write(bar.label, start);
  else if (behind >= bar.label.length) write(bar.label, to + 5);
  else if (inside >= 10) write(cut(bar.label, inside), start);
  else if (id && inside >= id.length) write(id, start);
  else if (id && behind >= id.length) write(id, to + 5);
}

function cut(text, chars) {
  return text.length <= chars ? text : chars < 3 ? "" : `${text.slice(0, chars - 1)}…`;
}

// Small text, on a patch of the ground's colour unless `ground` is null.
function note(c, ui, text, x, y, colour, ground = ui.colours.bg) {
  c.font = ui.fonts.small;
  c.textBaseline = "middle";
  if (ground) {
    c.fillStyle = ground;
    c.fillRect(x - 3, y - 7, text.length * ui.charWidth + 6, 14);
  }
  c.fillStyle = colour;
  c.fillText(text, x, y);
}

function strokeLine(c, x0, y0, x1, y1) {
  c.beginPath();
  c.moveTo(x0, y0);
  c.lineTo(x1, y1);
  c.stroke();
}

function drawScrollbar(c, ui, pane) {
  if (pane.content <= pane.height) return;
  const height = Math.max(24, (pane.height * pane.height) / pane.content);
  const y = pane.top + (pane.scroll / (pane.content - pane.height)) * (pane.height - height);
  c.fillStyle = ui.colours.faint;
  c.globalAlpha = 0.5;
  c.fillRect(ui.width - 6, y + 2, 4, height - 4);
  c.globalAlpha = 1;
}

// The event or bar under the pointer: in its lane the nearest within reach, a slice's event first.
function laneHit(ui, x, y) {
  const pane = ui.panes.lanes;
  const at = y - pane.top + pane.scroll;
  const lane = ui.lanes.find((lane) => at >= lane.y && at < lane.y + lane.height);
  if (!lane || x < GUTTER) return -1;
  const inBars = Math.floor((at - lane.y - lane.barsY) / BAR_ROW);
  const bar = lane.bars.find((bar) => {
    const from = xOfEvent(ui, bar.begin);
    return bar.row === inBars && x >= from - 3 && x <= Math.max(endOf(ui, bar), from + 24);
  });
  if (bar) return bar.begin;
  const near = nearest(ui, lane.events, x, 9);
  if (near >= 0) return near;
  const within = (list) => list.find(({ begin, end }) => {
    return x >= xOfEvent(ui, begin) && x <= (end < 0 ? ui.width : xOfEvent(ui, end));
  });
  if (lane.kind === "broker") return leadingHit(ui, lane, at - lane.y - lane.bandY, x);
  return within(lane.operations)?.begin ?? within(lane.phases)?.begin ?? -1;
}

function leadingHit(ui, lane, y, x) {
  const partition = ui.trace.partitions[Math.floor((y - 1) / 5)];
  const turn = partition?.epochs.findLast((event) => xOfEvent(ui, event.i) <= x);
  return turn?.leader === lane.number ? turn.i : -1;
}

function nearest(ui, list, x, reach) {
  const u = ui.view.u0 + (x - GUTTER) / ui.view.k;
  const i = countUpTo(ui.axis.U, u);
  const around = firstFrom(list, i);
  let best = -1;
  let bestScore = reach;
  for (let at = Math.max(0, around - 40); at < Math.min(list.length, around + 40); at++) {
    const distance = Math.abs(xOfEvent(ui, list[at]) - x);
    const score = distance - (distance <= reach && ui.trace.slice.reasons.has(list[at]) ? 3 : 0);
    if (distance <= reach && score < bestScore) [best, bestScore] = [list[at], score];
  }
  return best;
}
