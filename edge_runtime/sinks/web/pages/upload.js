// The other half: a picture of one's own. It goes to this machine alone and is not kept there.

import { Bars, colourOf, make, makeSvg, percent } from "/labels.js";

const byId = (id) => document.getElementById(id);
const SHRUNK_PX = 2048;
let shown = "";

/** The file as it is, or a smaller copy where the machine would refuse it for its size. */
async function fitted(file, maxBytes) {
  const picture = await createImageBitmap(file).catch(() => null);
  if (picture === null) return file;
  const scale = SHRUNK_PX / Math.max(picture.width, picture.height);
  if (file.size <= maxBytes && (scale >= 1 || picture.width * picture.height <= 8e6)) return file;
  const canvas = make("canvas");
  canvas.width = Math.round(picture.width * Math.min(1, scale));
  canvas.height = Math.round(picture.height * Math.min(1, scale));
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob((blob) => done(blob ?? file), "image/jpeg", 0.92));
}

function drawBoxes(answer) {
  const svg = byId("boxes");
  svg.setAttribute("viewBox", `0 0 ${answer.width} ${answer.height}`);
  const unit = Math.max(answer.width, answer.height) / 100;
  svg.replaceChildren(...answer.faces.flatMap((face, index) => {
    const [x, y, width, height] = face.box;
    const colour = colourOf(face.label, index);
    return [
      makeSvg("rect", { x, y, width, height, rx: unit, fill: "none", stroke: "#000", "stroke-opacity": 0.5, "stroke-width": unit * 0.9 }),
      makeSvg("rect", { x, y, width, height, rx: unit, fill: "none", stroke: colour, "stroke-width": unit * 0.6 }),
      makeSvg("text", { x: x + unit, y: y + unit * 4.6, fill: "#fff", stroke: "#000", "stroke-width": unit * 0.9,
        "paint-order": "stroke", "font-size": unit * 4, "font-weight": 700 }, String(index + 1)),
    ];
  }));
}

function list(answer) {
  byId("found").replaceChildren(...answer.faces.map((face, index) => {
    const card = make("div", { class: "one" });
    const box = make("div", { class: "bars" });
    card.append(make("h3", {}, `${index + 1}: ${face.label}, ${percent(face.confidence)}`), box);
    new Bars(box).show(face.probabilities);
    return card;
  }));
}

async function send(file) {
  const message = byId("upload-message");
  message.className = "";
  message.textContent = "reading the picture …";
  byId("result").hidden = true;
  try {
    const body = await fitted(file, Number(byId("upload-form").dataset.maxBytes));
    const answer = await fetch("/api/predict", {
      method: "POST", body, headers: { "Content-Type": body.type || "application/octet-stream" },
    });
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error);
    URL.revokeObjectURL(shown);
    shown = URL.createObjectURL(body);
    byId("picture").src = shown;
    drawBoxes(found);
    list(found);
    byId("result").hidden = false;
    const count = found.faces.length;
    message.textContent = `${count === 0 ? "no face" : count === 1 ? "one face" : `${count} faces`} found, `
      + `${found.width}×${found.height} pixels, ${found.timing_ms.total.toFixed(0)} ms`;
  } catch (error) {
    message.className = "error";
    message.textContent = error.message || "the picture could not be read";
  }
}

export function startUpload() {
  const drop = byId("drop");
  byId("file").addEventListener("change", (event) => {
    if (event.target.files.length) send(event.target.files[0]);
    event.target.value = "";
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
    });
  }
  byId("upload-form").addEventListener("submit", (event) => event.preventDefault());
}
