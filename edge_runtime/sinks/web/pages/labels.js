// Colour and drawn face of each expression, and the bars that both halves of the page show.

const COLOURS = {
  angry: "#d1495b", disgust: "#7c9a2e", fear: "#8e6bc8", happy: "#e0a100",
  sad: "#3f86c6", surprise: "#12a594", neutral: "#8a929e",
};
const FURTHER = ["#d1495b", "#3f86c6", "#e0a100", "#12a594", "#8e6bc8", "#7c9a2e", "#8a929e", "#c86f31"];

const MOUTHS = {
  happy: "M27 59Q50 85 73 59", sad: "M31 75Q50 55 69 75", angry: "M31 74Q50 60 69 74",
  surprise: "M50 59a9 12 0 1 0 .01 0", fear: "M29 70q7-9 14 0t14 0 14 0", disgust: "M31 72Q46 58 69 66",
  neutral: "M33 68H67",
};
const BROWS = {
  angry: "M24 29L42 36M76 29L58 36", sad: "M24 35L42 28M76 35L58 28", fear: "M24 31L42 24M76 31L58 24",
  surprise: "M25 24Q34 18 43 24M57 24Q66 18 75 24", disgust: "M24 31L42 34M76 26L58 32",
};

export function colourOf(label, index = 0) {
  return COLOURS[label] ?? FURTHER[index % FURTHER.length];
}

export function make(name, attributes = {}, text = "") {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

export function makeSvg(name, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

/** Draw a face into an svg of 100 by 100; `label` null: nobody. */
export function drawFace(svg, label, colour) {
  const ink = "#1d2128";
  const line = { fill: "none", stroke: ink, "stroke-width": 6, "stroke-linecap": "round", "stroke-linejoin": "round" };
  if (label === null) {
    svg.replaceChildren(
      makeSvg("circle", { cx: 50, cy: 50, r: 45, fill: "none", stroke: "currentColor", "stroke-width": 4,
        "stroke-dasharray": "7 8", opacity: 0.4 }));
    return;
  }
  svg.replaceChildren(
    makeSvg("circle", { cx: 50, cy: 50, r: 47, fill: colour }),
    makeSvg("circle", { cx: 34, cy: 44, r: 5.5, fill: ink }),
    makeSvg("circle", { cx: 66, cy: 44, r: 5.5, fill: ink }),
    makeSvg("path", { d: MOUTHS[label] ?? MOUTHS.neutral, ...line }),
    makeSvg("path", { d: BROWS[label] ?? "", ...line, "stroke-width": 5 }));
}

export function percent(fraction) {
  return `${Math.round(fraction * 100)} %`;
}

/** One bar per label; elements are made once and only moved afterwards. */
export class Bars {
  constructor(box) {
    this.box = box;
    this.rows = new Map();
  }

  show(probabilities) {
    const labels = Object.keys(probabilities);
    if (labels.join() !== [...this.rows.keys()].join()) this.build(labels);
    const best = labels.reduce((a, b) => (probabilities[b] > probabilities[a] ? b : a), labels[0]);
    for (const [label, row] of this.rows) {
      row.fill.style.transform = `scaleX(${probabilities[label]})`;
      row.value.textContent = percent(probabilities[label]);
      row.line.classList.toggle("best", label === best);
    }
  }

  build(labels) {
    this.rows.clear();
    this.box.replaceChildren(...labels.map((label, index) => {
      const line = make("div", { class: "bar", "data-label": label });
      const trough = make("span", { class: "trough" });
      const fill = make("i");
      fill.style.background = colourOf(label, index);
      trough.append(fill);
      const value = make("span", { class: "value" });
      line.append(make("span", { class: "label" }, label), trough, value);
      this.rows.set(label, { line, fill, value });
      return line;
    }));
  }

  clear() {
    for (const row of this.rows.values()) {
      row.fill.style.transform = "scaleX(0)";
      row.value.textContent = "";
      row.line.classList.remove("best");
    }
  }
}
