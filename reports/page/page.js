// Draws the figures from the data in the page, with plotly, and lets tables be sorted and filtered.
// Nothing is loaded, and no text from a record becomes HTML: it is set as text, or escaped for plotly's own markup.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;
  const state = { setting: 0, on: new Map() };
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
    if (byId("setting")) byId("setting").addEventListener("change", () => choose(Number(byId("setting").value)));
    for (const id of ["axis", "scale", "measure", "shown", "bars", "front", "reference", "published"]) {
      byId(id).addEventListener("change", drawAccuracy);
    }
    for (const id of ["metric", "curves-budget"]) byId(id).addEventListener("change", drawCurves);
    for (const id of ["layers-budget", "layers-method"]) byId(id).addEventListener("change", drawLayers);
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
    await choose(0);
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

  // ---- text

  const isolated = (text) => "\u2068" + text + "\u2069"; // right-to-left names stay inside themselves
  const shorten = (text, length) => (text.length > length ? text.slice(0, length - 1) + "…" : text);
  const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const named = (text, length = 60) => isolated(escaped(shorten(String(text), length)));
  const whole = (value) => (value === null ? "unknown" : Math.round(value).toLocaleString("en-US"));
  const fixed = (value, digits = 2) => (value === null ? "unknown" : rounded(value, digits));
  const signed = (value) => (value === null ? "unknown" : (value > 0 ? "+" : "") + rounded(value, 2));
  const plus = (value) => (value === null ? "" : " ± " + rounded(value, 2));

  // As the tables do, which are made in Python: what lies just between two is rounded to the even one, 80.125 to 80.12.
  function rounded(value, digits) {
    const exact = value.toFixed(60);
    const [kept, rest] = [exact.slice(0, digits - 60), exact.slice(digits - 60)];
    return /^50*$/.test(rest) && "02468".includes(kept.at(-1)) ? kept : value.toFixed(digits);
  }

  function amount(axis, value) {
    if (value === null) return "not measured";
    if (axis === "latency_ms") return Number(value.toPrecision(3)) + " ms";
    if (axis === "train_seconds") return Number(value.toPrecision(3)) + " s";
    return whole(value);
  }

  // ---- colours

  function colours() {
    const style = getComputedStyle(root);
    const of = (name) => style.getPropertyValue(name).trim();
    return { page: of("--page"), text: of("--text"), soft: of("--soft"), grid: of("--grid"), line: of("--line") };
  }

  const look = (method) => data.looks[method];
  const colour = (method) => (isDark() ? look(method).dark : look(method).light);

  function faint(hex, opacity) {
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    return `rgba(${red},${green},${blue},${opacity})`;
  }

  function layout(extra) {
    const shade = colours();
    const axis = { gridcolor: shade.grid, linecolor: shade.line, zeroline: false, automargin: true, ticks: "outside", tickcolor: shade.line };
    const { xaxis = {}, yaxis = {}, ...rest } = extra;
    return {
      paper_bgcolor: shade.page, plot_bgcolor: shade.page, showlegend: false, hovermode: "closest",
      font: { color: shade.text, family: "system-ui, sans-serif", size: 13 },
      margin: { l: 60, r: 16, t: 16, b: 56 },
      hoverlabel: { align: "left", bgcolor: shade.page, bordercolor: shade.line, font: { color: shade.text } },
      xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...rest,
    };
  }

  const plotOptions = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  const draw = (id, traces, extra) => Plotly.react(byId(id), traces, layout(extra), plotOptions);

  // ---- the setting and its methods

  const setting = () => data.settings[state.setting];

  async function choose(index) {
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
    byId("methods").replaceChildren(...names.map(methodSwitch));
    fill("layers-budget", [...new Set(setting().layers.rows.map((row) => row.budget))].sort(byBudget));
    fill("curves-budget", [...new Set(setting().curves.map((curve) => curve.budget).filter(Boolean))].sort(byBudget));
    const runs = setting().spaces.map((run) => `${run.method} ${run.budget} seed ${run.seed}`);
    fill("codes-run", runs.map((_, position) => String(position)), runs);
    filterTable();
    drawAll();
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
    text.textContent = name;
    text.title = name;
    label.append(box, swatch(name), text);
    return label;
  }

  const shapes = {
    circle: "M8 3.5a4.5 4.5 0 1 0 .01 0z", square: "M4 4h8v8H4z", diamond: "M8 2.5 13.5 8 8 13.5 2.5 8z",
    "triangle-up": "M8 3l5.5 9.5h-11z", "triangle-down": "M8 13 2.5 3.5h11z",
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
    const size = (text) => (text === "" ? Infinity : text.endsWith("x") ? parseFloat(text) : parseFloat(text) < 1 ? 1 / parseFloat(text) : 1e12 / parseFloat(text));
    return size(one) - size(other);
  }

  function fill(id, values, texts = values) {
    // The choice stays where it can, but nothing was chosen among nothing.
    const before = byId(id).options.length ? byId(id).value : null;
    byId(id).replaceChildren(...values.map((value, index) => {
      const option = document.createElement("option");
      option.value = value;
      option.textContent = texts[index] || "own size";
      return option;
    }));
    if (values.includes(before)) byId(id).value = before;
    byId(id).disabled = !values.length;
  }

  function drawAll() {
    for (const label of byId("methods").children) label.querySelector("svg").replaceWith(swatch(label.querySelector("input").value));
    drawMethods();
    drawCodes();
  }

  function drawMethods() {
    drawAccuracy();
    drawLayers();
    drawCurves();
  }

  // ---- accuracy

  function drawAccuracy() {
    const axis = byId("axis").value;
    const index = Object.keys(data.axes).indexOf(axis);
    const measure = byId("measure").value;
    const points = setting().points.filter((point) => point.x[index] !== null && point[measure] !== null);
    const reference = points.filter((point) => point.reference);
    const others = points.filter((point) => !point.reference && state.on.get(point.method));
    const seen = byId("reference").checked ? [...others, ...reference] : others;
    const ofDense = new Map(reference.flatMap((point) => point.runs.map((run) => [run[0], run[1]])));
    const traces = [];
    if (byId("front").checked) traces.push(...frontTraces(points, index, measure));
    for (const method of new Set(seen.map((point) => point.method))) {
      // In the order of its budgets: over latency, say, that of x would be a zigzag.
      const own = seen.filter((point) => point.method === method).sort((one, other) => (one.asked ?? one.x[0]) - (other.asked ?? other.x[0]));
      traces.push(...methodTraces(method, own, index, measure, ofDense));
    }
    const shown = publishedTrace(axis, measure);
    if (shown) traces.push(shown);
    const shade = colours();
    const level = !byId("reference").checked ? null : measure === "difference" ? 0 : reference.length ? reference[0][measure] : null;
    const values = traces.flatMap((trace) => (trace.meta === "scale" ? trace.y : []));
    if (level !== null) values.push(level);
    const [low, high] = limits(values);
    traces.push(...arrows(traces, low, high));
    draw("accuracy-plot", traces, {
      xaxis: { type: byId("scale").value, title: { text: data.axes[axis] }, exponentformat: "SI", tickformat: "~s", ...(byId("scale").value === "log" ? { dtick: "D2" } : { rangemode: "tozero" }) },
      yaxis: { title: { text: measure === "mean" ? `test ${setting().metric.label}${unit(" (", setting().metric.unit, ")")}` : `change against dense${unit(" (", setting().metric.points, ")")}` }, ...(values.length ? { range: [low, high] } : {}) },
      shapes: level === null ? [] : [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: level, y1: level, line: { color: shade.soft, width: 1, dash: "dot" }, layer: "below" }],
      annotations: values.length ? [] : [{ text: "nothing to draw: switch a method on, or choose what was measured", showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5 }],
    });
    byId("front-note").textContent = byId("front").checked
      ? "The Pareto front is over all methods, also those switched off; its rings are the darker, the more probable it is that a point is on it, and sizes within 1 % count as equal."
      : "";
  }

  const unit = (before, text, after) => (text ? before + text + after : "");

  // All means, but for those of methods that collapsed, which would squeeze the others: those further below the best than
  // four times what half of the means are. As in the figures for papers.
  function limits(values) {
    if (!values.length) return [0, 1];
    const sign = setting().metric.higher ? 1 : -1;
    const gains = values.filter((value) => value !== null).map((value) => sign * value).sort((one, other) => one - other);
    const best = gains[gains.length - 1];
    const middle = (gains[(gains.length - 1) >> 1] + gains[gains.length >> 1]) / 2;
    const lowest = Math.max(gains[0], best - 4 * Math.max(best - middle, 1e-9));
    const shown = gains.filter((value) => value >= lowest);
    const room = Math.max(0.1 * (best - shown[0]), setting().metric.unit === "%" ? 0.25 : 1e-3);
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

  function methodTraces(method, points, index, measure, ofDense) {
    const style = look(method);
    const tint = colour(method);
    // What is known of a difference is in the change; seeds move all scores together, so that a score has its seeds as dots.
    const error = measure === "difference" ? { interval: "differenceInterval", std: "differenceStd" }[byId("bars").value] : null;
    const spread = points.map((point) => (error ? point[error] : null));
    const means = byId("shown").value === "means";
    const x = points.map((point) => point.x[index]);
    const y = points.map((point) => point[measure]);
    const traces = [{
      name: method, meta: "scale", type: "scatter", x, y,
      mode: points.length > 1 ? (means ? "lines+markers" : "lines") : "markers",
      line: { color: tint, width: means ? 1.6 : 1, dash: style.dash },
      marker: { color: tint, symbol: style.symbol, size: points[0].reference ? 13 : 8, opacity: means ? 1 : 0.25 },
      ...(means && spread.some((value) => value !== null)
        ? { error_y: { type: "data", array: spread.map((value) => value ?? 0), color: faint(tint, 0.6), thickness: 1.2, width: 3 } } : {}),
      text: points.map((point) => hoverOfMean(point, index)), hovertemplate: "%{text}<extra></extra>",
    }];
    if (!means || measure === "mean") {
      const runs = points.flatMap((point) => point.runs.map((run) => ({ point, run })));
      const at = ({ run }) => (measure === "mean" ? run[1] : ofDense.has(run[0]) ? run[1] - ofDense.get(run[0]) : null);
      traces.push({
        name: method, meta: "seeds", type: "scatter", mode: "markers", x: runs.map(({ run }) => run[2 + index]), y: runs.map(at),
        marker: { color: tint, symbol: means ? "circle" : style.symbol, size: means ? 4 : 7, opacity: means ? 0.45 : 0.75 },
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
    if (!point.reference) lines.push(`change ${signed(point.difference)}${plus(point.differenceInterval)} against dense`);
    lines.push(`stored ${whole(point.x[0])}${point.asked === null ? "" : " of " + whole(point.asked) + " asked"}`);
    if (index) lines.push(`${escaped(data.axes[axes[index]])}: ${amount(axes[index], point.x[index])}`);
    if (point.front[index] !== null) lines.push(`on the front with a probability of ${Math.round(100 * point.front[index])} %`);
    return lines.join("<br>");
  }

  function hoverOfRun(point, run, index) {
    const axes = Object.keys(data.axes);
    return [
      `<b>${named(point.method)}</b>${point.budget ? " at " + escaped(point.budget) : ""}, seed ${run[0]}`,
      scored(run[1]),
      `stored ${whole(run[2])}${point.asked === null ? "" : " of " + whole(point.asked) + " asked"}`,
      ...(index ? [`${escaped(data.axes[axes[index]])}: ${amount(axes[index], run[2 + index])}`] : []),
      `run ${escaped(run[run.length - 1])}`,
    ].join("<br>");
  }

  function frontTraces(points, index, measure) {
    const on = points.filter((point) => point.onFront[index]).sort((one, other) => one.x[index] - other.x[index]);
    const maybe = points.filter((point) => (point.front[index] ?? 0) > 0.005);
    const shade = colours();
    return [
      { name: "front", type: "scatter", mode: "lines", x: on.map((point) => point.x[index]), y: on.map((point) => point[measure]), line: { color: faint(toHex(shade.soft), 0.35), width: 6, shape: "hv" }, hoverinfo: "skip" },
      { name: "front", type: "scatter", mode: "markers", x: maybe.map((point) => point.x[index]), y: maybe.map((point) => point[measure]), marker: { symbol: "circle-open", size: 17, line: { width: 2, color: maybe.map((point) => faint(toHex(shade.text), point.front[index])) }, color: maybe.map((point) => faint(toHex(shade.text), point.front[index])) }, hoverinfo: "skip" },
    ];
  }

  const toHex = (text) => (/^#[0-9a-f]{6}$/i.test(text) ? text : "#808080");

  function publishedTrace(axis, measure) {
    const points = setting().published;
    const note = byId("published-note");
    const can = points.length && axis === "stored_values" && measure === "mean";
    byId("published").disabled = !can;
    const why = !points.length ? "No published points are known for this network and data." : "Published points have stored values and top-1 alone.";
    byId("published").parentElement.title = can ? "" : why;
    note.hidden = !(can && byId("published").checked);
    if (note.hidden) return null;
    note.textContent = `Hollow marks are published results, on ${data.publishedOn}, from other code and schedules: not measured here, and not comparable point by point.`;
    return {
      name: "published", meta: "scale", type: "scatter", mode: "markers", x: points.map((point) => point.stored_values), y: points.map((point) => point.test_top1),
      marker: { symbol: "hexagram-open", size: 11, color: colours().soft, line: { width: 1.5 } },
      text: points.map((point) => `<b>published: ${escaped(point.method)}</b><br>top-1 ${fixed(point.test_top1)} %, ${whole(point.stored_values)} values<br>${escaped(point.source)}${point.remark ? "; " + escaped(point.remark) : ""}<br>${escaped(data.publishedOn)}`),
      hovertemplate: "%{text}<extra></extra>",
    };
  }

  // ---- layers

  function drawLayers() {
    const { names, dense, rows } = setting().layers;
    const budget = byId("layers-budget").value;
    const here = rows.filter((row) => row.budget === budget && state.on.get(row.method));
    fill("layers-method", here.map((row) => row.method));
    const method = byId("layers-method").value;
    const known = here.length > 0;
    byId("layers-map").hidden = byId("layers-bars").hidden = !known;
    byId("layers-note").textContent = known
      ? `At ${budget || "its own size"}. Above: the share of its stored values that each method spends on each layer, each row 100 %. Below: the values themselves, of ${method}. What is shared (generators, bases, templates, centres) belongs to no layer.`
      : "Nothing to show: it takes a method that is switched on, and layers.csv in its run and in one of the dense reference (early versions wrote none).";
    if (!known) return;
    const lines = [{ method: "dense", values: [...dense, 0] }, ...here].reverse();
    const shares = lines.map((line) => { const total = line.values.reduce((sum, value) => sum + value, 0); return line.values.map((value) => 100 * value / total); });
    const shade = colours();
    draw("layers-map", [{
      type: "heatmap", x: names, y: lines.map((line) => shorten(line.method, 30)), z: shares, colorscale: isDark() ? [[0, "#161c24"], [0.02, "#1d3a5c"], [0.3, "#3f8ad0"], [1, "#e8f3ff"]] : [[0, "#ffffff"], [0.02, "#dbe9f6"], [0.3, "#5a9bd5"], [1, "#08306b"]],
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

  // ---- training

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
      ? (budget ? `At ${budget}, beside what has a size of its own. ` : "") + "Means over seeds; bands are one standard deviation. Where a method compresses a trained network, its curve begins with the dense epochs."
      : "No training histories: switch a method on, or these runs kept none.";
  }

  // ---- code space

  function drawCodes() {
    const run = setting().spaces[Number(byId("codes-run").value || 0)];
    byId("codes-note").textContent = run
      ? "What the generator has learned: its slices as pictures (each cell is one kernel of an input and an output channel; blue is positive, orange negative; one that was learned in part ends in white), and where the codes of each layer lie along their first two principal components. Early layers are dark, late ones light."
      : "No run here has a code space: it is recorded for csg.";
    for (const old of byId("codes-spaces").querySelectorAll(".plot")) Plotly.purge(old);
    byId("codes-spaces").replaceChildren();
    if (!run) return;
    run.spaces.forEach((space, position) => {
      const pictures = document.createElement("figure");
      const caption = document.createElement("figcaption");
      caption.textContent = `${space.name} kernels: ${space.shown === space.pieces ? "all" : "the " + space.shown + " most used of"} ${space.pieces} slices`;
      const image = document.createElement("img");
      image.src = "data:image/png;base64," + space.picture;
      image.width = space.width * Math.max(1, Math.floor(600 / space.width));
      image.alt = `${space.shown} slices of the generator of ${space.name} kernels, as pictures`;
      pictures.append(caption, image);
      const points = document.createElement("figure");
      const title = document.createElement("figcaption");
      const shares = space.variance.map((share) => Math.round(100 * share) + " %").join(" and ");
      title.textContent = `Codes of ${space.layers.length} layers (${space.points.length === space.codes ? "all" : space.points.length + " of"} ${space.codes}); the two axes hold ${shares} of their variance`;
      const plot = document.createElement("div");
      plot.className = "plot low";
      plot.id = `codes-plot-${position}`;
      plot.setAttribute("role", "figure");
      plot.setAttribute("aria-label", title.textContent);
      points.append(title, plot);
      byId("codes-spaces").append(pictures, points);
      draw(plot.id, [{
        type: "scatter", mode: "markers", x: space.points.map((point) => point[0]), y: space.points.map((point) => point[1]),
        marker: { color: space.points.map((point) => point[2]), colorscale: "Viridis", cmin: 0, cmax: Math.max(1, space.layers.length - 1), size: 7, opacity: 0.85, colorbar: layerScale(space.layers) },
        text: space.points.map((point) => escaped(space.layers[point[2]])), hovertemplate: "%{text}<extra></extra>",
      }], { xaxis: { title: { text: "first component" } }, yaxis: { title: { text: "second component" }, scaleanchor: "x" } });
    });
  }

  // The layers beside the colours that stand for them: all, or of many some.
  function layerScale(layers) {
    const step = Math.ceil(layers.length / 10);
    const shown = layers.map((_, index) => index).filter((index) => index % step === 0);
    return { thickness: 10, outlinewidth: 0, tickvals: shown, ticktext: shown.map((index) => named(layers[index], 24)), tickfont: { size: 11 } };
  }

  // ---- tables

  function wireTables(part) {
    for (const table of part.querySelectorAll("table.results")) {
      table.querySelectorAll("thead button").forEach((button, column) => {
        button.addEventListener("click", () => sort(table, column));
      });
    }
  }

  // Numbers by their value, the rest as text; what is empty always comes last.
  function sort(table, column) {
    const heads = [...table.querySelectorAll("thead th")];
    const descending = heads[column].getAttribute("aria-sort") !== "descending" && column > 1 || heads[column].getAttribute("aria-sort") === "ascending";
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
    const key = (row) => {
      const cell = row.cells[column];
      if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
      return cell.textContent.trim() === "" ? null : cell.textContent.trim();
    };
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [key(row), row]);
    const sign = descending ? -1 : 1;
    rows.sort(([one], [other]) => {
      if (one === null || other === null) return (one === null) - (other === null);
      if (typeof one === "number" && typeof other === "number") return sign * (one - other);
      return sign * String(one).localeCompare(String(other), "en", { numeric: true });
    });
    body.append(...rows.map(([, row]) => row));
    table.classList.add("sorted");
  }

  function filterTable() {
    const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    let all = 0;
    for (const table of document.querySelectorAll(".setting:not([hidden]) table.results")) {
      for (const row of table.tBodies[0].rows) {
        const text = [row.cells[0].textContent, row.cells[1].textContent];
        // "4x" is a budget, whole; other words are parts of a name.
        row.hidden = !words.every((word) => text[0].toLowerCase().includes(word) || text[1].trim().toLowerCase() === word);
        all += 1;
        shown += !row.hidden;
      }
    }
    byId("count").textContent = words.length ? `${shown} of ${all} rows` : `${all} rows`;
  }

  start().catch((error) => {
    problem(`The figures can't be drawn (${error}); the tables are all here.`);
    throw error;
  });
})();
