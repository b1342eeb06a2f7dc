// A table that is updated in place: rows keep their elements, so focus and selection stay where they are.

import { element, put } from "/format.js";

/** `columns`: `{ name, cell(row), number?, whole? }`; `key(row)` names a row; `empty` is shown without rows. */
export class Table {
  constructor(target, columns, key, empty) {
    this.target = target;
    this.columns = columns;
    this.key = key;
    this.rows = new Map();
    this.body = element("tbody");
    const heads = columns.map((column) => element("th", { scope: "col", class: column.number ? "number" : null }, column.name));
    this.table = element("table", { class: "cards" }, element("thead", {}, element("tr", {}, ...heads)), this.body);
    this.empty = element("p", { class: "empty" }, empty);
    target.classList.add("scroll");
    target.replaceChildren(this.empty);
  }

  show(rows) {
    const shown = rows.length > 0 ? this.table : this.empty;
    if (this.target.firstChild !== shown) this.target.replaceChildren(shown);
    const wanted = new Set(rows.map(this.key));
    for (const [key, line] of this.rows) {
      if (!wanted.has(key)) {
        line.remove();
        this.rows.delete(key);
      }
    }
    rows.forEach((row, place) => {
      const line = this.line(this.key(row));
      if (this.body.children[place] !== line) this.body.insertBefore(line, this.body.children[place] ?? null);
      line.className = row.rowClass ?? "";
      this.columns.forEach((column, n) => put(line.children[n], column.cell(row)));
    });
  }

  line(key) {
    let line = this.rows.get(key);
    if (!line) {
      const cells = this.columns.map((column) => {
        const kind = [column.number && "number", column.whole && "whole"].filter(Boolean).join(" ");
        return element("td", { class: kind || null, "data-label": column.name });
      });
      line = element("tr", {}, ...cells);
      this.rows.set(key, line);
    }
    return line;
  }
}
