// What a network said of each test image: by class, how sure it was, what it took for what, and what compression changed.

const predictions = () => setting().predictions;

function fillPredictions() {
  const rows = predictions().rows;
  byId("predictions").hidden = !rows.length;
  byId("predictions-link").hidden = !rows.length;
  const texts = rows.map((row) => (row.budget ? `${short(row.method)} at ${row.budget}` : short(row.method)));
  // First what compression did, and not the network that it began with.
  fill("predictions-row", rows.map((row) => `${row.method} ${row.budget}`), texts, Math.max(0, rows.findIndex((row) => !row.reference)));
}

function drawPredictions() {
  const row = predictions().rows.find((one) => `${one.method} ${one.budget}` === byId("predictions-row").value);
  if (!row) return;
  const { classes, images, short: cut } = predictions();
  const shownName = (number) => isolated(escaped(cut[number])); // no two are the same
  const tint = colour(row.method);
  const shade = colours();
  const seeds = `${row.n} ${row.n === 1 ? "seed" : "seeds"}`;
  byId("predictions-note").textContent = [
    row.churn === null ? "" : `${fixed(row.churn)} % of the test images get another class than from the dense network of the same seed (churn).`,
    row.calibrationError === null ? "" : `Expected calibration error ${fixed(row.calibrationError)}\u00a0%.`,
    `Means over ${seeds}.`,
  ].filter(Boolean).join(" ");
  const known = row.difference !== null && row.difference.some((value) => value !== null);
  const values = known ? row.difference : row.accuracy;
  const order = classes.map((_, number) => number).filter((number) => values[number] !== null).sort((one, other) => values[one] - values[other]);
  const most = 40;
  const shown = order.length > most ? [...order.slice(0, most / 2), ...order.slice(-most / 2)] : order;
  byId("predictions-classes").style.height = `${Math.max(14, 3 + 1.25 * shown.length)}rem`;
  draw("predictions-classes", [{
    type: "bar", orientation: "h", x: shown.map((number) => values[number]), y: shown.map(shownName), marker: { color: tint },
    text: shown.map((number) => `<b>${named(classes[number])}</b>, ${whole(images[number])} images<br>right ${fixed(row.accuracy[number])} %${known ? `, change ${signed(row.difference[number])} points` : ""}`), textposition: "none", hovertemplate: "%{text}<extra></extra>",
  }], { xaxis: { title: { text: known ? "change against dense (points)" : "right (%)" } }, yaxis: { type: "category", automargin: true, dtick: 1, autorange: "reversed" }, margin: { l: 60, r: 10, t: 10, b: 45 } });
  const width = 100 / row.bins.length;
  const bins = row.bins.map((bin, number) => ({ bin, middle: (number + 0.5) * width })).filter(({ bin }) => bin);
  draw("predictions-bins", [
    {
      type: "bar", x: bins.map(({ middle }) => middle), y: bins.map(({ bin }) => bin[2]), width: 0.92 * width, marker: { color: faint(tint, 0.75) },
      text: bins.map(({ bin }) => `${whole(bin[0])} images a seed<br>confidence ${fixed(bin[1], 1)} %, right ${fixed(bin[2], 1)} %`), textposition: "none", hovertemplate: "%{text}<extra></extra>",
    },
    { type: "scatter", mode: "lines", x: [0, 100], y: [0, 100], line: { color: shade.text, width: 1.5, dash: "dot" }, hoverinfo: "skip" },
  ], { xaxis: { title: { text: "confidence (%)" }, range: [0, 100] }, yaxis: { title: { text: "right (%)" }, range: [0, 100] }, margin: { l: 50, r: 10, t: 10, b: 45 } });
  byId("predictions-confusion").parentElement.hidden = !row.confusion;
  if (!row.confusion) return;
  const shares = row.confusion.map((line) => { const total = line.reduce((sum, value) => sum + value, 0); return line.map((value) => (total ? 100 * value / total : null)); });
  const names = classes.map((_, number) => shownName(number));
  draw("predictions-confusion", [{
    type: "heatmap", x: names, y: names, z: shares, zmin: 0, zmax: 100, colorscale: isDark() ? [[0, "#161c24"], [0.05, "#1d3a5c"], [0.3, "#3f8ad0"], [1, "#e8f3ff"]] : [[0, "#ffffff"], [0.05, "#dbe9f6"], [0.3, "#5a9bd5"], [1, "#08306b"]],
    xgap: 1, ygap: 1, colorbar: { title: { text: "share of the class (%)", side: "right" }, thickness: 12, outlinewidth: 0 },
    text: row.confusion.map((line, is) => line.map((value, said) => `${named(classes[is])} taken for ${named(classes[said])}<br>${whole(value)} images of all seeds, ${shares[is][said] === null ? "none" : shares[is][said].toFixed(1) + " %"}`)), hovertemplate: "%{text}<extra></extra>",
  }], { xaxis: { title: { text: "predicted" }, type: "category", tickangle: -50, showgrid: false }, yaxis: { title: { text: "is" }, type: "category", autorange: "reversed", dtick: 1, showgrid: false }, margin: { l: 60, r: 10, t: 10, b: 60 } });
}
