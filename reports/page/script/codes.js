// Code spaces: slices as pictures, and codes on two principal components.

function drawCodes() {
  const run = setting().spaces[Number(byId("codes-run").value || 0)];
  byId("codes-note").textContent = run
    ? "The learned slices of the generator as pictures: each cell is one kernel of an input and an output channel, blue is positive, orange is negative, and a partial slice ends in white. The points are the codes of each layer along their first two principal components. Early layers are dark, late layers light."
    : "No run here has a code space; only csg records one.";
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
    // Both axes have one scale, so the numbers beside them depend on the room. Margins that follow these numbers change
    // it, and may never come to rest (plotly.js, issues 2704 and 4572).
    const fixed = { automargin: false };
    draw(plot.id, [{
      type: "scatter", mode: "markers", x: space.points.map((point) => point[0]), y: space.points.map((point) => point[1]),
      marker: { color: space.points.map((point) => point[2]), colorscale: "Viridis", cmin: 0, cmax: Math.max(1, space.layers.length - 1), size: 7, opacity: 0.85, colorbar: layerScale(space.layers) },
      text: space.points.map((point) => escaped(space.layers[point[2]])), hovertemplate: "%{text}<extra></extra>",
    }], {
      margin: { l: 82, r: 16, t: 16, b: 56 },
      xaxis: { title: { text: "first component" }, ...fixed }, yaxis: { title: { text: "second component" }, scaleanchor: "x", ...fixed },
    });
  });
}

// The layers beside the colours that stand for them: all, or of many some.
function layerScale(layers) {
  const step = Math.ceil(layers.length / 10);
  const shown = layers.map((_, index) => index).filter((index) => index % step === 0);
  return { thickness: 10, outlinewidth: 0, tickvals: shown, ticktext: shown.map((index) => named(layers[index], 24)), tickfont: { size: 11 } };
}
