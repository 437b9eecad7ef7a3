"use strict";
// Timelines that can be zoomed. Text of the kernel's author only ever becomes textContent or canvas text.

const DATA = JSON.parse(document.getElementById("data").textContent);
const FEW_LANES = 36, LANE = 16, AXIS = 22, BAND = 26;
const WAIT = "#e1e5ea", WAIT_EDGE = "#aab3be";

function parseSpans(text) {
  let at = 0;
  return text.split(";").map((item) => {
    const [gap, length, site, count = 1, busy] = item.split(" ").map(Number);
    const start = at + gap;
    at = start + length;
    const waits = site < 0, alone = waits ? 0 : 100;
    return {start, end: at, site: waits ? ~site : site, waits, count, busy: (busy ?? alone) / 100};
  });
}

function made(tag, properties) { return Object.assign(document.createElement(tag), properties); }

// Index of the first span that ends after `time`.
function firstAfter(spans, time) {
  let low = 0, high = spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle].end <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}

function niceStep(span, marks) {
  const decade = 10 ** Math.floor(Math.log10(span / marks));
  return [1, 2, 5, 10].map((f) => f * decade).find((step) => span / step <= marks);
}

class Timeline {
  constructor(figure, kernel) {
    this.figure = figure;
    this.kernel = kernel;
    this.total = Math.max(kernel.cycles, 1);
    this.from = 0;
    this.to = this.total;
    this.cores = this.readCores();
    this.view = figure.querySelector(".view");
    this.spacer = figure.querySelector(".spacer");
    this.canvas = figure.querySelector("canvas");
    this.tip = document.body.appendChild(made("div", {className: "tip", hidden: true}));
    const few = kernel.rows.length + this.cores.length <= FEW_LANES;
    for (const core of this.cores) core.open = few || core.group === kernel.fine_group;
    // The group that finishes last comes first where the others stay closed.
    if (!few) this.cores.sort((a, b) => b.open - a.open);
    this.listen();
    this.layout();
    this.paint();
    figure.dataset.spans = kernel.rows.reduce((sum, row) => sum + row.spans.length, 0);
  }

  readCores() {
    const cores = new Map();
    for (const row of this.kernel.rows) {
      row.spans = parseSpans(row.spans);
      const name = `group ${row.group} ${row.kind}` + (row.kind === "vector" ? ` ${row.index}` : "");
      if (!cores.has(name)) cores.set(name, {name, group: row.group, rows: []});
      cores.get(name).rows.push(row);
    }
    return [...cores.values()];
  }

  // Lanes from top to bottom, below the axis: HBM, L2, then one per core, or one per pipe of an open core.
  layout() {
    this.lanes = [];
    let y = AXIS;
    const add = (lane, height) => {
      this.lanes.push({...lane, y, height});
      y += height;
    };
    add({label: "HBM", shares: this.kernel.hbm}, BAND);
    add({label: "L2", shares: this.kernel.l2}, BAND);
    for (const core of this.cores) {
      add({core, label: `${core.open ? "▾" : "▸"} ${core.name}`, rows: core.open ? [] : core.rows}, LANE + 2);
      if (core.open) for (const row of core.rows) add({core, label: row.pipe, rows: [row], inner: true}, LANE);
    }
    this.height = y + 6;
    this.spacer.style.height = `${this.height}px`;
    this.figure.dataset.lanes = this.lanes.length;
    this.draw();
  }

  // --- drawing

  draw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  paint() {
    const ratio = window.devicePixelRatio || 1;
    const width = this.view.clientWidth, height = this.view.clientHeight;
    this.left = width < 600 ? 104 : 138;
    this.width = width - this.left - 8;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    const c = this.context = this.canvas.getContext("2d");
    c.scale(ratio, ratio);
    c.font = "11.5px system-ui, 'DejaVu Sans', sans-serif";
    c.textBaseline = "middle";
    c.fillStyle = "#fff";
    c.fillRect(0, 0, width, height);
    const scroll = this.view.scrollTop;
    const visible = this.lanes.filter((lane) => lane.y + lane.height > scroll + AXIS && lane.y < scroll + height);
    for (const lane of visible) this.lane(lane, lane.y - scroll, width);
    this.axis(width, height);
    const us = (cycles) => (cycles / this.kernel.clock_mhz).toFixed(2);
    const range = `${us(this.from)} – ${us(this.to)} µs of ${us(this.total)} µs, modelled`;
    this.figure.querySelector(".range").textContent = range;
  }

  x(cycles) { return this.left + (cycles - this.from) / (this.to - this.from) * this.width; }
  time(x) { return this.from + (x - this.left) / this.width * (this.to - this.from); }

  axis(width, height) {
    const c = this.context, clock = this.kernel.clock_mhz;
    const span = (this.to - this.from) / clock;
    const step = niceStep(span, Math.max(2, this.width / 90));
    const digits = Math.max(0, -Math.floor(Math.log10(step)));
    c.fillStyle = "#fff";
    c.fillRect(0, 0, width, AXIS - 2);
    for (let mark = Math.ceil(this.from / clock / step); mark * step <= this.to / clock + 1e-9; ++mark) {
      const x = this.x(mark * step * clock);
      c.fillStyle = "rgba(90, 105, 125, 0.18)";
      c.fillRect(x, AXIS - 6, 1, height);
      c.fillStyle = "#667080";
      const text = `${(mark * step).toFixed(digits)} µs`;
      if (x + c.measureText(text).width < width) c.fillText(text, x + 3, 9);
    }
  }

  lane(lane, y, width) {
    const c = this.context;
    c.fillStyle = lane.inner || lane.shares ? "#fff" : "#f1f4f7";
    c.fillRect(0, y, width, lane.height - 1);
    c.fillStyle = lane.inner ? "#667080" : "#1d232b";
    c.fillText(lane.label, lane.inner ? 26 : 8, y + lane.height / 2, this.left - 12);
    c.save();
    c.beginPath();
    c.rect(this.left, y, this.width, lane.height);
    c.clip();
    if (lane.shares) this.shares(lane, y);
    else lane.rows.forEach((row, i) => {
      const each = (lane.height - 2) / lane.rows.length;
      this.row(row, y + i * each, each);
    });
    c.restore();
  }

  shares(lane, y) {
    const c = this.context, bins = lane.shares.length, tall = lane.height - 4;
    c.fillStyle = DATA.colours[lane.label];
    for (let i = 0; i < bins; ++i) {
      const x = this.x(i / bins * this.total), end = this.x((i + 1) / bins * this.total);
      const high = lane.shares[i] / 100 * tall;
      if (high > 0) c.fillRect(x, y + 1 + tall - high, Math.max(end - x, 1), high);
    }
  }

  // Spans of two pixels and more are boxes; narrower ones add up to a shade per column.
  row(row, y, height) {
    const c = this.context, columns = new Float32Array(Math.ceil(this.width) + 1);
    for (let i = firstAfter(row.spans, this.from); i < row.spans.length && row.spans[i].start < this.to; ++i) {
      const span = row.spans[i], x = this.x(span.start), wide = this.x(span.end) - x;
      if (wide >= 2) this.box(row, span, x, y, wide, height);
      else if (span.busy > 0) columns[Math.max(0, Math.floor(x - this.left))] += Math.max(wide, 0.3) * span.busy;
    }
    c.fillStyle = DATA.colours[row.pipe];
    columns.forEach((share, i) => {
      if (share === 0) return;
      c.globalAlpha = Math.min(1, 0.25 + 0.75 * share);
      c.fillRect(this.left + i, y, 1, height);
    });
    c.globalAlpha = 1;
  }

  box(row, span, x, y, wide, height) {
    const c = this.context;
    const idle = span.busy === 0;
    c.fillStyle = idle ? WAIT : DATA.colours[row.pipe];
    c.globalAlpha = idle ? 1 : 0.25 + 0.75 * span.busy;
    c.fillRect(x, y, Math.max(wide - 0.5, 1), height);
    c.globalAlpha = 1;
    if (idle && height > 8 && wide > 8) {
      c.fillStyle = WAIT_EDGE;
      c.fillRect(x, y + height - 2, wide - 0.5, 2);
    }
    if (wide < 46 || height < 12) return;
    c.fillStyle = span.busy > 0.5 ? "#fff" : "#3c4654";
    c.save();
    c.beginPath();
    c.rect(x, y, wide - 4, height);
    c.clip();
    const name = this.kernel.sites[span.site][0];
    c.fillText(span.count > 1 ? `${span.count} joined` : name, Math.max(x, this.left) + 4, y + height / 2 + 0.5);
    c.restore();
  }

  // --- what is under the pointer

  laneAt(y) {
    const below = y + this.view.scrollTop;
    return y < AXIS ? undefined : this.lanes.find((lane) => below >= lane.y && below < lane.y + lane.height);
  }

  spanAt(x, y) {
    const lane = this.laneAt(y);
    if (!lane || !lane.rows || !lane.rows.length || x < this.left) return null;
    const within = (y + this.view.scrollTop - lane.y) / (lane.height - 2);
    const row = lane.rows[Math.min(lane.rows.length - 1, Math.floor(within * lane.rows.length))];
    const time = this.time(x), slack = 3 * (this.to - this.from) / this.width;
    const next = firstAfter(row.spans, time);
    const near = [row.spans[next - 1], row.spans[next]].filter(Boolean);
    const off = (span) => Math.max(span.start - time, time - span.end, 0);
    near.sort((a, b) => off(a) - off(b));
    return near.length && off(near[0]) <= slack ? {lane, row, span: near[0]} : null;
  }

  describe({lane, row, span}) {
    const [name, place] = this.kernel.sites[span.site];
    const us = (cycles) => (cycles / this.kernel.clock_mhz).toFixed(3);
    const lines = [];
    if (span.count === 1) lines.push(span.waits ? `waits: ${name} at ${place}` : `${name} at ${place}`);
    else {
      lines.push(`${span.count} instructions and waits, joined; busy ${Math.round(100 * span.busy)} %`);
      lines.push(`most of it: ${span.waits ? "waiting in " : ""}${name} at ${place}`);
    }
    lines.push(`${lane.core.name}, ${row.pipe}`);
    lines.push(`${us(span.start)} – ${us(span.end)} µs: ${us(span.end - span.start)} µs, modelled`);
    return lines;
  }

  point(x, y, event) {
    const hit = this.spanAt(x, y);
    this.tip.hidden = !hit;
    if (!hit) return;
    this.tip.textContent = this.describe(hit).join("\n");
    const box = this.tip.getBoundingClientRect();
    const below = event.clientY + 18, above = event.clientY - box.height - 10;
    this.tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, window.innerWidth - box.width - 6))}px`;
    this.tip.style.top = `${below + box.height > window.innerHeight ? above : below}px`;
  }

  pick(x, y) {
    const lane = this.laneAt(y);
    if (lane && lane.core && x < this.left) {
      lane.core.open = !lane.core.open;
      this.layout();
      return;
    }
    const hit = this.spanAt(x, y), line = this.figure.querySelector(".picked");
    line.textContent = "";
    if (!hit) return;
    line.append(this.describe(hit).join(" · "));
    const anchor = this.kernel.sites[hit.span.site][2];
    if (anchor) line.append(" · ", made("a", {href: `#${anchor}`, textContent: "to the source"}));
  }

  // --- moving

  show(from, to) {
    const least = Math.min(this.total, 20);
    const span = Math.min(this.total, Math.max(least, to - from));
    const middle = (from + to) / 2;
    this.from = Math.max(0, Math.min(this.total - span, middle - span / 2));
    this.to = this.from + span;
    this.draw();
  }

  zoom(factor, at = (this.from + this.to) / 2) {
    if ((this.to - this.from) * factor < 20) return;
    this.show(at - (at - this.from) * factor, at + (this.to - at) * factor);
  }

  move(share) {
    const by = share * (this.to - this.from);
    const bounded = Math.max(-this.from, Math.min(this.total - this.to, by));
    this.show(this.from + bounded, this.to + bounded);
  }

  act(action) {
    const actions = {
      in: () => this.zoom(0.5), out: () => this.zoom(2), all: () => this.show(0, this.total),
      left: () => this.move(-0.25), right: () => this.move(0.25),
      open: () => this.openAll(true), close: () => this.openAll(false),
    };
    actions[action]();
  }

  openAll(open) {
    for (const core of this.cores) core.open = open;
    this.layout();
  }

  listen() {
    const canvas = this.canvas;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    for (const button of this.figure.querySelectorAll("button")) {
      button.addEventListener("click", () => this.act(button.dataset.act));
    }
    const keys = {"+": "in", "=": "in", "-": "out", "0": "all", ArrowLeft: "left", ArrowRight: "right"};
    canvas.addEventListener("keydown", (event) => {
      if (!(event.key in keys) || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      this.act(keys[event.key]);
    });
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.008), this.time(place(event)[0]));
    }, {passive: false});
    canvas.addEventListener("dblclick", (event) => {
      const [x] = place(event);
      if (x >= this.left) this.zoom(0.4, this.time(x));
    });
    let held = null;
    canvas.addEventListener("pointerdown", (event) => {
      held = {x: event.clientX, from: this.from, to: this.to, moved: false};
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!held) return this.point(...place(event), event);
      const by = event.clientX - held.x;
      if (Math.abs(by) > 3) held.moved = true;
      if (!held.moved) return;
      const span = held.to - held.from;
      const from = Math.max(0, Math.min(this.total - span, held.from - by / this.width * span));
      this.show(from, from + span);
    });
    canvas.addEventListener("pointerup", (event) => {
      if (held && !held.moved) this.pick(...place(event));
      held = null;
    });
    canvas.addEventListener("pointercancel", () => { held = null; });
    canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    this.view.addEventListener("scroll", () => {
      this.tip.hidden = true;
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(this.view);
  }
}

window.addEventListener("error", (event) => { document.documentElement.dataset.error = event.message; });
const timelines = [...document.querySelectorAll(".timeline")].map(
  (figure) => new Timeline(figure, DATA.kernels[figure.dataset.kernel]));
