// Training curves.

function drawCurves() {
  const metric = byId("metric").value;
  const budget = byId("curves-budget").value;
  const here = setting().curves.filter((curve) => (curve.budget === budget || curve.budget === "") && (state.on.get(curve.method) ?? true));
  const traces = [];
  for (const curve of here) {
    const [mean, deviation] = curve[metric];
    const tint = colour(curve.method);
    const edge = (sign) => mean.map((value, at) => (value === null ? null : value + sign * (deviation[at] ?? 0)));
    const line = { name: curve.method, type: "scatter", mode: "lines", x: curve.epochs };
    if (deviation.some((value) => value !== null)) {
      traces.push({ ...line, y: edge(-1), line: { width: 0 }, hoverinfo: "skip" });
      traces.push({ ...line, y: edge(1), line: { width: 0 }, fill: "tonexty", fillcolor: faint(tint, Math.min(0.16, 1 / here.length)), hoverinfo: "skip" });
    }
    traces.push({
      ...line, mode: curve.epochs.length > 15 ? "lines" : "lines+markers", y: mean, line: { color: tint, width: 1.7, dash: look(curve.method).dash }, marker: { color: tint, symbol: look(curve.method).symbol, size: 6 },
      text: mean.map((value, at) => `<b>${named(curve.method)}</b>${curve.budget ? " at " + escaped(curve.budget) : ""}, epoch ${curve.epochs[at]}<br>${fixed(value, 3)}${deviation[at] === null ? "" : " ± " + deviation[at].toFixed(3)}`), hovertemplate: "%{text}<extra></extra>",
    });
  }
  draw("curves-plot", traces, { xaxis: { title: { text: "epoch" }, ...(here.length && Math.max(...here.map((curve) => curve.epochs.length)) < 12 ? { dtick: 1 } : {}) }, yaxis: { title: { text: data.metrics[metric].replace("score", setting().metric.label) } } });
  byId("curves-note").textContent = here.length
    ? (budget ? `At ${budget}, with the methods of fixed size. ` : "") + "Means over seeds; bands are one standard deviation. If a method compresses a trained network, its curve begins with the dense epochs."
    : "No training histories: switch a method on; if that doesn't help, these runs kept none.";
}
