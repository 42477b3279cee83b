// Tables: sorted by a column, filtered by words, with the columns that are wanted.

function wireTables(part) {
  for (const table of part.querySelectorAll("table.results")) {
    table.querySelectorAll("thead button").forEach((button, column) => {
      button.addEventListener("click", () => {
        const now = table.querySelectorAll("thead th")[column].getAttribute("aria-sort");
        // Numbers from the largest, text from the first letter; a second click turns it round.
        sort(table, column, now ? now === "ascending" : column > 1);
      });
    });
    for (const button of table.querySelectorAll("tbody th button")) {
      button.addEventListener("click", () => openDetails(pointOf(button.closest("tr"))));
    }
  }
}

const tableShown = () => document.querySelector(".setting:not([hidden]) table.results");

// By a column's number, as text; false where there is none.
function sortBy(column, descending) {
  if (!/^\d+$/.test(column) || !tableShown()?.tHead.rows[0].cells[Number(column)]) return false;
  sort(tableShown(), Number(column), descending);
  return true;
}

// The order in which tables came.
function unsort() {
  state.sorted = undefined;
  for (const table of document.querySelectorAll("table.results.sorted")) {
    table.tBodies[0].append(...state.came.get(table));
    table.classList.remove("sorted");
    table.querySelector("[aria-sort]").removeAttribute("aria-sort");
  }
}

// Numbers by their value, the rest as text; what is empty always comes last.
function sort(table, column, descending) {
  const heads = [...table.querySelectorAll("thead th")];
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
  state.sorted = { column, descending };
  const key = (row) => {
    const cell = row.cells[column];
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    const text = nameOf(cell);
    return text === "" ? null : text;
  };
  const body = table.tBodies[0];
  if (!state.came.has(table)) state.came.set(table, [...body.rows]);
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
      const text = [nameOf(row.cells[0]), nameOf(row.cells[1])];
      // "4x" is a budget, whole; other words are parts of a name.
      row.hidden = !words.every((word) => text[0].toLowerCase().includes(word) || text[1].toLowerCase() === word);
      all += 1;
      shown += !row.hidden;
    }
  }
  byId("count").textContent = words.length ? `${shown} of ${all} rows` : `${all} rows`;
}

// The first cell of a row shows a name that may be cut; its title has all of it.
const nameOf = (cell) => cell.title || cell.textContent.trim();

// The point of the figure that a row of the table stands for.
function pointOf(row) {
  return setting().points.findIndex((point) => point.method === nameOf(row.cells[0]) && point.budget === nameOf(row.cells[1]));
}

// ---- columns

function wireColumns() {
  for (const box of byId("columns").querySelectorAll("input")) {
    box.addEventListener("change", () => {
      const wanted = [...byId("columns").querySelectorAll("input")].filter((one) => one.checked);
      chooseColumns(wanted.map((one) => Number(one.value)));
    });
  }
  matchMedia("(max-width: 44rem)").addEventListener("change", () => chooseColumns(state.columns ?? null));
  chooseColumns(null);
}

// By number; null: those that the page opens with, which on a narrow screen are fewer.
function chooseColumns(wanted) {
  state.columns = wanted;
  const boxes = [...byId("columns").querySelectorAll("input")];
  const level = matchMedia("(max-width: 44rem)").matches ? 1 : 2;
  const shown = new Set(wanted ?? boxes.filter((box) => Number(box.dataset.level) <= level).map((box) => Number(box.value)));
  for (const box of boxes) box.checked = shown.has(Number(box.value));
  byId("hidden-columns").textContent = boxes
    .filter((box) => !box.checked)
    .map((box) => `table.results tr > :nth-child(${Number(box.value) + 1}) { display: none; }`)
    .join("\n");
}

const columnsShown = () => [0, ...[...byId("columns").querySelectorAll("input")].filter((box) => box.checked).map((box) => Number(box.value))];
