// Accuracy over size or cost: means, seeds, the front, arrows at the edge.

// What is drawn of a mean and of a run's score: a score, its change against dense, or what it lacks of the whole.
const hasError = (metric) => metric.unit === "%" && metric.higher;

const hasCorrupted = (where) => where.points.some((point) => point.corrupted !== null);

function measured(where, measure) {
  if (measure === "corrupted") return (point) => point.corrupted;
  if (measure === "difference") return (point) => point.difference;
  if (measure === "error") return (point) => (hasError(where.metric) ? 100 - point.mean || null : null);
  return (point) => point.mean;
}

function measuredRun(where, measure) {
  const ofDense = new Map(where.points.filter((point) => point.reference).flatMap((point) => point.runs.map((run) => [run[0], run[1]])));
  if (measure === "difference") return (run) => (ofDense.has(run[0]) ? run[1] - ofDense.get(run[0]) : null);
  if (measure === "error") return (run) => 100 - run[1] || null;
  // Before the folder, which is the last.
  if (measure === "corrupted") return (run) => run[run.length - 2];
  return (run) => run[1];
}

function measureTitle(metric, measure) {
  if (measure === "difference") return `change against dense${unit(" (", metric.points, ")")}`;
  // The error is what the share of images that are right lacks; of another metric it has no name.
  if (measure === "error") return metric.counts_images ? "test error (%), log scale" : `100 % minus test ${metric.label}, log scale`;
  return `${measure === "corrupted" ? "" : "test "}${metric.label}${measure === "corrupted" ? " on corrupted test images" : ""}${unit(" (", metric.unit, ")")}`;
}

// Where budgets are of bytes, these stand in place of stored values.
const axisOf = (where) => (byId("axis").value === "stored_values" && where.unit === "bytes" ? "counted_bytes" : byId("axis").value);

const sizeAxis = () => Object.keys(data.axes).indexOf(setting().unit === "bytes" ? "counted_bytes" : "stored_values");

function drawScores() {
  drawAccuracy();
  drawSettings();
}

function drawAccuracy() {
  const axis = axisOf(setting());
  const index = Object.keys(data.axes).indexOf(axis);
  const measure = byId("measure").value;
  const value = measured(setting(), measure);
  // Where nothing finished there are reasons on top, and no empty axes.
  byId("accuracy-plot").hidden = !setting().points.length;
  const points = setting().points.filter((point) => point.x[index] !== null && value(point) !== null);
  const reference = points.filter((point) => point.reference);
  const traces = [];
  // Who is on the front is known of the score itself.
  if (byId("front").checked && measure !== "corrupted") traces.push(...frontTraces(points, index, value));
  for (const [method, own] of byMethod(points)) traces.push(...methodTraces(method, own, index, measure));
  const shown = publishedTrace(axis, measure);
  if (shown) traces.push(shown);
  const shade = colours();
  const level = !byId("reference").checked ? null : measure === "difference" ? 0 : reference.length ? value(reference[0]) : null;
  const values = traces.flatMap((trace) => (trace.meta === "scale" ? trace.y : []));
  if (level !== null) values.push(level);
  const [low, high] = limits(values, setting().metric);
  const onLog = measure === "error";
  if (!onLog) traces.push(...arrows(traces, low, high));
  draw("accuracy-plot", traces, {
    xaxis: { type: byId("scale").value, title: { text: data.axes[axis] }, exponentformat: "SI", tickformat: "~s", ...(byId("scale").value === "log" ? { dtick: "D2" } : { rangemode: "tozero" }) },
    yaxis: { title: { text: measureTitle(setting().metric, measure) }, ...(onLog ? { type: "log", dtick: "D2" } : values.length ? { range: [low, high] } : {}) },
    shapes: level === null ? [] : [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: level, y1: level, line: { color: shade.soft, width: 1, dash: "dot" }, layer: "below" }],
    annotations: values.length ? [] : [{ text: "nothing to draw: switch a method on, or choose what was measured", showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5 }],
  });
  const hasFront = byId("front").checked && measure !== "corrupted";
  const whole = onLog && setting().points.some((point) => point.mean === 100);
  byId("front-note").textContent = (whole ? `A method ${setting().metric.counts_images ? "without an error" : "at 100 %"} has no place on a log axis. ` : "") + (hasFront
    ? "The Pareto front includes all methods, also those switched off. A stronger ring means that a point is more probably on the front. Sizes within 1 % count as equal."
    : "");
}

// The methods that are switched on, and the reference, each in the order of its budgets: over latency, say, that of x
// would be a zigzag.
function byMethod(points) {
  const seen = points.filter((point) => (point.reference ? byId("reference").checked : state.on.get(point.method) ?? true));
  seen.sort((one, other) => one.reference - other.reference);
  return [...new Set(seen.map((point) => point.method))].map((method) => [
    method, seen.filter((point) => point.method === method).sort((one, other) => (one.asked ?? one.x[sizeAxis()]) - (other.asked ?? other.x[sizeAxis()])),
  ]);
}

const unit = (before, text, after) => (text ? before + text + after : "");

// All means, but for those of methods that collapsed, which would squeeze the others: those further below the best than
// four times what half of the means are. As in the figures for papers.
function limits(values, metric) {
  if (!values.length) return [0, 1];
  const sign = metric.higher ? 1 : -1;
  const gains = values.filter((value) => value !== null).map((value) => sign * value).sort((one, other) => one - other);
  const best = gains[gains.length - 1];
  const middle = (gains[(gains.length - 1) >> 1] + gains[gains.length >> 1]) / 2;
  const lowest = Math.max(gains[0], best - 4 * Math.max(best - middle, 1e-9));
  const shown = gains.filter((value) => value >= lowest);
  const room = Math.max(0.1 * (best - shown[0]), metric.unit === "%" ? 0.25 : 1e-3);
  const [low, high] = [shown[0] - room, best + room];
  return sign > 0 ? [low, high] : [-high, -low];
}

// At the edge, for each mean or end of an interval that lies beyond it.
function arrows(traces, low, high) {
  const found = [];
  for (const trace of traces.filter((trace) => trace.meta === "scale")) {
    trace.y.forEach((value, place) => {
      if (value === null) return;
      const half = trace.error_y ? trace.error_y.array[place] : 0;
      if (value - half < low) found.push({ x: trace.x[place], y: low, symbol: "triangle-down", color: trace.marker.color, text: trace.text ? trace.text[place] : "" });
      if (value + half > high) found.push({ x: trace.x[place], y: high, symbol: "triangle-up", color: trace.marker.color, text: trace.text ? trace.text[place] : "" });
    });
  }
  if (!found.length) return [];
  const of = (name) => found.map((one) => one[name]);
  return [{ name: "beyond", type: "scatter", mode: "markers", x: of("x"), y: of("y"), cliponaxis: false, marker: { symbol: of("symbol"), color: of("color"), size: 10 }, text: of("text"), hovertemplate: "beyond the edge: %{text}<extra></extra>" }];
}

function methodTraces(method, points, index, measure) {
  const [value, ofRun] = [measured(setting(), measure), measuredRun(setting(), measure)];
  const style = look(method);
  const tint = colour(method);
  // What is known of a difference is in the change; seeds move all scores together, so that a score has its seeds as dots.
  const error = measure === "difference" ? { interval: "differenceInterval", std: "differenceStd" }[byId("bars").value] : null;
  const spread = points.map((point) => (error ? point[error] : null));
  const means = byId("shown").value === "means";
  const x = points.map((point) => point.x[index]);
  const y = points.map(value);
  const place = (point) => setting().points.indexOf(point);
  const traces = [{
    name: method, meta: "scale", type: "scatter", x, y,
    mode: points.length > 1 ? (means ? "lines+markers" : "lines") : "markers",
    line: { color: tint, width: means ? 1.6 : 1, dash: style.dash },
    marker: { color: tint, symbol: style.symbol, size: points[0].reference ? 13 : 8, opacity: means ? 1 : 0.25 },
    ...(means && spread.some((value) => value !== null)
      ? { error_y: { type: "data", array: spread.map((value) => value ?? 0), color: faint(tint, 0.6), thickness: 1.2, width: 3 } } : {}),
    customdata: points.map((point) => [place(point)]),
    text: points.map((point) => hoverOfMean(point, index)), hovertemplate: "%{text}<extra></extra>",
  }];
  if (!means || measure !== "difference") {
    const runs = points.flatMap((point) => point.runs.map((run) => ({ point, run })));
    traces.push({
      name: method, meta: "seeds", type: "scatter", mode: "markers", x: runs.map(({ run }) => run[2 + index]), y: runs.map(({ run }) => ofRun(run)),
      marker: { color: tint, symbol: means ? "circle" : style.symbol, size: means ? 4 : 7, opacity: means ? 0.45 : 0.75 },
      customdata: runs.map(({ point }) => [place(point)]),
      text: runs.map(({ point, run }) => hoverOfRun(point, run, index)), hovertemplate: "%{text}<extra></extra>",
    });
  }
  return traces;
}

const scored = (value) => `${escaped(setting().metric.label)} ${fixed(value)}${unit(" ", escaped(setting().metric.unit), "")}`;

function hoverOfMean(point, index) {
  const axes = Object.keys(data.axes);
  const lines = [
    `<b>${named(point.method)}</b>${point.budget ? " at " + escaped(point.budget) : ""}`,
    `${scored(point.mean)}${point.std === null ? "" : ` (standard deviation ${fixed(point.std)})`}, ${point.n} ${point.n === 1 ? "seed" : "seeds"}: ${point.runs.map((run) => run[0]).join(", ")}`,
  ];
  if (point.corrupted !== null) lines.push(`on corrupted images ${fixed(point.corrupted)}`);
  if (!point.reference) lines.push(`change ${signed(point.difference)}${plus(point.differenceInterval)} against dense`);
  lines.push(`stored ${whole(point.x[sizeAxis()])}${point.asked === null ? "" : " of " + whole(point.asked) + " asked"}`);
  if (index) lines.push(`${escaped(data.axes[axes[index]])}: ${amount(axes[index], point.x[index])}`);
  if (point.front[index] !== null) lines.push(`on the front with a probability of ${Math.round(100 * point.front[index])} %`);
  return lines.join("<br>");
}

function hoverOfRun(point, run, index) {
  const axes = Object.keys(data.axes);
  return [
    `<b>${named(point.method)}</b>${point.budget ? " at " + escaped(point.budget) : ""}, seed ${run[0]}`,
    scored(run[1]),
    `stored ${whole(run[2 + sizeAxis()])}${point.asked === null ? "" : " of " + whole(point.asked) + " asked"}`,
    ...(index ? [`${escaped(data.axes[axes[index]])}: ${amount(axes[index], run[2 + index])}`] : []),
    `run ${escaped(run[run.length - 1].split("-").at(-1))}`,
  ].join("<br>");
}

function frontTraces(points, index, value) {
  const on = points.filter((point) => point.onFront[index]).sort((one, other) => one.x[index] - other.x[index]);
  const maybe = points.filter((point) => (point.front[index] ?? 0) > 0.005);
  const shade = colours();
  return [
    { name: "front", type: "scatter", mode: "lines", x: on.map((point) => point.x[index]), y: on.map(value), line: { color: faint(toHex(shade.soft), 0.35), width: 6, shape: "hv" }, hoverinfo: "skip" },
    { name: "front", type: "scatter", mode: "markers", x: maybe.map((point) => point.x[index]), y: maybe.map(value), marker: { symbol: "circle-open", size: 17, line: { width: 2, color: maybe.map((point) => faint(toHex(shade.text), point.front[index])) }, color: maybe.map((point) => faint(toHex(shade.text), point.front[index])) }, hoverinfo: "skip" },
  ];
}

const toHex = (text) => (/^#[0-9a-f]{6}$/i.test(text) ? text : "#808080");

function publishedTrace(axis, measure) {
  const points = setting().published;
  const note = byId("published-note");
  const can = points.length && axis === "stored_values" && measure === "mean";
  byId("published").disabled = !can;
  const why = !points.length ? "No published points are known for this network and data." : `Published points have only stored values and ${setting().metric.label}.`;
  byId("published").parentElement.title = can ? "" : why;
  note.hidden = !(can && byId("published").checked);
  if (note.hidden) return null;
  note.textContent = `Hollow marks are published results on ${setting().publishedOn}, from other code and schedules. They were not measured here and can't be compared point by point.`;
  return {
    name: "published", meta: "scale", type: "scatter", mode: "markers", x: points.map((point) => point.stored_values), y: points.map((point) => point.score),
    marker: { symbol: "hexagram-open", size: 11, color: colours().soft, line: { width: 1.5 } },
    text: points.map((point) => `<b>published: ${escaped(point.method)}</b><br>${escaped(setting().metric.label)} ${fixed(point.score)} %, ${whole(point.stored_values)} values<br>${escaped(point.source)}${point.remark ? "; " + escaped(point.remark) : ""}<br>${escaped(setting().publishedOn)}`),
    hovertemplate: "%{text}<extra></extra>",
  };
}
