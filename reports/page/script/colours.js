// Colours of the theme and of methods, and what all figures have in common.

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

function axisLook() {
  const shade = colours();
  return { gridcolor: shade.grid, linecolor: shade.line, zeroline: false, ticks: "outside", tickcolor: shade.line };
}

function layout(extra) {
  const shade = colours();
  const axis = { ...axisLook(), automargin: true };
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
