// Where values are spent: the shares of layers, and their values.

const layersHere = () => setting().layers.rows.filter((row) => row.budget === byId("layers-budget").value && state.on.get(row.method));

function fillLayers() {
  fill("layers-method", layersHere().map((row) => row.method));
}

function drawLayers() {
  fillLayers();
  const { names, dense } = setting().layers;
  const budget = byId("layers-budget").value;
  const here = layersHere();
  const method = byId("layers-method").value;
  const known = here.length > 0;
  byId("layers-map").hidden = byId("layers-bars").hidden = !known;
  byId("layers-note").textContent = known
    ? `At ${budget || "its own size"}. Above: the share of its stored values that each method spends on each layer; each row is 100 %. Below: the numbers of values of ${method}. Shared values (generators, bases, templates, centres) belong to no layer.`
    : "Nothing to show: switch a method on. Its run and a run of the dense reference must have a layers.csv (early versions wrote none).";
  if (!known) return;
  const lines = [{ method: "dense", values: [...dense, 0] }, ...here].reverse();
  const shares = lines.map((line) => { const total = line.values.reduce((sum, value) => sum + value, 0); return line.values.map((value) => 100 * value / total); });
  const shade = colours();
  draw("layers-map", [{
    type: "heatmap", x: names, y: lines.map((line) => short(line.method)), z: shares, colorscale: isDark() ? [[0, "#161c24"], [0.02, "#1d3a5c"], [0.3, "#3f8ad0"], [1, "#e8f3ff"]] : [[0, "#ffffff"], [0.02, "#dbe9f6"], [0.3, "#5a9bd5"], [1, "#08306b"]],
    xgap: 1, ygap: 1, colorbar: { title: { text: "share (%)", side: "right" }, thickness: 12, outlinewidth: 0 },
    text: lines.map((line, row) => names.map((name, column) => `<b>${named(line.method)}</b>, ${escaped(name)}<br>${whole(line.values[column])} values, ${shares[row][column].toFixed(1)} %`)), hovertemplate: "%{text}<extra></extra>",
  }], { xaxis: { tickangle: -50, type: "category", showgrid: false }, yaxis: { type: "category", showgrid: false, dtick: 1 }, margin: { l: 60, r: 16, t: 10, b: 60 } });
  const chosen = here.find((row) => row.method === method) || here[0];
  const bar = (name, values, marker) => ({
    type: "bar", name, x: names, y: values, marker,
    text: values.map((value, column) => `${named(name)}, ${escaped(names[column])}: ${whole(value)} values`), textposition: "none", hovertemplate: "%{text}<extra></extra>",
  });
  draw("layers-bars", [
    bar("dense", [...dense, 0], { color: "rgba(0,0,0,0)", line: { color: shade.soft, width: 1.5 } }),
    bar(chosen.method, chosen.values, { color: colour(chosen.method) }),
  ], { barmode: "group", showlegend: true, legend: { orientation: "h", y: 1.12 }, xaxis: { tickangle: -50, type: "category", showgrid: false }, yaxis: { type: "log", title: { text: "stored values" }, tickformat: "~s", dtick: 1 }, margin: { l: 60, r: 16, t: 30, b: 60 } });
}
