// The largest face's expressions over time, stacked: one column a second, gaps where nobody was seen.

import { colourOf, percent } from "/labels.js";

const HEIGHTS = { axis: 18 };

export class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.points = new Map();
    this.spanS = 120;
    this.second = 0;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** All of the server's history. */
  load(history) {
    this.spanS = history.span_s;
    this.second = history.second;
    this.points = new Map(history.points.map((point) => [point.second, point.probabilities]));
    this.draw();
  }

  /** The second that has just ended; false where others are missing in between. */
  add(point, now) {
    if (now < this.second) return false;
    const last = this.points.size ? Math.max(...this.points.keys()) : null;
    if (last !== null && point.second < last) return false;
    const fresh = now !== this.second || !this.points.has(point.second);
    this.second = now;
    this.points.set(point.second, point.probabilities);
    for (const second of this.points.keys()) if (second < now - this.spanS) this.points.delete(second);
    if (fresh) this.draw();
    return last === null || point.second - last <= 3;
  }

  draw() {
    const { canvas, spanS } = this;
    const ratio = devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width || !height) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const style = getComputedStyle(canvas);
    const plot = height - HEIGHTS.axis;
    const step = width / spanS;

    context.fillStyle = style.getPropertyValue("--trough");
    context.fillRect(0, 0, width, plot);
    for (const [second, probabilities] of this.points) {
      const x = width - (this.second - second) * step;
      if (!probabilities || x + step < 0) continue;
      let y = plot;
      Object.entries(probabilities).forEach(([label, probability], index) => {
        const size = probability * plot;
        context.fillStyle = colourOf(label, index);
        context.fillRect(x, y - size, step + 0.5, size + 0.5);
        y -= size;
      });
    }

    context.fillStyle = style.color;
    context.font = `12px ${style.fontFamily}`;
    context.textBaseline = "bottom";
    const marks = [[spanS, "left", "2 min ago"], [spanS / 2, "center", "1 min"], [0, "right", "now"]];
    for (const [ago, align, text] of marks) {
      context.textAlign = align;
      context.fillText(text, width - ago * step, height);
    }
    this.describe();
  }

  /** The same for who cannot see it. */
  describe() {
    const seen = [...this.points.values()].filter(Boolean);
    const sums = {};
    for (const probabilities of seen) {
      for (const [label, value] of Object.entries(probabilities)) sums[label] = (sums[label] ?? 0) + value;
    }
    const parts = Object.entries(sums).sort((a, b) => b[1] - a[1]).slice(0, 3)
      .map(([label, sum]) => `${label} ${percent(sum / seen.length)}`);
    this.canvas.dataset.points = seen.length;
    this.canvas.setAttribute("aria-label", seen.length
      ? `Expressions of the last two minutes: ${parts.join(", ")}`
      : "Nobody was seen in the last two minutes");
  }
}
