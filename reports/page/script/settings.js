// All settings side by side, each with its own scale.

const MOST_SETTINGS = 12;

function drawSettings() {
  const part = byId("settings");
  if (!part) return;
  const measure = byId("measure").value;
  // The one that is chosen is among them.
  const all = data.settings.map((_, number) => number);
  const first = all.slice(0, MOST_SETTINGS);
  const shown = first.includes(state.setting) ? first : [...first.slice(0, -1), state.setting];
  const across = Math.max(1, Math.min(3, shown.length, Math.floor(byId("settings-plot").clientWidth / 300)));
  const down = Math.ceil(shown.length / across);
  const traces = [];
  const extra = { annotations: [], margin: { l: 44, r: 10, t: 30, b: 50 }, height: 270 * down + 60 };
  shown.forEach((number, place) => {
    const where = data.settings[number];
    const value = measured(where, measure);
    const index = Object.keys(data.axes).indexOf(axisOf(where));
    const points = where.points.filter((point) => point.x[index] !== null && value(point) !== null);
    const [column, row] = [place % across, Math.floor(place / across)];
    const name = place ? String(place + 1) : "";
    const [left, right] = [(column + 0.14) / across, (column + 1) / across];
    const [bottom, top] = [1 - (row + 1) / down + 0.2 / down, 1 - row / down];
    const values = [];
    for (const [method, own] of byMethod(points)) {
      const tint = colour(method);
      values.push(...own.map(value));
      traces.push({
        name: method, type: "scatter", mode: own.length > 1 ? "lines+markers" : "markers", x: own.map((point) => point.x[index]), y: own.map(value), xaxis: "x" + name, yaxis: "y" + name,
        line: { color: tint, width: 1.4, dash: look(method).dash }, marker: { color: tint, symbol: look(method).symbol, size: own[0].reference ? 10 : 6 },
        customdata: own.map((point) => [where.points.indexOf(point), number]),
        text: own.map((point) => `<b>${named(method)}</b>${point.budget ? " at " + escaped(point.budget) : ""}<br>${escaped(where.metric.label)} ${fixed(point.mean)}${unit(" ", escaped(where.metric.unit), "")}`), hovertemplate: "%{text}<extra></extra>",
      });
    }
    const [low, high] = limits(values, where.metric);
    const scale = byId("scale").value;
    extra["xaxis" + name] = { ...axisLook(), domain: [left, right], anchor: "y" + name, type: scale, tickformat: "~s", nticks: 5, ...(scale === "log" ? { dtick: "D2" } : {}) };
    extra["yaxis" + name] = { ...axisLook(), domain: [bottom, top - 0.06 / down], anchor: "x" + name, ...(measure === "error" ? { type: "log", dtick: "D2" } : { range: [low, high], nticks: 5 }) };
    extra.annotations.push({ text: `<b>${named(where.name, Math.floor(90 / across))}</b>`, showarrow: false, xref: "paper", yref: "paper", x: left, y: top, xanchor: "left", yanchor: "top", font: { size: 12 } });
  });
  byId("settings-plot").style.height = `${extra.height}px`;
  draw("settings-plot", traces, extra);
  byId("settings-note").textContent =
    `${measureTitle({ ...setting().metric, label: "score", unit: "" }, measure)} over ${data.axes[axisOf(setting())]}, ${byId("scale").value} scale; each panel has its own.` +
    (all.length > shown.length ? ` Of ${all.length} settings ${shown.length} are drawn.` : "");
}
