// Plots of the last minutes: lines or stacked areas, with axes, units, a legend of newest values, and a cursor that
// follows the pointer or the arrow keys and shows the values of its moment instead.

import { clock, element, put, svg } from "/format.js";

const HEIGHT = 148;
const LEFT = 38;
const RIGHT = 6;
const TOP = 8;
const BOTTOM = 18;
const SPANS_S = [60, 120, 300, 600];

/** Steps of 1, 2 or 5 that divide 0 to `top` into two to four parts. */
function ticks(top) {
  const rough = top / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.999);
  const count = Math.ceil(top / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, n) => n * step);
}

/** A step's own digits, the same for every label of an axis. */
const axisDigits = (step) => Math.max(0, -Math.floor(Math.log10(step) + 1e-9));

const plain = (value) => (value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(2));

export class Plot {
  /** `{ title, unit, series: [{ name, of(sample) }], stacked?, limit?(sample), limitName?, floor?, format? }` */
  constructor(options) {
    this.options = { floor: 1, format: plain, ...options };
    this.samples = [];
    this.cursor = null;
    this.values = options.series.map(() => element("span", { class: "value number" }, "–"));
    const keys = options.series.map((series, n) =>
      element("li", {}, element("span", { class: `key c${n + 1}`, "aria-hidden": "true" }), series.name, this.values[n]));
    this.moment = element("span", { class: "axis-unit" }, options.unit);
    this.svg = svg("svg", { role: "img", tabindex: "0" });
    this.figure = element("figure", { class: `panel plot${options.stacked ? " stacked" : ""}` },
      element("figcaption", {}, element("h2", {}, options.title), this.moment),
      element("ul", { class: "legend" }, ...keys), this.svg);
    this.svg.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.svg.addEventListener("pointerdown", (event) => this.point(event.offsetX));
    this.svg.addEventListener("pointerleave", () => this.moveTo(null));
    this.svg.addEventListener("blur", () => this.moveTo(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.svg);
  }

  /** Shows these samples, oldest first; each has `at`, in milliseconds. */
  show(samples) {
    this.samples = samples;
    this.draw();
  }

  key(event) {
    const last = this.inView().length - 1;
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30, Home: -Infinity, End: Infinity };
    if (event.key === "Escape") return this.moveTo(null);
    if (!(event.key in moves) || last < 0) return;
    event.preventDefault();
    const from = this.cursor === null ? last : this.nearest(this.cursor);
    this.moveTo(this.inView()[Math.min(last, Math.max(0, from + moves[event.key]))].at);
  }

  point(x) {
    const view = this.inView();
    if (view.length === 0) return;
    const at = this.end() - (1 - (x - LEFT) / this.width()) * this.span() * 1000;
    this.moveTo(view[this.nearest(at)].at);
  }

  moveTo(at) {
    this.cursor = at;
    this.draw();
  }

  nearest(at) {
    let best = 0;
    this.inView().forEach((sample, n, view) => { if (Math.abs(sample.at - at) < Math.abs(view[best].at - at)) best = n; });
    return best;
  }

  width() { return Math.max(60, (this.svg.clientWidth || 320) - LEFT - RIGHT); }
  end() { return this.samples.length > 0 ? this.samples[this.samples.length - 1].at : 0; }

  span() {
    const age = this.samples.length > 0 ? (this.end() - this.samples[0].at) / 1000 : 0;
    return SPANS_S.find((span) => age <= span) ?? SPANS_S[SPANS_S.length - 1];
  }

  inView() {
    const from = this.end() - this.span() * 1000;
    return this.samples.filter((sample) => sample.at >= from);
  }

  draw() {
    const view = this.inView();
    const { series, stacked, limit, floor } = this.options;
    // Each row of levels lies on the one before where they are stacked.
    const levels = view.map((sample) => {
      let sum = 0;
      return series.map(({ of }) => {
        const value = of(sample);
        if (value === null || value === undefined) return null;
        if (!stacked) return value;
        sum += value;
        return sum;
      });
    });
    const bounds = limit ? view.map(limit).filter((value) => value !== null && value !== undefined) : [];
    const seen = levels.flat().filter((value) => value !== null);
    const grid = ticks(Math.max(floor, ...seen, ...bounds.map((value) => value * 1.08)));
    const top = grid[grid.length - 1];
    const digits = axisDigits(grid[1]);
    const width = this.width();
    const x = (at) => LEFT + width * (1 - (this.end() - at) / (this.span() * 1000));
    const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
    const parts = [];
    for (const value of grid) {
      parts.push(svg("line", { class: "grid", x1: LEFT, x2: LEFT + width, y1: y(value), y2: y(value) }));
      parts.push(svg("text", { class: "axis", x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(digits)));
    }
    this.times(parts, x);
    const order = stacked ? series.map((_, n) => series.length - 1 - n) : series.map((_, n) => n);
    for (const n of order) parts.push(...this.trace(view, levels, n, x, y, stacked));
    if (bounds.length > 0) this.limitLine(parts, bounds[bounds.length - 1], width, y);
    if (seen.length === 0) parts.push(svg("text", { class: "none", x: LEFT + width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "nothing measured yet"));
    const shown = this.cursor === null ? view[view.length - 1] : view[this.nearest(this.cursor)];
    if (this.cursor !== null && shown) {
      parts.push(svg("line", { class: "cursor", x1: x(shown.at), x2: x(shown.at), y1: TOP, y2: HEIGHT - BOTTOM }));
    }
    this.svg.replaceChildren(...parts);
    this.tell(shown, width);
  }

  times(parts, x) {
    const span = this.span();
    const name = (s) => (s === 0 ? "now" : span > 120 ? `−${s / 60} min` : `−${s} s`);
    for (const s of [span, span / 2, 0]) {
      const anchor = s === span ? "start" : s === 0 ? "end" : "middle";
      parts.push(svg("text", { class: "axis", x: x(this.end() - s * 1000), y: HEIGHT - 3, "text-anchor": anchor }, name(s)));
    }
  }

  trace(view, levels, n, x, y, stacked) {
    const runs = [];
    let run = [];
    view.forEach((sample, i) => {
      const value = levels[i][n];
      // A gap in time or in the figures is a gap in the line.
      if (value === null || (run.length > 0 && sample.at - view[i - 1].at > 5000)) {
        if (run.length > 0) runs.push(run);
        run = [];
      }
      if (value !== null) run.push([x(sample.at), y(value)]);
    });
    if (run.length > 0) runs.push(run);
    const colour = `c${n + 1}`;
    const way = (points) => points.map(([px, py]) => `${px.toFixed(1)} ${py.toFixed(1)}`).join("L");
    const closed = (points) => `M${way(points)}L${points[points.length - 1][0].toFixed(1)} ${y(0)}L${points[0][0].toFixed(1)} ${y(0)}Z`;
    const made = runs.flatMap((points) => {
      if (stacked) return [svg("path", { class: `layer ${colour}`, d: closed(points) })];
      const line = svg("path", { class: `line ${colour}`, d: `M${way(points.length > 1 ? points : [points[0], points[0]])}` });
      return n === 0 ? [svg("path", { class: `area ${colour}`, d: closed(points) }), line] : [line];
    });
    return made;
  }

  limitLine(parts, value, width, y) {
    parts.push(svg("line", { class: "limit", x1: LEFT, x2: LEFT + width, y1: y(value), y2: y(value) }));
    parts.push(svg("text", { class: "limit-label", x: LEFT + 4, y: Math.max(TOP + 9, y(value) - 4) }, this.options.limitName));
  }

  tell(shown, width) {
    const { series, unit, title, format } = this.options;
    const texts = series.map(({ of }) => {
      const value = shown ? of(shown) : null;
      return value === null || value === undefined ? "–" : format(value);
    });
    texts.forEach((text, n) => put(this.values[n], text));
    put(this.moment, this.cursor === null ? unit : `${clock(shown.at)} · ${unit}`);
    const spoken = series.map(({ name }, n) => `${name} ${texts[n]}`).join(", ");
    this.svg.setAttribute("aria-label", `${title} in ${unit}: ${spoken}`);
    this.svg.setAttribute("viewBox", `0 0 ${width + LEFT + RIGHT} ${HEIGHT}`);
  }
}
