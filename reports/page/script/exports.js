// What the table shows, with its rows, their order and its columns, as a file: CSV with whole numbers, Markdown or LaTeX.

function wireExports() {
  const kinds = { csv: [asCsv, "text/csv"], md: [asMarkdown, "text/markdown"], tex: [asLatex, "text/x-tex"] };
  for (const button of byId("exports").querySelectorAll("button")) {
    button.addEventListener("click", () => {
      const [write, type] = kinds[button.value];
      const link = document.createElement("a");
      link.download = `bench-table.${button.value}`;
      link.href = URL.createObjectURL(new Blob([write(tableShown())], { type: `${type};charset=utf-8` }));
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    });
  }
}

const bodyRows = (table) => [...table.tBodies[0].rows].filter((row) => !row.hidden);
const headOf = (table, column) => table.tHead.rows[0].cells[column].textContent.trim();
const titleOf = (table) => table.closest(".setting").querySelector("h3").textContent;

function asCsv(table) {
  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const columns = columnsShown();
  const heads = columns.flatMap((column) => {
    const more = table.tHead.rows[0].cells[column].dataset.w;
    return more ? [headOf(table, column), `${headOf(table, column)}: ${more}`] : [headOf(table, column)];
  });
  const lines = bodyRows(table).map((row) => columns.flatMap((column) => {
    const cell = row.cells[column];
    const own = cell.dataset.v ?? nameOf(cell);
    return table.tHead.rows[0].cells[column].dataset.w ? [own, cell.dataset.w ?? ""] : [own];
  }));
  return [heads, ...lines].map((line) => line.map(quoted).join(",") + "\n").join("");
}

function asMarkdown(table) {
  const safe = (text) => text.replace(/\s+/g, " ").replace(/[\\|`[\]*_~#>]/g, "\\$&").replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const columns = columnsShown();
  const line = (cells) => `| ${cells.join(" | ")} |\n`;
  const rows = bodyRows(table).map((row) => columns.map((column) => {
    const text = safe(shownText(row.cells[column]));
    return row.cells[column].querySelector("strong") ? `**${text}**` : text;
  }));
  return `${safe(titleOf(table))}\n\n${line(columns.map((column) => safe(headOf(table, column))))}${line(columns.map((column) => (column < 2 ? "---" : "---:")))}${rows.map(line).join("")}`;
}

const TEX = { "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", $: "\\$", "&": "\\&", "#": "\\#", "%": "\\%", _: "\\_", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}", ">": "\\textgreater{}", "|": "\\textbar{}", '"': "''", "[": "{[}", "]": "{]}", "*": "{*}", "±": "$\\pm$", "…": "\\ldots{}" };

function asLatex(table) {
  const safe = (text) => [...text.replace(/\p{C}/gu, "")].map((letter) => TEX[letter] ?? letter).join("");
  const columns = columnsShown();
  const line = (cells) => `${cells.join(" & ")} \\\\\n`;
  const rows = bodyRows(table).map((row) => line(columns.map((column) => {
    const text = safe(shownText(row.cells[column]));
    return row.cells[column].querySelector("strong") ? `\\textbf{${text}}` : text;
  })));
  return `% \\usepackage{booktabs}; bold: may be the best of its budget\n\\begin{table*}\n\\centering\\footnotesize\n\\caption{${safe(titleOf(table))}}\n\\begin{tabular}{ll${"r".repeat(columns.length - columns.filter((column) => column < 2).length)}}\n`.replace("{ll", columns.includes(1) ? "{ll" : "{l") +
    `\\toprule\n${line(columns.map((column) => safe(headOf(table, column))))}\\midrule\n${rows.join("")}\\bottomrule\n\\end{tabular}\n\\end{table*}\n`;
}

// As it stands there, without what only screen readers say; a name whole.
function shownText(cell) {
  const best = cell.querySelector("strong");
  return best ? best.textContent : nameOf(cell);
}
