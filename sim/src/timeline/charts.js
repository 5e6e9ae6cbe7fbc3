// The lower pane: per partition the log's ends and each node's positions over the same time axis.

const CHART_LEAST = 128;
const CHART_HEAD = 22;
const CHART_FOOT = 18;
const APART = 2;
const LOG_LINES = [
  { field: "log_end", name: "log end", dash: [], width: 1, colour: "faint" },
  { field: "high_watermark", name: "high watermark", dash: [], width: 2, colour: "muted" },
  { field: "last_stable", name: "last stable", dash: [2, 3], width: 1.25, colour: "ink" },
  { field: "log_start", name: "log start", dash: [], width: 1, colour: "faint" },
];

function layOutCharts(ui) {
  const { partitions } = ui.trace;
  const pane = ui.panes.charts;
  ui.chart = Math.max(CHART_LEAST, Math.min(280, Math.floor(pane.height / Math.max(1, partitions.length))));
  partitions.forEach((partition, at) => (partition.y = at * ui.chart));
  pane.content = partitions.length * ui.chart;
}

function drawCharts(c, ui) {
  const pane = ui.panes.charts;
  c.save();
  clip(c, 0, pane.top, ui.width, pane.height);
  for (const partition of ui.trace.partitions) {
    const top = pane.top + partition.y - pane.scroll;
    if (top < pane.top + pane.height && top + ui.chart > pane.top) drawChart(c, ui, partition, top);
  }
  drawScrollbar(c, ui, pane);
  c.restore();
}

function drawChart(c, ui, partition, top) {
  const p = ui.colours;
  const [low, high] = rangeOf(ui, partition);
  const bottom = top + ui.chart - CHART_FOOT;
  const height = ui.chart - CHART_HEAD - CHART_FOOT;
  const yOf = (offset) => bottom - ((offset - low) / (high - low)) * height;
  partition.yOf = yOf;
  c.fillStyle = p.line;
  c.fillRect(0, Math.round(top), ui.width, 1);
  drawOffsets(c, ui, low, high, yOf);
  c.save();
  clip(c, GUTTER, top + 1, ui.width - GUTTER, ui.chart - 1);
  drawGone(c, ui, partition, yOf, bottom);
  for (const line of LOG_LINES) drawSteps(c, ui, partition.log, line.field, yOf, p[line.colour], line.width, line.dash);
  for (const [name, points] of partition.copies) drawCopy(c, ui, name, points, yOf);
  drawEpochs(c, ui, partition, top);
  c.restore();
  const mine = ui.trace.slice.partition === partition.number;
  c.font = ui.fonts.strong;
  c.textBaseline = "middle";
  c.fillStyle = mine ? p.red : p.ink;
  c.fillText(`p${partition.number}`, 28, top + 12);
}

// The visible offsets; the log's start only where it is near, as it would flatten all else.
function rangeOf(ui, partition) {
  let low = Infinity;
  let high = -Infinity;
  const take = (offset) => {
    if (offset === undefined || offset === null) return;
    low = Math.min(low, offset);
    high = Math.max(high, offset);
  };
  const scan = (points, fields) => {
    const [from, to] = visibleSteps(ui, points);
    for (let at = from; at < to; at++) fields.forEach((field) => take(points[at][field]));
  };
  scan(partition.log, ["last_stable", "high_watermark", "log_end"]);
  for (const points of partition.copies.values()) scan(points, ["applied", "durable"]);
  if (low > high) return [0, 1];
  const [from] = visibleSteps(ui, partition.log);
  const start = partition.log[from]?.log_start ?? low;
  if (low - start < (high - low) * 0.6) low = Math.min(low, start);
  const margin = Math.max(1, (high - low) * 0.04);
  return [low === 0 ? 0 : low - margin, high + margin];
}

function visibleSteps(ui, points) {
  let low = 0;
  let high = points.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle].i < ui.first) low = middle + 1;
    else high = middle;
  }
  let end = low;
  while (end < points.length && points[end].i <= ui.last) end += 1;
  return [Math.max(0, low - 1), Math.min(points.length, end + 1)];
}

function drawOffsets(c, ui, low, high, yOf) {
  const step = niceStep((high - low) / 3, 1);
  c.font = ui.fonts.small;
  c.textBaseline = "middle";
  c.textAlign = "right";
  for (let offset = Math.ceil(low / step) * step; offset <= high; offset += step) {
    const y = Math.round(yOf(offset));
    c.fillStyle = ui.colours.line;
    c.globalAlpha = 0.6;
    c.fillRect(GUTTER, y, ui.width - GUTTER, 1);
    c.globalAlpha = 1;
    c.fillStyle = ui.colours.muted;
    c.fillText(String(offset), GUTTER - 8, y);
  }
  c.textAlign = "left";
}

function niceStep(rough, least) {
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, least)));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  return Math.max(least, step);
}

// What lies below the log's start is not there any more.
function drawGone(c, ui, partition, yOf, bottom) {
  const [from, to] = visibleSteps(ui, partition.log);
  c.fillStyle = ui.colours.gone;
  for (let at = from; at < to; at++) {
    const point = partition.log[at];
    if (!(point.log_start > 0)) continue;
    const x0 = Math.max(xOfEvent(ui, point.i), GUTTER);
    const x1 = at + 1 < partition.log.length ? xOfEvent(ui, partition.log[at + 1].i) : xOf(ui, ui.axis.end);
    const y = Math.min(yOf(point.log_start), bottom + CHART_FOOT);
    if (x1 > x0) c.fillRect(x0, y, x1 - x0 + 0.5, bottom + CHART_FOOT - y);
  }
}

// Steps, one vertical stroke per pixel column at most; a point without the field ends the line.
function drawSteps(c, ui, points, field, yOf, colour, width, dash, until = (point) => point[field]) {
  const [from, to] = visibleSteps(ui, points);
  c.strokeStyle = colour;
  c.lineWidth = width;
  c.setLineDash(dash);
  c.beginPath();
  let pixel = -1;
  let open = false;
  let y = 0;
  for (let at = from; at < to; at++) {
    const value = until(points[at]);
    const x = xOfEvent(ui, points[at].i);
    if (open && (x - pixel >= 1 || value === undefined)) c.lineTo(x, y);
    if (value === undefined || value === null) {
      open = false;
      continue;
    }
    y = yOf(value);
    if (open) c.lineTo(Math.max(x, pixel), y);
    else c.moveTo(x, y);
    open = true;
    pixel = x;
  }
  if (open) c.lineTo(to < points.length ? xOfEvent(ui, points[to].i) : xOf(ui, ui.axis.end), y);
  c.stroke();
  c.setLineDash([]);
  c.lineWidth = 1;
}

// Copies at the same position lie side by side instead of hiding each other.
function drawCopy(c, ui, name, points, trueYOf) {
  if (ui.hidden.has(name)) return;
  const { number } = ui.trace.laneByName.get(name);
  const colour = ui.colours[`n${number % 7}`];
  const nodes = ui.trace.lanes.filter((lane) => lane.kind === "node").length;
  const apart = (number - (nodes - 1) / 2) * APART;
  const yOf = (offset) => trueYOf(offset) + apart;
  drawSteps(c, ui, points, "durable", yOf, colour, 1, [4, 3]);
  drawSteps(c, ui, points, "applied", yOf, colour, 1.75, []);
  const restoring = (point) => (point.target > point.applied ? point.target : undefined);
  drawSteps(c, ui, points, "target", yOf, colour, 1, [1, 3], restoring);
}

function drawEpochs(c, ui, partition, top) {
  const p = ui.colours;
  let free = GUTTER;
  partition.epochs.forEach((event, at) => {
    const x = xOfEvent(ui, event.i);
    const next = partition.epochs[at + 1];
    if (x > ui.width || (next && xOfEvent(ui, next.i) < GUTTER)) return;
    const label = `epoch ${event.epoch} · ${Number.isInteger(event.leader) ? `broker ${event.leader}` : "no leader"}`;
    if (x >= GUTTER && at > 0) {
      c.strokeStyle = p.muted;
      c.setLineDash([1, 2]);
      strokeLine(c, Math.round(x) + 0.5, top + CHART_HEAD - 4, Math.round(x) + 0.5, top + ui.chart);
      c.setLineDash([]);
    }
    const start = Math.max(x, GUTTER) + 5;
    const room = (next ? Math.min(xOfEvent(ui, next.i), ui.width) : ui.width) - start;
    if (start < free || room < 3 * ui.charWidth) return;
    const text = room > label.length * ui.charWidth ? label : `e${event.epoch}`;
    note(c, ui, text, start, top + ui.chart - 8, p.muted, null);
    free = start + text.length * ui.charWidth + 8;
  });
}

// What every line of the chart says at event `i`.
function readings(ui, partition, i) {
  const at = (points) => points[firstAfter(points, i) - 1];
  const log = at(partition.log);
  const parts = [];
  if (log) {
    const ends = `start ${log.log_start}  stable ${log.last_stable}  hw ${log.high_watermark}  end ${log.log_end}`;
    parts.push(["muted", ends]);
  }
  for (const [name, points] of partition.copies) {
    const copy = at(points);
    if (ui.hidden.has(name) || copy?.applied === undefined) continue;
    const { number } = ui.trace.laneByName.get(name);
    const inexact = copy.exact_from > copy.applied ? ` exact ${copy.exact_from}` : "";
    parts.push([`n${number % 7}`, `${name} ${copy.applied}/${copy.durable}${inexact}`]);
  }
  return parts;
}

function firstAfter(points, i) {
  let low = 0;
  let high = points.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle].i <= i) low = middle + 1;
    else high = middle;
  }
  return low;
}

function chartHit(ui, x, y) {
  const pane = ui.panes.charts;
  const at = y - pane.top + pane.scroll;
  const partition = ui.trace.partitions.find((partition) => at >= partition.y && at < partition.y + ui.chart);
  if (!partition || x < GUTTER) return -1;
  const candidates = [partition.log, ...partition.copies.values()].map((points) => {
    return nearest(ui, points.map((point) => point.i), x, 7);
  });
  const distance = (i) => Math.abs(xOfEvent(ui, i) - x);
  return candidates.filter((i) => i >= 0).sort((a, b) => distance(a) - distance(b))[0] ?? -1;
}
