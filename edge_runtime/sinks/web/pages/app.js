// The live half of the page: the state comes as server-sent events, the view as a stream of pictures.

import { Chart } from "/chart.js";
import { Bars, colourOf, drawFace, make, percent } from "/labels.js";
import { startUpload } from "/upload.js";
import { LiveView } from "/view.js";

const byId = (id) => document.getElementById(id);
const bars = new Bars(byId("bars"));
const chart = new Chart(byId("chart"));
const SILENT_MS = 5000;
let viewWanted = new URLSearchParams(location.search).get("view") !== "off";
let events;
let heardAt = 0;

function say(level, text) {
  byId("status").dataset.level = level;
  byId("status").textContent = text;
}

function set(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

function largest(faces) {
  return faces.reduce((a, b) => (b.box[2] * b.box[3] > a.box[2] * a.box[3] ? b : a), faces[0]);
}

let drawn;
function showFace(label, colour) {
  if (drawn === label) return;
  drawn = label;
  drawFace(byId("face"), label, colour);
}

function showFaces(faces) {
  if (!faces.length) {
    showFace(null);
    set("emotion", "nobody");
    set("confidence", "step before the camera");
    bars.clear();
    byId("others").hidden = true;
    return;
  }
  const face = largest(faces);
  const labels = Object.keys(face.probabilities);
  const likely = labels.reduce((a, b) => (face.probabilities[b] > face.probabilities[a] ? b : a));
  const uncertain = face.label === "uncertain";
  showFace(uncertain ? "neutral" : face.label, uncertain ? "#a9b0ba" : colourOf(face.label, labels.indexOf(face.label)));
  set("emotion", face.label);
  set("confidence", uncertain ? `perhaps ${likely}, ${percent(face.confidence)}` : percent(face.confidence));
  bars.show(face.probabilities);
  const others = faces.filter((other) => other !== face)
    .map((other) => `${other.label} ${percent(other.confidence)}`);
  byId("others").hidden = !others.length;
  set("others", others.length ? `${faces.length} faces; the others: ${others.join(", ")}` : "");
}

function showFigures(state) {
  const { record, board } = state;
  set("rate", state.rate_hz.toFixed(1));
  set("frames", `${state.frames} / ${record ? record.dropped : 0}`);
  set("viewers", String(state.viewers));
  set("board-load", board.load.toFixed(2));
  const known = board.temperature_c !== null;
  byId("temperature-box").hidden = !known;
  set("temperature", known ? board.temperature_c.toFixed(0) : "–");
  set("board-temperature", known ? `${board.temperature_c.toFixed(1)} °C` : "not told");
  set("board-throttled", board.throttled === null ? "not told" : board.throttled.join(", ") || "none");
  byId("board-throttled").classList.toggle("bad", Boolean(board.throttled?.some((flag) => flag.endsWith("now"))));
  if (!record) return;
  set("latency", record.age_ms.toFixed(0));
  set("model", record.model.slice(0, 19));
  set("backend", record.backend);
  const rows = Object.entries({ ...record.timing_ms, "age at the result": record.age_ms });
  if (byId("stages").children.length !== rows.length) {
    byId("stages").replaceChildren(...rows.map(([name]) => {
      const row = make("tr");
      row.append(make("th", { scope: "row" }, name), make("td"));
      return row;
    }));
  }
  rows.forEach(([, ms], index) => { byId("stages").children[index].lastChild.textContent = ms.toFixed(2); });
}

async function loadHistory() {
  const answer = await fetch("/api/history");
  if (answer.ok) chart.load(await answer.json());
}

function show(state) {
  heardAt = performance.now();
  showFigures(state);
  showFaces(state.healthy && state.record ? state.record.faces : []);
  const hot = state.board.throttled?.find((flag) => flag.endsWith("now"));
  if (!state.healthy) say("bad", state.record ? "no new frames" : "waiting for the camera");
  else if (hot) say("warn", hot.replace(" now", ""));
  else say("good", "live");
  if (state.history_last && !chart.add(state.history_last, state.second)) loadHistory().catch(() => {});
}

function listen() {
  events?.close();
  events = new EventSource("/api/events");
  heardAt = performance.now();
  events.addEventListener("open", () => { loadHistory().catch(() => {}); startView(); });
  events.addEventListener("message", (event) => show(JSON.parse(event.data)));
  events.addEventListener("error", () => {
    lose();
    // Closed for good, e.g. because the session has ended: the page itself knows the way on.
    if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
  });
}

function lose() {
  say("bad", "no connection");
  showFaces([]);
  set("confidence", "");
  set("emotion", "no connection");
  view.stop();
}

// A machine that hangs closes no connection.
setInterval(() => {
  if (!document.hidden && events.readyState === EventSource.OPEN && performance.now() - heardAt > SILENT_MS) lose();
}, 1000);

const view = new LiveView(byId("view"), (there) => {
  byId("view").hidden = !there;
  byId("view-off").hidden = there;
  set("view-off", viewWanted ? "no picture" : "the picture is hidden");
});

function startView() {
  if (viewWanted && !document.hidden) view.start();
}

byId("view-toggle").addEventListener("click", () => {
  viewWanted = !viewWanted;
  showToggle();
  if (viewWanted) startView();
  else view.stop();
});
function showToggle() {
  byId("view-toggle").setAttribute("aria-pressed", String(viewWanted));
  set("view-toggle", viewWanted ? "Hide picture" : "Show picture");
  document.body.classList.toggle("no-view", !viewWanted);
}
// Nobody looks at a hidden page: the machine need not work for it.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    events.close();
    view.stop();
  } else {
    listen();
  }
});

showToggle();
view.stop();
showFace(null);
listen();
startUpload();
