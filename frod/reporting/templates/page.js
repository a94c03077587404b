"use strict";
// Sorting by a table's headers, and a filter above long tables. Nothing here makes content: without it all can be read.
(() => {
  const LONG = 9; // rows from which a table gets a filter
  const element = (name, properties, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  // What a cell is sorted by: its number where it has one, else its text.
  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
  };

  // Numbers before text, in either direction: a dash among numbers is no smallest number.
  const compare = (a, b, direction) => {
    const numeric = [typeof a === "number", typeof b === "number"];
    if (numeric[0] !== numeric[1]) return numeric[0] ? -1 : 1;
    return direction * (numeric[0] ? a - b : a.localeCompare(b, "en", { numeric: true }));
  };

  const sort = (table, header) => {
    const ascending = header.ariaSort !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row) => [key(row, header.cellIndex), row]);
    keyed.sort((a, b) => compare(a[0], b[0], ascending ? 1 : -1));
    body.append(...keyed.map(([, row]) => row));
    table.classList.add("sorted");
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const header of table.tHead.rows[0].cells) {
      const button = element("button", { type: "button", title: "Sort" }, ...header.childNodes);
      button.addEventListener("click", () => sort(table, header));
      header.append(button);
    }
  }

  // A choice among the values that rows have under data-NAME; none where they have but one.
  const choice = (rows, name, label) => {
    const values = [...new Set(rows.map((row) => row.dataset[name]).filter((value) => value !== undefined))];
    if (values.length < 2) return null;
    const options = ["", ...values].map((value) => element("option", { value, textContent: value || label }));
    return element("select", { ariaLabel: label }, ...options);
  };

  const addFilter = (table) => {
    const rows = [...table.tBodies[0].rows];
    if (rows.length < LONG) return;
    const text = element("input", { type: "search", placeholder: "Filter rows", ariaLabel: "Filter rows" });
    const first = table.tHead.rows[0].cells[0].textContent.trim();
    const choices = { group: choice(rows, "group", `Every ${first}`), method: choice(rows, "method", "Every method") };
    const count = element("output", { textContent: `${rows.length} rows` });
    const apply = () => {
      const words = text.value.toLowerCase().split(/\s+/);
      let shown = 0;
      for (const row of rows) {
        const content = row.textContent.toLowerCase();
        const chosen = Object.entries(choices).every(([name, c]) => !c || !c.value || row.dataset[name] === c.value);
        row.hidden = !(chosen && words.every((word) => content.includes(word)));
        shown += !row.hidden;
      }
      count.textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
    };
    const controls = [text, ...Object.values(choices).filter(Boolean)];
    for (const control of controls) control.addEventListener(control === text ? "input" : "change", apply);
    table.parentElement.before(element("div", { className: "controls" }, ...controls, count));
  };

  for (const table of document.querySelectorAll("table.filterable")) addFilter(table);
})();
