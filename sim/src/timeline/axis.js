// Where a moment lies on the time axis. `U` holds one position per event, ascending; in between, positions
// and times are interpolated.

const IDLE_US = 100_000;
const LONG_US = 1_000_000;
const LONG_GAPS = 12;
const LONG_SHARE = 0.014;

function axisOf(events, kind) {
  const T = Float64Array.from(events, (event) => event.t);
  const axis = kind === "linear" ? linear(T) : compressed(T);
  axis.kind = kind;
  axis.T = T;
  axis.end = T.length ? axis.U[T.length - 1] : 1;
  axis.uOf = (t) => between(T, axis.U, t);
  axis.tOf = (u) => between(axis.U, T, u);
  return axis;
}

function linear(T) {
  return { U: T.map((t) => t - (T[0] ?? 0)), gaps: [], finest: 40 };
}

// Simultaneous events stand side by side, in order; silence grows with the logarithm of its length, and
// the longest silences get a share of the whole so that they are seen from afar.
function compressed(T) {
  const steps = Float64Array.from(T, (t, i) => {
    const gap = i ? t - T[i - 1] : 0;
    return i === 0 ? 0 : gap === 0 ? 1 : 1 + 0.5 * Math.log10(1 + gap);
  });
  const idle = [];
  for (let i = 1; i < T.length; i++) {
    if (T[i] - T[i - 1] >= IDLE_US) idle.push(i);
  }
  const total = steps.reduce((sum, step) => sum + step, 0);
  const longest = idle.filter((i) => T[i] - T[i - 1] >= LONG_US);
  longest.sort((a, b) => T[b] - T[b - 1] - (T[a] - T[a - 1]));
  for (const i of longest.slice(0, LONG_GAPS)) steps[i] += total * LONG_SHARE;
  const U = new Float64Array(T.length);
  for (let i = 1; i < T.length; i++) U[i] = U[i - 1] + steps[i];
  const gaps = idle.map((i) => ({ u0: U[i - 1], u1: U[i], us: T[i] - T[i - 1], after: i - 1 }));
  return { U, gaps, finest: 160 };
}

function between(from, to, at) {
  const last = from.length - 1;
  if (last < 0) return 0;
  const i = countUpTo(from, at) - 1;
  if (i < 0) return to[0];
  if (i >= last) return to[last];
  const span = from[i + 1] - from[i];
  return span === 0 ? to[i] : to[i] + ((at - from[i]) / span) * (to[i + 1] - to[i]);
}

// How many of the ascending values are <= at.
function countUpTo(values, at) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}

// As many decimals as `resolution` (microseconds) needs.
function seconds(us, resolution = 1) {
  const decimals = resolution >= 1_000_000 ? 0 : resolution >= 100_000 ? 1 : resolution >= 1_000 ? 3 : 6;
  const [whole, part] = (us / 1_000_000).toFixed(decimals).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, "\u2009");
  return part ? `${grouped}.${part.replace(/(\d{3})(?=\d)/g, "$1\u2009")}` : grouped;
}

function duration(us) {
  if (us < 1_000) return `${us} µs`;
  if (us < 1_000_000) return `${Number((us / 1_000).toPrecision(3))} ms`;
  if (us < 120_000_000) return `${Number((us / 1_000_000).toPrecision(3))} s`;
  const whole = Math.round(us / 1_000_000);
  const [minutes, rest] = [Math.floor(whole / 60), whole % 60];
  if (minutes < 120) return `${minutes} min ${rest} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
