// The setting that is looked at, its methods, and the choices that depend on it.

const setting = () => data.settings[state.setting];

// `asked` may have choices that depend on the setting, by their ids.
async function choose(index, asked = new Map()) {
  state.setting = index;
  for (const part of document.querySelectorAll(".setting")) {
    part.hidden = Number(part.dataset.setting) !== index;
    if (!part.hidden && part.dataset.packed) {
      // Made and escaped where the page was made, as the parts that are not packed.
      part.innerHTML = await unpack(part.dataset.packed);
      delete part.dataset.packed;
      wireTables(part);
    }
  }
  const names = [...new Set(setting().points.filter((point) => !point.reference).map((point) => point.method))].sort();
  const own = byId("axis").querySelector("[value=stored_values]");
  own.textContent = Object.values(data.axes)[sizeAxis()];
  byId("methods").replaceChildren(...names.map(methodSwitch));
  fill("layers-budget", [...new Set(setting().layers.rows.map((row) => row.budget))].sort(byBudget));
  fill("curves-budget", [...new Set(setting().curves.map((curve) => curve.budget).filter(Boolean))].sort(byBudget));
  const runs = setting().spaces.map((run) => `${run.method} ${run.budget} seed ${run.seed}`);
  fill("codes-run", runs.map((_, position) => String(position)), runs);
  fillPredictions();
  // An error takes a score that has a whole.
  byId("measure").querySelector("[value=error]").disabled = !hasError(setting().metric);
  byId("measure").querySelector("[value=corrupted]").disabled = !hasCorrupted(setting());
  if (byId("measure").selectedOptions[0].disabled) byId("measure").value = "mean";
  filterTable();
  const unknown = CHOICES.filter((id) => id !== "layers-method" && asked.has(id) && !setValue(byId(id), asked.get(id)));
  // Which methods have layers depends on the budget.
  fillLayers();
  if (asked.has("layers-method") && !setValue(byId("layers-method"), asked.get("layers-method"))) unknown.push("layers-method");
  drawAll();
  return unknown;
}

function methodSwitch(name) {
  if (!state.on.has(name)) state.on.set(name, true);
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.value = name;
  box.checked = state.on.get(name);
  box.addEventListener("change", () => { state.on.set(name, box.checked); drawMethods(); });
  const text = document.createElement("bdi");
  text.textContent = short(name);
  text.title = name;
  label.append(box, swatch(name), text);
  return label;
}

const shapes = {
  circle: "M8 3.5a4.5 4.5 0 1 0 .01 0z", square: "M4 4h8v8H4z", diamond: "M8 2.5 13.5 8 8 13.5 2.5 8z",
  "triangle-left": "M3 8l9.500-5.500v11z", "triangle-right": "M13 8 3.500 2.500v11z",
  cross: "M6.2 2.5h3.6v3.7h3.7v3.6H9.8v3.7H6.2V9.8H2.5V6.2h3.7z",
  x: "M5 2.5 8 5.5l3-3L13.500 5l-3 3 3 3-2.500 2.500-3-3-3 3L2.500 11l3-3-3-3z",
};

function swatch(name) {
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [key, value] of [["width", 16], ["height", 16], ["viewBox", "0 0 16 16"], ["aria-hidden", "true"]]) picture.setAttribute(key, value);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", shapes[look(name).symbol] || shapes.circle);
  path.setAttribute("fill", colour(name));
  picture.append(path);
  return picture;
}

// "2x" before "16x", shares and numbers of values from large to small; a method of fixed size last.
function byBudget(one, other) {
  if (one === other) return 0;
  const size = (written) => sizeOf(written.replace(/-bytes$/, ""));
  const sizeOf = (text) => (text === "" ? Infinity : text.endsWith("x") ? parseFloat(text) : parseFloat(text) < 1 ? 1 / parseFloat(text) : 1e12 / parseFloat(text));
  return size(one) - size(other);
}

function fill(id, values, texts = values, first = 0) {
  // The choice stays where it can, but nothing was chosen among nothing.
  const before = byId(id).options.length ? byId(id).value : null;
  byId(id).replaceChildren(...values.map((value, index) => {
    const option = document.createElement("option");
    option.value = value;
    option.textContent = texts[index] || "own size";
    return option;
  }));
  byId(id).dataset.opened = first;
  if (values.includes(before)) byId(id).value = before;
  else if (values.length) byId(id).selectedIndex = first;
  byId(id).disabled = !values.length;
}

function drawAll() {
  for (const label of byId("methods").children) label.querySelector("svg").replaceWith(swatch(label.querySelector("input").value));
  drawMethods();
  drawPredictions();
  drawCodes();
}

function drawMethods() {
  drawScores();
  drawLayers();
  drawCurves();
}
