// What the trace says: events, lanes, intervals, series, and the slice that leads to the violation.

const LANE_ORDER = { world: 0, client: 1, node: 2, disk: 2, log: 3, broker: 4 };
const LIFECYCLE = new Set(["start", "crash", "wipe"]);
// Drawn across all lanes; a lane that holds nothing else is not drawn.
const ACROSS = new Set(["heal", "violation", "lifted"]);
const OPERATION_ROWS = 2;
const BAR_ROWS = 3;
const SLICE_PER_KEY = { client: 14, log: 6, node: 8 };
const SLICE_PER_COPY = 4;
const SLICE_CHAIN = 12;
const SLICE_FAULTS_OVER = 3;

function readTrace(text) {
  const trace = { events: [], unreadable: 0, byN: new Map(), requests: new Map() };
  let now = 0;
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    let event;
    try {
      event = JSON.parse(line);
    } catch {
      trace.unreadable += 1;
      continue;
    }
    now = Math.max(now, event.at_us);
    event.i = trace.events.length;
    event.t = now;
    event.text ??= "";
    event.from = trace.byN.get(event.cause) ?? -1;
    event.effects = [];
    const cause = trace.events[event.from];
    cause?.effects.push(event.i);
    if (cause?.what === "operation" && requestOf(event)) trace.requests.set(requestOf(event), cause);
    trace.byN.set(event.n, event.i);
    trace.events.push(event);
  }
  trace.violation = trace.events.findLast((event) => event.what === "violation") ?? null;
  trace.lanes = lanesOf(trace.events);
  trace.laneByName = new Map(trace.lanes.map((lane) => [lane.name, lane]));
  for (const event of trace.events) {
    const lane = trace.laneByName.get(event.lane);
    event.laneIndex = lane.index;
    event.place = lane.events.length;
    lane.events.push(event.i);
  }
  trace.faults = faultsOf(trace);
  for (const lane of trace.lanes) {
    lane.phases = lane.kind === "node" ? phasesOf(trace, lane) : [];
    lane.bars = packed([...trace.faults.filter((bar) => bar.lane === lane), ...stallsOf(trace, lane)]);
    lane.lines = lane.kind === "world" && lane.events.every((i) => ACROSS.has(trace.events[i].what));
    lane.operations = lane.kind === "client" ? operationsOf(trace, lane) : [];
  }
  trace.slice = sliceOf(trace);
  trace.partitions = partitionsOf(trace);
  return trace;
}

function lanesOf(events) {
  const names = new Set(events.map((event) => event.lane));
  for (const event of events) {
    if (event.what === "log" && Number.isInteger(event.leader)) names.add(`broker ${event.leader}`);
  }
  const lanes = [...names].map((name) => {
    const [kind, number] = name.split(" ");
    return { name, kind, number: Number(number ?? 0), events: [] };
  });
  const order = (lane) => LANE_ORDER[lane.kind] ?? 5;
  lanes.sort(
    (a, b) => order(a) - order(b) || a.number - b.number || b.kind.localeCompare(a.kind),
  );
  lanes.forEach((lane, index) => (lane.index = index));
  return lanes;
}

// An interval knows the events it begins and ends with; `until` stands in where no event ends it.
function faultsOf(trace) {
  const bars = [];
  for (const event of trace.events) {
    if (event.what !== "fault") continue;
    const lifted = event.effects.find((i) => trace.events[i].what === "lifted") ?? -1;
    const lane = trace.laneByName.get(event.lane);
    const moment = lifted < 0 && event.until_us === undefined;
    const words = plainWords(event.text, event.fault).replace(`, ${event.lane.replace("disk", "node")}`, "");
    const label = [event.fault, words].filter(Boolean).join(" ");
    const ends = { end: lifted, until: event.until_us, moment };
    const bar = { kind: "fault", id: event.fault, lane, begin: event.i, ...ends, label };
    event.bar = bar;
    if (lifted >= 0) trace.events[lifted].bar = bar;
    bars.push(bar);
  }
  return bars;
}

// An event's text without the wrappings of Rust's debug output: `Fetch { partition: Partition(0) }` reads
// "Fetch(p0)".
function labelOf(event) {
  event.label ??= (event.text || event.what)
    .replace(/\bPartition\((\d+)\)/g, "p$1")
    .replace(/\bGeneration\((\d+)\)/g, "g$1")
    .replace(/\bRequestId\((\d+)\)/g, "#$1")
    .replace(/\bTopicId\(([0-9a-f]{4})[0-9a-f]*\)/g, "$1…")
    .replace(/\b[A-Z]\w*\((\d+)\)/g, "$1")
    .replace(/\b(?:key|value): \[([\d, ]+)\]/g, (_, bytes) => String.fromCharCode(...bytes.split(", ")))
    .replace(/\b(?:partition|generation|key|value|id|at): /g, "")
    .replace(/\bb"([^"]*)"/g, "$1")
    .replace(/\bSome\(([^()]*)\)/g, "$1")
    .replace(/ \{ /g, "(")
    .replace(/ \}/g, ")");
  return event.label;
}

// `StopBroker { broker: 1, clean: false }` reads "stop broker, broker 1, clean false".
function plainWords(text, id) {
  const rest = id && text.startsWith(id) ? text.slice(id.length).replace(/^[\s:]+/, "") : text;
  const debug = rest.match(/^([A-Z]\w*)(?: \{ (.*) \})?$/);
  if (!debug) return rest;
  const name = debug[1].replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  return debug[2] ? `${name}, ${debug[2].replaceAll(":", "")}` : name;
}

function stallsOf(trace, lane) {
  const bars = [];
  const open = new Map();
  for (const i of lane.events) {
    const event = trace.events[i];
    if (event.what === "crash") open.forEach((bar) => (bar.end = i)), open.clear();
    if (event.what !== "stall") continue;
    const stall = event.stall ?? event;
    if (stall.on && !open.has(stall.kind)) {
      const label = `stall: ${String(stall.kind).replaceAll("_", " ")}`;
      const bar = { kind: "stall", id: stall.kind, lane, begin: i, end: -1, until: undefined, moment: false, label };
      event.bar = bar;
      open.set(stall.kind, bar);
      bars.push(bar);
    } else if (!stall.on && open.has(stall.kind)) {
      event.bar = open.get(stall.kind);
      event.bar.end = i;
      open.delete(stall.kind);
    }
  }
  return bars;
}

// Intervals that overlap get rows of their own, as long as there are rows.
function packed(bars) {
  bars.sort((a, b) => a.begin - b.begin);
  const rowEnds = [];
  for (const bar of bars) {
    const free = rowEnds.findIndex((end) => end <= bar.begin);
    bar.row = free >= 0 ? free : Math.min(rowEnds.length, BAR_ROWS - 1);
    rowEnds[bar.row] = bar.end >= 0 ? bar.end : bar.moment ? bar.begin : Infinity;
  }
  bars.rows = rowEnds.length;
  return bars;
}

function phasesOf(trace, lane) {
  const phases = [];
  let mark = -1;
  const turn = (i, phase) => {
    const last = phases.at(-1);
    if (last?.phase === phase) return;
    if (last) last.end = i;
    phases.push({ phase, begin: i, end: -1, mark });
  };
  for (const i of lane.events) {
    const event = trace.events[i];
    if (LIFECYCLE.has(event.what)) mark = i;
    if (event.what === "start") turn(i, "OPENING");
    if (event.what === "crash") turn(i, "DOWN");
    if (event.what === "phase") turn(i, phaseName(event.phase ?? event.text));
  }
  return phases;
}

function phaseName(text) {
  const word = String(text).match(/[A-Za-z_]+/)?.[0] ?? "";
  return word.replace(/([a-z])([A-Z])/g, "$1_$2").toUpperCase();
}

function operationsOf(trace, lane) {
  const operations = [];
  const rowEnds = [];
  const lastIn = [];
  const byOp = new Map();
  for (const i of lane.events) {
    const event = trace.events[i];
    if (event.what === "operation") {
      event.operation = { begin: i, end: -1, row: 0, next: -1, outcome: "none" };
      if (event.op !== undefined) byOp.set(event.op, event.operation);
      operations.push(event.operation);
    } else if (event.what === "answer") {
      const operation = byOp.get(event.op) ?? operationBefore(trace, event);
      if (!operation) continue;
      event.operation = operation;
      operation.end = i;
      operation.outcome = outcomeOf(event);
    }
  }
  for (const operation of operations) {
    const free = rowEnds.findIndex((end) => end < operation.begin);
    operation.row = free < 0 && rowEnds.length < OPERATION_ROWS ? rowEnds.length : Math.max(free, 0);
    rowEnds[operation.row] = Math.max(operation.begin, operation.end);
    if (lastIn[operation.row]) lastIn[operation.row].next = operation.begin;
    lastIn[operation.row] = operation;
  }
  operations.rows = Math.max(1, rowEnds.length);
  return operations;
}

// The operation of the same client that the answer goes back to: an ancestor, or that of the request which an
// ancestor names.
function operationBefore(trace, answer) {
  for (let i = answer.from; i >= 0; i = trace.events[i].from) {
    const event = trace.events[i];
    const asked = event.what === "operation" ? event : trace.requests.get(requestOf(event));
    if (asked?.lane === answer.lane) return asked.operation;
  }
  return undefined;
}

function requestOf(event) {
  return event.text.match(/^RequestId\(\d+\)/)?.[0];
}

function outcomeOf(answer) {
  const said = (answer.outcome ?? answer.text).toLowerCase();
  if (/unknown|may have happened|no answer/.test(said)) return "unknown";
  if (/did ?not ?happen|not happen|not persisted/.test(said)) return "did not happen";
  if (/reject|refus|not ready|not accepted|overloaded|draining|deadline/.test(said)) return "rejected";
  return "acknowledged";
}

function partitionsOf(trace) {
  const partitions = new Map();
  const of = (number) => {
    if (!partitions.has(number)) partitions.set(number, { number, log: [], copies: new Map(), epochs: [] });
    return partitions.get(number);
  };
  const copyOf = (partition, lane) => {
    if (!partition.copies.has(lane)) partition.copies.set(lane, []);
    return partition.copies.get(lane);
  };
  for (const event of trace.events) {
    if (event.what === "log") {
      const partition = of(event.partition ?? 0);
      const last = partition.log.at(-1);
      if (!last || last.epoch !== event.epoch || last.leader !== event.leader) partition.epochs.push(event);
      partition.log.push(event);
    } else if (event.what === "copy") {
      copyOf(of(event.partition ?? 0), event.lane).push(event);
    } else if (event.what === "crash" || event.what === "wipe") {
      for (const partition of partitions.values()) partition.copies.get(event.lane)?.push({ i: event.i });
    }
  }
  const first = trace.slice.partition;
  for (const partition of partitions.values()) {
    const byNode = [...partition.copies].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }));
    partition.copies = new Map(byNode);
  }
  const sorted = [...partitions.values()].sort((a, b) => a.number - b.number);
  return sorted.sort((a, b) => (b.number === first) - (a.number === first));
}

// All causes of the violation, and what touched its keys, its copy and its log just before. Where the trace
// tells no cause, what touched the keys leads.
function sliceOf(trace) {
  const { events, violation } = trace;
  const slice = { reasons: new Map(), strong: new Set(), order: [], edges: [], partition: undefined };
  if (!violation) return slice;
  const add = (i, reason, strong) => {
    if (!slice.reasons.has(i)) slice.reasons.set(i, reason);
    if (strong) slice.strong.add(i);
  };
  const told = violation.from >= 0;
  add(violation.i, "violation", true);
  for (let i = violation.from; i >= 0; i = events[i].from) add(i, "cause", true);
  for (const key of keysOf(violation)) {
    const touched = touching(trace, key);
    for (const i of touched) add(i, key, !told);
    for (const i of ancestors(trace, touched.find((i) => isCopy(trace, i)) ?? -1)) add(i, key, !told);
  }
  slice.partition = violation.partition ?? partitionOf(trace, slice);
  if (!told) for (const i of ancestors(trace, lastOf(trace, violation))) add(i, "last", false);
  for (const [i, reason] of copyBefore(trace, violation, slice.partition)) add(i, reason, false);
  for (const i of faultsBefore(trace, violation)) add(i, "fault", false);
  slice.order = [...slice.reasons.keys()].sort((a, b) => a - b);
  slice.edges = slice.order.filter((i) => slice.reasons.has(events[i].from));
  return slice;
}

// The empty key is in every text.
function keysOf(violation) {
  return (violation.keys ?? []).filter((key) => key !== "");
}

function isCopy(trace, i) {
  const { kind } = trace.lanes[trace.events[i].laneIndex];
  return kind === "node" || kind === "disk";
}

function ancestors(trace, i) {
  const chain = [];
  for (; i >= 0 && chain.length < SLICE_CHAIN; i = trace.events[i].from) chain.push(i);
  return chain;
}

// The partition that the violation's text or the keys' records name.
function partitionOf(trace, slice) {
  const said = labelOf(trace.violation).match(/\b(?:partition |p)(\d+)\b/);
  if (said) return Number(said[1]);
  for (const i of slice.strong) {
    const named = labelOf(trace.events[i]).match(/(?:^|[\s(@])p(\d+)(?=[\s,)@])/);
    if (named) return Number(named[1]);
  }
  return undefined;
}

// Without a cause told, what happened last at the node.
function lastOf(trace, violation) {
  const lane = trace.lanes[violation.laneIndex];
  return lane.kind === "node" && violation.place > 0 ? lane.events[violation.place - 1] : -1;
}

function touching(trace, key) {
  const found = [];
  const left = { ...SLICE_PER_KEY };
  const { violation, lanes } = trace;
  const word = new RegExp(`(?<![\\w])${key.replace(/[^\w]/g, "\\$&")}(?![\\w])`);
  const here = violation.lane.replace(/^\w+/, "");
  for (let i = violation.i - 1; i >= 0; i--) {
    const event = trace.events[i];
    const { kind } = lanes[event.laneIndex];
    const place = kind === "disk" ? "node" : kind;
    const elsewhere = place === "node" && violation.lane !== "world" && !event.lane.endsWith(here);
    if (!(left[place] > 0) || elsewhere) continue;
    if (event.key !== key && !(event.key === undefined && word.test(event.text))) continue;
    left[place] -= 1;
    found.push(i);
  }
  return found;
}

function copyBefore(trace, violation, partition) {
  const found = [];
  const counts = new Map();
  const take = (i, reason, kind) => {
    const count = counts.get(kind) ?? 0;
    if (count < SLICE_PER_COPY) found.push([i, reason]);
    counts.set(kind, count + 1);
  };
  const disk = violation.lane.replace("node", "disk");
  const here = (event) => partition === undefined || event.partition === partition;
  for (let i = violation.i - 1; i >= 0; i--) {
    const event = trace.events[i];
    if (event.what === "log" && here(event)) take(i, `log p${event.partition}`, "log");
    if (LIFECYCLE.has(event.what) && event.lane === disk) take(i, event.what, "lifecycle");
    if (event.lane !== violation.lane) continue;
    if (event.what === "copy" && here(event)) take(i, `copy p${event.partition}`, "copy");
    if (event.what === "phase" || event.what === "stall") take(i, "phase", "phase");
    if (LIFECYCLE.has(event.what)) take(i, event.what, "lifecycle");
  }
  return found;
}

function faultsBefore(trace, violation) {
  const begun = trace.faults.filter((bar) => bar.begin < violation.i);
  const lasting = begun.filter((bar) => bar.end < 0 && !bar.moment && !(bar.until < violation.t));
  const disk = violation.lane.replace("node", "disk");
  const near = begun.filter((bar) => [violation.lane, disk, "log"].includes(bar.lane.name));
  const taken = [...lasting, ...near.slice(-SLICE_FAULTS_OVER), ...begun.slice(-1)];
  return taken.map((bar) => bar.begin);
}
