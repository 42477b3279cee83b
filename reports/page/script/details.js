// What stands behind a point: its runs and how they are made again, options, curves, layers. A click, or Enter on it or on
// its name in the table, opens it.

function wireDetails() {
  const dialog = byId("details");
  // It comes late: another point may be open by then.
  dialog.addEventListener("close", () => { if (!dialog.open) { state.point = undefined; remember(); } });
  byId("details-close").addEventListener("click", () => dialog.close());
  byId("details-copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText(byId("details-command").textContent);
    byId("details-copy").textContent = "copied";
  });
  byId("details-copy").hidden = !navigator.clipboard;
  for (const id of ["accuracy-plot", "settings-plot"]) {
    if (byId(id)) wirePlot(byId(id));
  }
}

function wirePlot(plot) {
  let place = null; // of the point that the keys have come to: [trace, number]
  const points = () => plot.data.flatMap((trace, curve) => (trace.customdata && trace.meta !== "seeds" ? trace.customdata.map((_, number) => [curve, number]) : []));
  const show = async ([curve, number]) => {
    place = [curve, number];
    Plotly.Fx.hover(plot, [{ curveNumber: curve, pointNumber: number }], subplotOf(plot.data[curve]));
    byId("point-status").textContent = plot.data[curve].text[number].replace(/<br>/g, "; ").replace(/<[^>]*>/g, "");
  };
  // Plotly adds its own handlers when it first draws there.
  const wired = new MutationObserver(() => {
    if (!plot.on) return;
    wired.disconnect();
    plot.on("plotly_click", (event) => {
      const found = event.points.find((point) => point.customdata);
      if (found) follow(found.customdata);
    });
  });
  wired.observe(plot, { childList: true });
  plot.addEventListener("keydown", (event) => {
    const all = points();
    if (!all.length) return;
    const now = place ? all.findIndex(([curve, number]) => curve === place[0] && number === place[1]) : -1;
    const curves = [...new Set(all.map(([curve]) => curve))];
    const beside = (step) => {
      const next = curves[(curves.indexOf(place ? place[0] : -1) + step + curves.length) % curves.length];
      return all.find(([curve, number]) => curve === next && number === (place ? place[1] : 0)) ?? all.find(([curve]) => curve === next);
    };
    const moves = {
      ArrowRight: () => all[(now + 1) % all.length], ArrowLeft: () => all[(now - 1 + all.length) % all.length],
      ArrowDown: () => beside(1), ArrowUp: () => beside(-1), Home: () => all[0], End: () => all.at(-1),
    };
    if (moves[event.key]) show(moves[event.key]());
    else if (event.key === "Enter" && now >= 0) follow(plot.data[place[0]].customdata[place[1]]);
    else return;
    event.preventDefault();
  });
}

const subplotOf = (trace) => (trace.xaxis ?? "x") + (trace.yaxis ?? "y");

// A point of another setting chooses that first.
async function follow([point, number = state.setting]) {
  if (number !== state.setting) {
    byId("setting").value = String(number);
    await choose(number);
  }
  openDetails(point);
}

function openDetails(number) {
  const point = setting().points[number];
  if (!point) return;
  state.point = point;
  byId("details-title").textContent = point.method + (point.budget ? ` at ${point.budget}` : "");
  byId("details-score").textContent = plainText(hoverOfMean(point, 0)).slice(1).join("; ");
  const options = Object.entries(point.options);
  byId("details-options").replaceChildren(...options.flatMap(([name, value]) => {
    const [term, description] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    description.textContent = value;
    return [term, description];
  }));
  byId("details-options").hidden = !options.length;
  byId("details-runs").replaceChildren(...point.runs.map((run) => {
    const row = document.createElement("tr");
    for (const text of [String(run[0]), fixed(run[1]), whole(run[2]), `${data.folder}${run.at(-1)}`]) {
      const cell = document.createElement("td");
      cell.textContent = text;
      row.append(cell);
    }
    return row;
  }));
  byId("details-more").textContent = point.runs.length < point.n ? `${point.runs.length} of ${point.n} runs; the others are not in this page.` : "";
  const first = point.runs[0];
  byId("details-again").hidden = !first;
  if (first) byId("details-command").textContent = `bench run --spec ${quotedForShell(`${data.folder}${first.at(-1)}/spec.toml`)} --out again`;
  byId("details-copy").textContent = "copy";
  const dialog = byId("details");
  if (!dialog.open) dialog.showModal();
  drawDetails(point);
  remember();
}

function drawDetails(point) {
  const curve = setting().curves.find((one) => one.method === point.method && one.budget === point.budget);
  const row = setting().layers.rows.find((one) => one.method === point.method && one.budget === point.budget);
  const tint = colour(point.method);
  byId("details-curves").hidden = !curve;
  if (curve) {
    const trace = (name, kind, more) => ({ name, type: "scatter", mode: "lines", x: curve.epochs, y: curve[kind][0], line: { color: tint, width: 1.7, ...more } });
    draw("details-curves", [trace("validation", "validation", {}), trace("training", "train", { dash: "dot" })], {
      showlegend: true, legend: { orientation: "h", y: 1.15 }, margin: { l: 50, r: 10, t: 10, b: 40 }, xaxis: { title: { text: "epoch" } }, yaxis: { title: { text: setting().metric.label } },
    });
  }
  byId("details-layers").hidden = !row;
  if (row) {
    const { names, dense } = setting().layers;
    const bar = (name, values, marker) => ({ type: "bar", name, x: names, y: values, marker, hovertemplate: "%{x}: %{y:,}<extra></extra>" });
    draw("details-layers", [bar("dense", [...dense, 0], { color: "rgba(0,0,0,0)", line: { color: colours().soft, width: 1.5 } }), bar("here", row.values, { color: tint })], {
      barmode: "group", showlegend: true, legend: { orientation: "h", y: 1.15 }, margin: { l: 50, r: 10, t: 10, b: 40 },
      xaxis: { tickangle: -50, type: "category", showgrid: false }, yaxis: { type: "log", title: { text: "stored values" }, tickformat: "~s", dtick: 1 },
    });
  }
}

// A hover's lines as text: what was escaped for plotly's markup is what it was.
function plainText(hover) {
  return hover.split("<br>").map((line) => line.replace(/<\/?b>/g, "").replace(/[\u2068\u2069]/g, "").replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&"));
}

const quotedForShell = (path) => (/^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);
