// What stands beside the canvas: the slice's list, the text view, the event, head, lanes menu and legend.

const ORACLES = JSON.parse(document.getElementById("oracles").textContent);
const OVERSCAN = 6;
const HEADLINE_CHARS = 100;
const NOTHING = "Nothing selected. Click a mark or a row; ← and → walk the list below.";
const MINOR = new Set(["copy", "effect"]);

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// Only the rows in sight exist.
function virtualList(box, rowHeight, fill) {
  const ground = element("div");
  ground.style.position = "relative";
  box.append(ground);
  const list = { count: 0, items: (at) => at };
  list.draw = () => {
    ground.style.height = `${list.count * rowHeight}px`;
    const from = Math.max(0, Math.floor(box.scrollTop / rowHeight) - OVERSCAN);
    const to = Math.min(list.count, Math.ceil((box.scrollTop + box.clientHeight) / rowHeight) + OVERSCAN);
    const rows = [];
    for (let at = from; at < to; at++) {
      const row = fill(at);
      row.style.top = `${at * rowHeight}px`;
      row.dataset.at = at;
      rows.push(row);
    }
    ground.replaceChildren(...rows);
  };
  list.show = (at) => {
    ground.style.height = `${list.count * rowHeight}px`;
    const y = at * rowHeight;
    const outside = y < box.scrollTop || y + rowHeight > box.scrollTop + box.clientHeight;
    if (outside) box.scrollTop = y - box.clientHeight / 2;
    list.draw();
  };
  let asked = false;
  box.addEventListener("scroll", () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => ((asked = false), list.draw()));
  });
  return list;
}

function reasonClass(slice, i) {
  const reason = slice.reasons.get(i);
  if (reason === undefined || reason === "violation") return reason ?? "";
  return slice.strong.has(i) ? "cause" : "near";
}

function sliceList(ui, box, pick) {
  const { events, slice } = ui.trace;
  const list = virtualList(box, 42, (at) => {
    const event = events[slice.order[at]];
    const reason = slice.reasons.get(event.i);
    const row = element("div", `row ${reasonClass(slice, event.i)}${event.i === ui.selected ? " selected" : ""}`);
    const meta = element("div", "meta", `${seconds(event.t)}  ${event.lane}`);
    const before = ui.trace.violation.t - event.t;
    if (before > 0) meta.append(element("span", "before", `−${duration(before)}`));
    meta.append(element("span", "reason", reason));
    row.append(meta, element("div", "says", labelOf(event)));
    row.title = event.text;
    return row;
  });
  list.count = slice.order.length;
  box.addEventListener("click", (click) => {
    const row = click.target.closest(".row");
    if (row) pick(slice.order[Number(row.dataset.at)]);
  });
  return list;
}

// A column per node with its disk, one for all clients, one for log and brokers.
function columnOf(lane) {
  if (lane.kind === "client") return "clients";
  if (lane.kind === "disk") return `node ${lane.number}`;
  return lane.kind === "node" ? lane.name : lane.kind === "world" ? "world" : "log, brokers";
}

function textView(ui, head, box, pick) {
  const { events, lanes, slice } = ui.trace;
  let columns = [];
  let shown = [];
  const fill = (at) => {
    const event = events[shown[at]];
    const matched = ui.matched.has(event.i) ? " match" : "";
    const chosen = event.i === ui.selected ? " selected" : "";
    const row = element("div", `row ${reasonClass(slice, event.i)}${matched}${chosen}`);
    row.style.gridTemplateColumns = head.style.gridTemplateColumns;
    const minor = MINOR.has(event.what) && !slice.reasons.has(event.i) ? "minor" : "";
    const text = element("span", minor, said(event));
    const column = columns.indexOf(columnOf(lanes[event.laneIndex]));
    text.style.gridColumn = `${Math.max(column, 0) + 2} / -1`;
    const time = element("span", "time", timeAfter(events, shown, at));
    const idle = at > 0 ? event.t - events[shown[at - 1]].t : 0;
    if (idle >= IDLE_US) time.append(element("i", "", `+${duration(idle)}`)), row.classList.add("idle");
    row.append(time, text);
    row.title = `${event.lane}: ${event.text}`;
    return row;
  };
  const list = virtualList(box, 20, fill);
  list.refresh = () => {
    const visible = lanes.filter((lane) => !ui.hidden.has(lane.name));
    columns = [...new Set(visible.map(columnOf))].filter((name) => name !== "world");
    head.style.gridTemplateColumns = `176px repeat(${columns.length - 1}, minmax(0, 1fr)) minmax(260px, 1.8fr)`;
    head.replaceChildren(element("span", "", "time, s"), ...columns.map((name) => element("span", "", name)));
    shown = events.filter((event) => !ui.hidden.has(event.lane)).map((event) => event.i);
    list.count = shown.length;
    list.draw();
  };
  list.showEvent = (i) => list.show(Math.max(0, Math.min(firstFrom(shown, i), shown.length - 1)));
  box.addEventListener("click", (click) => {
    const row = click.target.closest(".row");
    if (row) pick(shown[Number(row.dataset.at)]);
  });
  return list;
}

function said(event) {
  const [kind, number] = event.lane.split(" ");
  if (kind === "client") return `${number}: ${labelOf(event)}`;
  return kind === "disk" || kind === "broker" ? `${event.lane}: ${labelOf(event)}` : labelOf(event);
}

function timeAfter(events, shown, at) {
  const same = at > 0 && events[shown[at - 1]].t === events[shown[at]].t;
  return same ? "" : seconds(events[shown[at]].t);
}

// Shown by themselves, or this page's own.
const COMMON_FIELDS = new Set([
  "n", "at_us", "cause", "lane", "what", "text",
  "bar", "label", "i", "t", "from", "effects", "place", "laneIndex", "operation",
]);

function showEvent(ui, box, pick) {
  const event = ui.trace.events[ui.selected];
  if (!event) {
    box.replaceChildren(element("p", "when", NOTHING));
    return;
  }
  const when = element("p", "when", `${seconds(event.t)} s  ${event.lane}  ${event.what}  #${event.n}`);
  const what = element("p", `what${event.what === "violation" ? " is-violation" : ""}`, labelOf(event));
  const fields = element("dl");
  const add = (name, value) => {
    const line = element("div");
    const dd = element("dd");
    dd.append(value);
    line.append(element("dt", "", name), dd);
    fields.append(line);
  };
  for (const [name, value] of Object.entries(event)) {
    if (!COMMON_FIELDS.has(name)) add(name, typeof value === "object" ? JSON.stringify(value) : String(value));
  }
  if (event.text !== "" && event.text !== labelOf(event)) add("text", event.text);
  if (event.operation) add("outcome", event.operation.outcome);
  const link = (i) => {
    const button = element("button", "link", cut(`${ui.trace.events[i].lane}: ${labelOf(ui.trace.events[i])}`, 160));
    button.addEventListener("click", () => pick(i));
    return button;
  };
  if (event.from >= 0) add("because", link(event.from));
  event.effects.slice(0, 6).forEach((i, at) => add(at ? "" : "led to", link(i)));
  if (event.effects.length > 6) add("", `and ${event.effects.length - 6} more`);
  box.replaceChildren(when, what, fields);
}

function showHead(ui, plan, title) {
  const { events, violation, faults, lanes, unreadable } = ui.trace;
  const byId = (id) => document.getElementById(id);
  document.body.classList.toggle("passed", !violation);
  byId("oracle").textContent = violation ? violation.oracle ?? "violation" : "ok";
  const [says, more] = violation ? headline(labelOf(violation)) : ["No violation in this trace.", ""];
  byId("says").textContent = says;
  byId("more").textContent = more;
  const about = [violation?.class, ORACLES[violation?.oracle]].filter(Boolean).join(": ");
  const keys = (violation?.keys ?? []).map((key) => key || "(empty)");
  const touched = keys.length ? `${keys.length === 1 ? "key" : "keys"} ${keys.join(", ")}` : "";
  byId("about").textContent = [about, touched].filter(Boolean).join("  ·  ");
  const of = (kind) => lanes.filter((lane) => lane.kind === kind).length;
  const operations = lanes.reduce((sum, lane) => sum + lane.operations.length, 0);
  const count = (number, name) => `${number} ${name}${number === 1 ? "" : "s"}`;
  // A run that fails ends before the rest of its plan; operations of a batch or a tool are one in both.
  const played = (number, all, name) => (all ? `${number} of ${count(all.length, name)}` : count(number, name));
  const lasted = duration(events.at(-1)?.t ?? 0);
  const world = [count(of("node"), "node"), count(of("broker"), "broker")];
  world.push(count(ui.trace.partitions.length, "partition"));
  const facts = [
    ["seed", plan?.seed ?? "not in the plan"],
    violation ? ["fails at", `${seconds(violation.t, 1_000)} s, ${violation.lane}`] : ["simulated", lasted],
    ["", world.join(", ")],
    ["", [played(operations, plan?.operations, "operation"), played(faults.length, plan?.faults, "fault")].join(", ")],
    ["", count(events.length, "event")],
  ];
  if (unreadable) facts.push(["unreadable lines", unreadable]);
  byId("facts").replaceChildren(...facts.map(([name, value]) => {
    const line = element("div");
    line.append(...(name ? [element("dt", "", name)] : []), element("dd", "", String(value)));
    return line;
  }));
  byId("command").textContent = byId("command").title = `./x sim replay ${quoted(planPath(title))}`;
  if (violation) document.title = `${violation.oracle} · ${title}`;
  byId("plan-text").textContent = plan ? JSON.stringify(plan, null, 2) : byId("plan").textContent;
}

// A long text's first clause says what is wrong; the rest is its evidence.
function headline(text) {
  const end = text.search(/[;:] /);
  return text.length <= HEADLINE_CHARS || end < 0 ? [text, ""] : [text.slice(0, end), text.slice(end + 2)];
}

// The title, where it is a path; else the plan beside this page.
function planPath(title) {
  if (title.endsWith(".json")) return title;
  const folder = location.protocol === "file:" ? decodeURI(location.pathname).replace(/[^/]*$/, "") : "";
  return `${folder.slice(Math.max(0, folder.lastIndexOf("failures/")))}plan.json`;
}

function quoted(path) {
  return /^[\w./=+-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

function laneMenu(ui, box, changed) {
  const actions = element("div", "actions");
  const set = (hide) => {
    ui.trace.lanes.forEach((lane) => (hide(lane) ? ui.hidden.add(lane.name) : ui.hidden.delete(lane.name)));
    box.querySelectorAll("input").forEach((input) => (input.checked = !ui.hidden.has(input.value)));
    changed();
  };
  const inSlice = new Set(ui.trace.slice.order.map((i) => ui.trace.events[i].lane));
  const choices = [["All", () => false], ["In the slice", (lane) => !inSlice.has(lane.name)], ["None", () => true]];
  for (const [name, hide] of choices) {
    const button = element("button", "", name);
    button.addEventListener("click", () => set(hide));
    actions.append(button);
  }
  box.append(actions);
  for (const lane of ui.trace.lanes) {
    const label = element("label");
    const input = element("input");
    Object.assign(input, { type: "checkbox", checked: true, value: lane.name });
    input.addEventListener("change", () => {
      if (input.checked) ui.hidden.delete(lane.name);
      else ui.hidden.add(lane.name);
      changed();
    });
    label.append(input, element("span", "", lane.name));
    box.append(label);
  }
}

function legend(box) {
  const glyph = (inside) => `<svg width="24" height="12">${inside}</svg>`;
  const swatch = (fill, inside = "") => glyph(`<rect width="24" height="12" fill="var(--${fill})"/>${inside}`);
  const line = (path, look) => glyph(`<path d="${path}" fill="none" ${look}/>`);
  const stroke = (colour, width, dash = "", opacity = 1) => {
    const look = `stroke-width="${width}" stroke-dasharray="${dash}" opacity="${opacity}"`;
    return line("M0 6h24", `stroke="var(--${colour})" ${look}`);
  };
  const sections = [
    ["Node", [[swatch("opening"), "opening"], [swatch("restoring"), "restoring"], [swatch("catching"), "catching up"],
      [swatch("ready"), "ready"], [swatch("refused"), "refused"], [stroke("faint", 1, "2 4"), "down"],
      [line("M0 12L12 0M6 12L18 0M12 12L24 0", 'stroke="var(--fault)"'), "paused"],
      [glyph('<path d="M8 1l8 5-8 5z" fill="var(--ink)"/>'), "start"],
      [glyph('<path d="M8 2l8 8m0-8l-8 8" stroke="var(--ink)" stroke-width="2"/>'), "crash"],
      [glyph('<path d="M8 2h8v8h-8zm0 8l8-8" fill="none" stroke="var(--ink)" stroke-width="2"/>'), "wipe"]]],
    ["Operation", [[glyph('<circle cx="12" cy="6" r="3.5" fill="var(--accent)"/>'), "acknowledged, answered"],
      [glyph('<path d="M12 2l4 4-4 4-4-4z" fill="none" stroke="var(--unknown-ink)" stroke-width="1.5"/>'), "unknown"],
      [glyph('<path d="M9 3l6 6m0-6l-6 6" stroke="var(--tick)" stroke-width="1.5"/>'), "did not happen"],
      [glyph('<rect x="9" y="3" width="6" height="6" fill="none" stroke="var(--tick)" stroke-width="1.5"/>'), "rejected"],
      [glyph('<circle cx="12" cy="6" r="3" fill="none" stroke="var(--tick)" stroke-width="1.5"/>'), "no answer"]]],
    ["World", [[swatch("fault-soft", '<rect width="3" height="12" fill="var(--fault)"/>'), "fault"],
      [line("M.5 .5h23v11h-23z", 'stroke="var(--stall)" stroke-dasharray="3 2"'), "stall"],
      [stroke("faint", 3), "broker leads a partition"], [swatch("gap"), "silence, squeezed"],
      [stroke("red", 3), "leads to the violation"],
      [stroke("red", 3, "", 0.3), "happened just before"]]],
    ["Offsets", [[stroke("faint", 1), "log end, log start"], [stroke("muted", 2), "high watermark"],
      [stroke("ink", 1.5, "2 3"), "last stable"], [stroke("n0", 2), "node: applied / …"],
      [stroke("n0", 1, "4 3"), "node: … / durable"],
      [stroke("n0", 1, "1 3"), "node: restore target"]]],
    ["Keys and mouse", [["<kbd>←</kbd><kbd>→</kbd>", "previous, next cause"], ["<kbd>v</kbd>", "violation"],
      ["<kbd>+</kbd><kbd>−</kbd>", "zoom; or the wheel"], ["<kbd>f</kbd>", "whole run"],
      ["<kbd>/</kbd>", "search, Enter: next"],
      ["<kbd>t</kbd>", "text or timeline"], ["<kbd>Esc</kbd>", "select nothing"], ["drag", "pan; shift: select a span"]]],
  ];
  box.innerHTML = sections.map(([name, lines]) =>
    `<h3>${name}</h3><ul>${lines.map(([sign, text]) => `<li>${sign}<span>${text}</span></li>`).join("")}</ul>`).join("");
}
