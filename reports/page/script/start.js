// From the packed data to the first drawing. No text from a record becomes HTML: it is set as text, or escaped for plotly's
// own markup. Nothing is loaded.

const byId = (id) => document.getElementById(id);
const root = document.documentElement;
const state = { setting: 0, on: new Map(), came: new Map() };
let data = null;

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function problem(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = false;
}

async function start() {
  wireTables(document);
  wireColumns();
  wireExports();
  byId("filter").addEventListener("input", filterTable);
  filterTable();
  byId("theme").addEventListener("click", switchTheme);
  if (typeof DecompressionStream === "undefined") {
    problem("This browser is too old to draw the figures (it lacks DecompressionStream); the tables are all here.");
    return;
  }
  data = JSON.parse(await unpack(byId("data").textContent));
  const script = document.createElement("script");
  script.textContent = await unpack(byId("plotly").textContent);
  document.head.append(script);
  if (typeof Plotly === "undefined") {
    problem("The figures can't be drawn: their library did not start. The tables are all here.");
    return;
  }
  wireDetails();
  if (byId("setting")) byId("setting").addEventListener("change", () => choose(Number(byId("setting").value)).then(remember));
  for (const id of ["axis", "scale", "measure", "shown", "bars", "front", "reference", "published"]) {
    byId(id).addEventListener("change", drawScores);
  }
  for (const id of ["metric", "curves-budget"]) byId(id).addEventListener("change", drawCurves);
  for (const id of ["layers-budget", "layers-method"]) byId(id).addEventListener("change", drawLayers);
  byId("predictions-row").addEventListener("change", drawPredictions);
  byId("codes-run").addEventListener("change", drawCodes);
  for (const [id, on] of [["all", true], ["none", false]]) {
    byId(id).addEventListener("click", () => {
      for (const box of byId("methods").querySelectorAll("input")) {
        box.checked = on;
        state.on.set(box.value, on);
      }
      drawMethods();
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("beforeprint", () => { state.theme = root.dataset.theme || ""; root.dataset.theme = "light"; drawAll(); });
  addEventListener("afterprint", () => {
    if (state.theme) root.dataset.theme = state.theme; else delete root.dataset.theme;
    drawAll();
  });
  await startFromAddress();
  root.dataset.ready = "true";
}

function switchTheme() {
  root.dataset.theme = isDark() ? "light" : "dark";
  if (data) drawAll();
}

function isDark() {
  if (root.dataset.theme) return root.dataset.theme === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

start().catch((error) => {
  problem(`The figures can't be drawn (${error}); the tables are all here.`);
  throw error;
});
