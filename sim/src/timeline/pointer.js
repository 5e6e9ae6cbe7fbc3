// The pointer on the canvas: pan, zoom, choose a span, move the splitter, and what is under it.

let drag = null;
stage.addEventListener("pointerdown", (press) => {
  const { offsetX: x, offsetY: y } = press;
  if (press.button !== 0) return;
  stage.setPointerCapture(press.pointerId);
  cancelAnimationFrame(gliding);
  const splitter = y > ui.panes.charts.top - SPLIT - 2 && y < ui.panes.charts.top + 2;
  const kind = y > ui.height - OVERVIEW ? "overview" : splitter ? "split" : press.shiftKey ? "span" : "pan";
  const pane = paneAt(y);
  drag = { kind, x, y, pane, scroll: pane.scroll, from: { ...ui.view }, moved: false };
  if (kind === "overview") overviewTo(x);
});

stage.addEventListener("pointermove", (move) => {
  const { x, y } = at(move);
  if (drag) return dragTo(x, y);
  const hit = hitAt(x, y);
  const splitter = Math.abs(y - ui.panes.charts.top + SPLIT / 2) < 6;
  stage.style.cursor = splitter ? "row-resize" : hit >= 0 ? "pointer" : "default";
  const i = countUpTo(ui.axis.U, ui.view.u0 + (x - GUTTER) / ui.view.k) - 1;
  ui.pointer = y < ui.height - OVERVIEW ? { x, y, hit, i } : null;
  tip(hit, x, y);
  askOver();
});

function paneAt(y) {
  return y < ui.panes.charts.top ? ui.panes.lanes : ui.panes.charts;
}

function at(event) {
  const box = stage.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

function dragTo(x, y) {
  if (Math.abs(x - drag.x) + Math.abs(y - drag.y) > 4) drag.moved = true;
  if (!drag.moved) return;
  byId("tip").hidden = true;
  ui.pointer = null;
  if (drag.kind === "overview") return overviewTo(x);
  if (drag.kind === "split") {
    ui.share = (y - AXIS) / (ui.height - AXIS - SPLIT - OVERVIEW);
    layOut();
    return ask();
  }
  if (drag.kind === "span") {
    ui.span = [drag.x, x];
    return askOver();
  }
  stage.style.cursor = "grabbing";
  drag.pane.scroll = clamp(drag.scroll + drag.y - y, 0, Math.max(0, drag.pane.content - drag.pane.height));
  setView(drag.from.u0 + (drag.x - x) / ui.view.k, ui.view.k);
}

function overviewTo(x) {
  const room = (ui.width - GUTTER) / ui.view.k;
  setView((x - GUTTER) / fitScale(ui) - room / 2, ui.view.k);
}

stage.addEventListener("pointerup", (up) => {
  const { x, y } = at(up);
  const done = drag;
  drag = null;
  ui.span = null;
  stage.style.cursor = "default";
  if (!done || done.kind === "overview" || done.kind === "split") return;
  if (done.kind === "span" && Math.abs(x - done.x) > 6) {
    const left = ui.view.u0 + (Math.min(x, done.x) - GUTTER) / ui.view.k;
    const k = ((ui.width - GUTTER) * ui.view.k) / Math.abs(x - done.x);
    glide(left, k);
  } else if (!done.moved) {
    const hit = hitAt(x, y);
    if (hit >= 0) select(hit);
  }
});

stage.addEventListener("pointerleave", () => {
  ui.pointer = null;
  byId("tip").hidden = true;
  askOver();
});

stage.addEventListener("dblclick", (click) => zoomAt(at(click).x, 4));

stage.addEventListener("wheel", (wheel) => {
  wheel.preventDefault();
  cancelAnimationFrame(gliding);
  const { x, y } = at(wheel);
  const unit = wheel.deltaMode === 1 ? 16 : 1;
  const [dx, dy] = [wheel.deltaX * unit, wheel.deltaY * unit];
  if (x < GUTTER) {
    const pane = paneAt(y);
    pane.scroll = clamp(pane.scroll + dy, 0, Math.max(0, pane.content - pane.height));
    return ask();
  }
  const sideways = wheel.shiftKey || Math.abs(dx) > Math.abs(dy);
  if (sideways) return setView(ui.view.u0 + (dx || dy) / ui.view.k, ui.view.k);
  zoomAt(x, Math.exp(-clamp(dy, -200, 200) * (wheel.ctrlKey ? 0.012 : 0.0022)));
}, { passive: false });

const TIP_CHARS = 360;

function tip(hit, x, y) {
  const box = byId("tip");
  box.hidden = hit < 0;
  if (hit < 0) return;
  const event = events[hit];
  const lines = [];
  const say = (className, text) => lines.push(element("div", className, cut(text, TIP_CHARS)));
  say("when", `${seconds(event.t)} s  ${event.lane}  ${event.what}`);
  say("", event.text || event.what);
  if (event.operation) say("cause", `→ ${events[event.operation.end]?.text ?? "no answer"}`);
  if (event.from >= 0) say("cause", `because ${events[event.from].lane}: ${events[event.from].text}`);
  box.replaceChildren(...lines);
  const { offsetWidth: width, offsetHeight: height } = box;
  box.style.left = `${x + 16 + width > ui.width ? Math.max(4, x - width - 12) : x + 16}px`;
  box.style.top = `${y + 18 + height > ui.height ? y - height - 12 : y + 18}px`;
}
