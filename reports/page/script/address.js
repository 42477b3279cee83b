// The view in the address, so that it can be sent: what differs from how the page opens. Behind "#", since a page that was
// opened from a disk may change nothing else of its address.

const CONTROLS = ["axis", "scale", "measure", "shown", "bars", "front", "reference", "published", "metric"];
// Their choices depend on the setting.
const CHOICES = ["curves-budget", "layers-budget", "layers-method", "predictions-row", "codes-run"];
const opened = new Map();

const valueOf = (element) => (element.type === "checkbox" ? String(element.checked) : element.value);

// Browsers keep what was chosen when a page is loaded again.
function ofHtml(element) {
  if (element.type === "checkbox") return String(element.defaultChecked);
  return element.type === "search" ? "" : ([...element.options].find((option) => option.defaultSelected) ?? element.options[0]).value;
}

function setValue(element, value) {
  if (element.type === "checkbox") {
    if (value !== "true" && value !== "false") return false;
    element.checked = value === "true";
  }
  else if (element.type === "search" || [...element.options].some((option) => option.value === value)) element.value = value;
  else return false;
  return true;
}

async function startFromAddress() {
  for (const id of [...CONTROLS, "filter"]) opened.set(id, ofHtml(byId(id)));
  addEventListener("hashchange", () => { if (location.hash.slice(1) !== state.written) open(location.hash.slice(1)); });
  for (const kind of ["change", "input", "click"]) document.addEventListener(kind, remember);
  for (const link of document.querySelectorAll("nav a")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      state.at = link.hash.slice(1);
      byId(state.at).scrollIntoView();
    });
  }
  await open(location.hash.slice(1));
}

const KEYS = new Set(["setting", ...CONTROLS, "filter", "off", ...CHOICES, "columns", "sort", "order", "at", "point"]);

// The view is what a new page would show at this address, whatever was chosen before.
async function open(text) {
  const asked = new URLSearchParams(text.includes("=") ? text : "");
  const unknown = [...asked.keys()].filter((key) => !KEYS.has(key));
  byId("problem").hidden = true;
  if (byId("details").open) byId("details").close();
  const number = data.settings.findIndex((one) => one.name === asked.get("setting"));
  if (asked.has("setting") && number < 0) unknown.push(`setting ${asked.get("setting")}`);
  const off = new Set(asked.getAll("off"));
  for (const name of Object.keys(data.looks)) state.on.set(name, !off.delete(name));
  unknown.push(...off);
  for (const id of [...CONTROLS, "filter"]) {
    if (!setValue(byId(id), asked.get(id) ?? opened.get(id))) unknown.push(`${id} ${asked.get(id)}`);
  }
  const columns = (asked.get("columns") ?? "").split(" ").filter(Boolean);
  const boxes = new Set([...byId("columns").querySelectorAll("input")].map((box) => box.value));
  unknown.push(...columns.filter((column) => !boxes.has(column)).map((column) => `column ${column}`));
  chooseColumns(asked.has("columns") ? columns.filter((column) => boxes.has(column)).map(Number) : null);
  if (byId("setting")) byId("setting").value = String(Math.max(0, number));
  for (const id of CHOICES) byId(id).replaceChildren(); // so that nothing of before is kept
  unknown.push(...(await choose(Math.max(0, number), asked)).map((id) => `${id} ${asked.get(id)}`));
  if (!asked.has("sort")) unsort();
  else if (!sortBy(asked.get("sort"), asked.get("order") === "down")) unknown.push(`sort ${asked.get("sort")}`);
  state.at = byId(asked.get("at"))?.tagName === "SECTION" ? asked.get("at") : null;
  if (state.at) byId(state.at).scrollIntoView({ behavior: "instant" });
  else if (asked.has("at")) unknown.push(`at ${asked.get("at")}`);
  if (asked.has("point")) {
    const [method, budget = ""] = asked.getAll("point");
    const point = setting().points.findIndex((one) => one.method === method && one.budget === budget);
    if (point < 0) unknown.push(`${method} ${budget}`.trim());
    else openDetails(point);
  }
  if (unknown.length) problem(`The address asks for what is not in this report: ${shorten(unknown.join(", "), 300)}.`);
}

function remember() {
  const view = new URLSearchParams();
  if (state.setting) view.set("setting", setting().name);
  for (const id of [...CONTROLS, "filter"]) if (valueOf(byId(id)) !== opened.get(id)) view.set(id, valueOf(byId(id)));
  for (const [name, on] of state.on) if (!on) view.append("off", name);
  for (const id of CHOICES) {
    const choice = byId(id);
    if (choice.options.length && choice.selectedIndex !== Number(choice.dataset.opened)) view.set(id, choice.value);
  }
  if (state.columns) view.set("columns", state.columns.join(" "));
  if (state.sorted) {
    view.set("sort", state.sorted.column);
    if (state.sorted.descending) view.set("order", "down");
  }
  if (state.at) view.set("at", state.at);
  if (state.point !== undefined) {
    view.append("point", state.point.method);
    view.append("point", state.point.budget);
  }
  state.written = view.toString();
  if (state.written !== location.hash.slice(1)) history.replaceState(null, "", "#" + state.written);
}
