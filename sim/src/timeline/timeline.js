// The page: its state, what moves it, and when it is drawn.

const AXIS = 26;
const SPLIT = 7;
const OVERVIEW = 40;
const COLOURS = [
  "bg", "panel", "hover", "ink", "muted", "faint", "line", "accent", "red", "on-red", "fault", "fault-soft",
  "stall", "opening", "restoring", "catching", "ready", "refused", "on-refused", "gap", "gone", "tick", "match",
  "operation", "unknown", "unknown-ink",
  "n0", "n1", "n2", "n3", "n4", "n5", "n6",
];

// Not as a tick.
const DRAWN_APART = new Set([
  ...LIFECYCLE, "operation", "answer", "phase", "fault", "lifted", "stall", "violation",
]);

const byId = (id) => document.getElementById(id);
const stage = byId("stage");
const base = byId("base").getContext("2d", { alpha: false });
const over = byId("over").getContext("2d");
const plan = parsedPlan();
const ui = {
  trace: readTrace(byId("trace").textContent), hidden: new Set(), matched: new Set(), matches: [],
  selected: -1, pointer: null, colours: {}, fonts: {}, charWidth: 6, width: 0, height: 0, first: 0, last: 0,
  view: { u0: 0, k: 1 }, share: 0, chart: 0, dirty: false, text: false, span: null,
  panes: {
    lanes: { top: AXIS, height: 0, scroll: 0, content: 0 },
    charts: { top: 0, height: 0, scroll: 0, content: 0 },
  },
};
const { events, violation, slice } = ui.trace;
for (const lane of ui.trace.lanes) {
  lane.begins = lane.operations.map((operation) => operation.begin);
  lane.ticks = lane.events.filter((i) => !DRAWN_APART.has(events[i].what) && lane.kind !== "world");
  lane.marks = lane.events.filter((i) => LIFECYCLE.has(events[i].what));
}
ui.axis = axisOf(events, "compressed");

function parsedPlan() {
  try {
    return JSON.parse(byId("plan").textContent);
  } catch {
    return null;
  }
}

// --- what is seen

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of COLOURS) ui.colours[name] = style.getPropertyValue(`--${name}`).trim();
  const mono = 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace';
  const sans = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif';
  ui.fonts = { small: `11px ${mono}`, plain: `12px ${sans}`, strong: `600 12px ${sans}` };
  base.font = ui.fonts.small;
  ui.charWidth = base.measureText("0".repeat(100)).width / 100;
}

function resize() {
  const ratio = window.devicePixelRatio || 1;
  const fitted = ui.width === 0 || ui.view.k <= fitScale(ui) * 1.001;
  ui.width = stage.clientWidth;
  ui.height = stage.clientHeight;
  if (ui.width === 0) return;
  for (const c of [base, over]) {
    c.canvas.width = Math.round(ui.width * ratio);
    c.canvas.height = Math.round(ui.height * ratio);
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
  }
  layOut();
  if (fitted) fit();
  ask();
}

function layOut() {
  layOutLanes(ui);
  const { lanes, charts } = ui.panes;
  const room = ui.height - AXIS - SPLIT - OVERVIEW;
  const wanted = Math.min(lanes.content, room - (ui.trace.partitions.length ? CHART_LEAST : 0));
  lanes.height = Math.round(Math.min(room - 60, Math.max(60, ui.share ? room * ui.share : wanted)));
  charts.top = AXIS + lanes.height + SPLIT;
  charts.height = Math.max(0, room - lanes.height);
  layOutCharts(ui);
  for (const pane of [lanes, charts]) pane.scroll = clamp(pane.scroll, 0, Math.max(0, pane.content - pane.height));
}

function clamp(value, low, high) {
  return Math.max(low, Math.min(high, value));
}

function fitScale(ui) {
  return Math.max(1, ui.width - GUTTER - 24) / Math.max(ui.axis.end, 1e-9);
}

function setView(u0, k) {
  const finest = Math.max(ui.axis.finest, fitScale(ui));
  ui.view.k = clamp(k, fitScale(ui), finest);
  const room = (ui.width - GUTTER) / ui.view.k;
  ui.view.u0 = clamp(u0, -8 / ui.view.k, Math.max(-8 / ui.view.k, ui.axis.end - room + 40 / ui.view.k));
  ask();
}

function fit() {
  setView(0, fitScale(ui));
}

function zoomAt(x, factor) {
  const u = ui.view.u0 + (x - GUTTER) / ui.view.k;
  const k = clamp(ui.view.k * factor, fitScale(ui), Math.max(ui.axis.finest, fitScale(ui)));
  setView(u - (x - GUTTER) / k, k);
}

let asked = false;
function ask() {
  ui.dirty = true;
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    if (ui.width === 0 || ui.text) return;
    if (ui.dirty) drawAll(base, ui);
    ui.dirty = false;
    drawOver(over, ui);
  });
}

function askOver() {
  const dirty = ui.dirty;
  ask();
  ui.dirty = dirty;
}

// --- what moves it

function hitAt(x, y) {
  if (y < AXIS || y > ui.height - OVERVIEW) return -1;
  return y < ui.panes.charts.top ? laneHit(ui, x, y) : chartHit(ui, x, y);
}

function select(i, how = "stay") {
  ui.selected = i;
  if (i >= 0 && how === "jump") jump(i);
  showEvent(ui, byId("event"), (other) => select(other, "jump"));
  const at = slice.order.indexOf(i);
  if (at >= 0) sliceRows.show(at);
  else sliceRows.draw();
  if (ui.text) how === "jump" ? textRows.showEvent(i) : textRows.draw();
  ask();
}

const NEAR_EVENTS = 40;

function jump(i) {
  if (ui.text || ui.width === 0) return;
  const lane = laneOf(ui, events[i]);
  const pane = ui.panes.lanes;
  if (isShown(ui, i) && (lane.y < pane.scroll || lane.y + lane.height > pane.scroll + pane.height)) {
    pane.scroll = clamp(lane.y - pane.height / 2, 0, Math.max(0, pane.content - pane.height));
  }
  let { u0, k } = ui.view;
  const room = ui.width - GUTTER;
  if (ui.last - ui.first > 6 * NEAR_EVENTS) {
    const [from, to] = [Math.max(0, i - NEAR_EVENTS), Math.min(events.length - 1, i + NEAR_EVENTS / 4)];
    k = room / Math.max(ui.axis.U[to] - ui.axis.U[from], room / ui.axis.finest);
  }
  const x = (ui.axis.U[i] - u0) * k;
  if (k !== ui.view.k || x < room * 0.08 || x > room * 0.92) u0 = ui.axis.U[i] - (room * 0.7) / k;
  glide(u0, k);
}

let gliding = 0;
function glide(u0, k) {
  cancelAnimationFrame(gliding);
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return setView(u0, k);
  const from = { ...ui.view };
  const began = performance.now();
  const centre = (view) => view.u0 + (ui.width - GUTTER) / 2 / view.k;
  const [c0, c1] = [centre(from), centre({ u0, k })];
  const step = (now) => {
    const done = clamp((now - began) / 180, 0, 1);
    const eased = 1 - (1 - done) ** 3;
    const scale = from.k * (k / from.k) ** eased;
    const middle = k === from.k ? c0 + (c1 - c0) * eased : c1 + (c0 - c1) * ((from.k / scale) * (1 - eased));
    setView(done === 1 ? u0 : middle - (ui.width - GUTTER) / 2 / scale, done === 1 ? k : scale);
    if (done < 1) gliding = requestAnimationFrame(step);
  };
  gliding = requestAnimationFrame(step);
}

function walk(by) {
  if (slice.order.length === 0) return;
  const at = slice.order.indexOf(ui.selected);
  const beside = by < 0 ? firstFrom(slice.order, ui.selected) - 1 : firstFrom(slice.order, ui.selected + 1);
  const next = at >= 0 ? at + by : beside;
  select(slice.order[clamp(next, 0, slice.order.length - 1)], "jump");
}

function setAxis(kind) {
  const centre = ui.axis.tOf(ui.view.u0 + (ui.width - GUTTER) / 2 / ui.view.k);
  const [from, to] = [ui.axis.tOf(ui.view.u0), ui.axis.tOf(ui.view.u0 + (ui.width - GUTTER) / ui.view.k)];
  const whole = ui.view.k <= fitScale(ui) * 1.001;
  ui.axis = axisOf(events, kind);
  const span = Math.max(ui.axis.uOf(to) - ui.axis.uOf(from), 1);
  const k = whole ? fitScale(ui) : (ui.width - GUTTER) / span;
  setView(whole ? 0 : ui.axis.uOf(centre) - (ui.width - GUTTER) / 2 / k, k);
  press("axis-compressed", kind === "compressed");
  press("axis-linear", kind === "linear");
}

function press(id, on) {
  byId(id).setAttribute("aria-pressed", String(on));
}

function showText(on) {
  ui.text = on;
  stage.hidden = on;
  byId("text").hidden = !on;
  press("show-text", on);
  press("show-timeline", !on);
  if (!on) return resize();
  textRows.refresh();
  textRows.showEvent(ui.selected >= 0 ? ui.selected : Math.max(0, ui.first));
}

function search(words) {
  const wanted = words.trim().toLowerCase();
  const said = (event) => `${event.key ?? ""} ${event.lane} ${event.what} ${event.text}`.toLowerCase();
  const holds = (event) => said(event).includes(wanted);
  ui.matches = wanted ? events.filter(holds).map((event) => event.i) : [];
  ui.matched = new Set(ui.matches);
  told(-1);
  if (ui.text) textRows.draw();
  ask();
}

function told(at) {
  const none = byId("search").value.trim() === "";
  byId("found").textContent = none ? "" : at < 0 ? String(ui.matches.length) : `${at + 1} / ${ui.matches.length}`;
}

function nextMatch(by) {
  if (ui.matches.length === 0) return;
  const at = by > 0 ? firstFrom(ui.matches, ui.selected + 1) : firstFrom(ui.matches, ui.selected) - 1;
  const wrapped = (at + ui.matches.length) % ui.matches.length;
  select(ui.matches[wrapped], "jump");
  told(wrapped);
}

// --- keys and buttons

const KEYS = {
  ArrowLeft: () => walk(-1), ArrowRight: () => walk(1), v: toViolation, f: fit, t: () => showText(!ui.text),
  "+": () => zoomAt(middle(), 1.6), "=": () => zoomAt(middle(), 1.6), "-": () => zoomAt(middle(), 1 / 1.6),
  "/": () => byId("search").focus(), Escape: () => select(-1),
};

function middle() {
  const x = ui.selected >= 0 ? xOfEvent(ui, ui.selected) : -1;
  return x > GUTTER && x < ui.width ? x : (GUTTER + ui.width) / 2;
}

function toViolation() {
  if (violation) select(violation.i, "jump");
}

document.addEventListener("keydown", (key) => {
  if (key.target === byId("search")) {
    if (key.key === "Enter") nextMatch(key.shiftKey ? -1 : 1);
    if (key.key === "Escape") {
      key.preventDefault();
      key.target.value = "";
      search("");
      key.target.blur();
    }
    return;
  }
  if (key.ctrlKey || key.metaKey || key.altKey || key.target.tagName === "INPUT") return;
  if (key.key === "Escape") document.querySelectorAll(".menu[open]").forEach((menu) => (menu.open = false));
  const action = KEYS[key.key];
  if (!action) return;
  key.preventDefault();
  action();
});

document.addEventListener("pointerdown", (press) => {
  document.querySelectorAll(".menu[open]").forEach((menu) => (menu.open = menu.contains(press.target)));
});

const CLICKS = {
  "show-timeline": () => showText(false), "show-text": () => showText(true),
  "axis-compressed": () => setAxis("compressed"), "axis-linear": () => setAxis("linear"),
  "zoom-in": KEYS["+"], "zoom-out": KEYS["-"], fit, "to-violation": toViolation,
  previous: () => walk(-1), next: () => walk(1), copy: copyCommand,
};
for (const [id, action] of Object.entries(CLICKS)) byId(id).addEventListener("click", action);

function copyCommand() {
  const chosen = getSelection();
  chosen.selectAllChildren(byId("command"));
  const text = byId("command").textContent;
  const done = navigator.clipboard?.writeText(text) ?? Promise.reject(new Error("no clipboard"));
  done.then(() => (byId("copy").textContent = "Copied"), () => (byId("copy").textContent = "Ctrl+C"));
}

byId("search").addEventListener("input", (input) => search(input.target.value));

// --- begin

ui.heals = events.filter((event) => event.what === "heal");
const sliceRows = sliceList(ui, byId("slice"), (i) => select(i, "jump"));
const textRows = textView(ui, byId("columns"), byId("rows"), (i) => select(i));
showHead(ui, plan, document.title);
laneMenu(ui, byId("lane-list"), () => {
  layOut();
  if (ui.text) textRows.refresh();
  ask();
});
legend(byId("legend"));
byId("slice-title").textContent = violation ? `Leads to the violation (${slice.order.length})` : "No violation";
byId("to-violation").hidden = !violation;
readColours();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (readColours(), ask()));
const sized = new ResizeObserver(() => {
  resize();
  sliceRows.draw();
  if (ui.text) textRows.draw();
});
sized.observe(document.querySelector("main"));
resize();
select(violation ? violation.i : -1);
