// Elements out of data. Text is always text: nothing that a player wrote becomes markup.

/** An element: `h("p", { class: "soft" }, "text", child)`. */
export function h(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const WHEN = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** A moment, in the reader's time zone; the exact one is in the title. */
export function when(ms) {
  if (ms === null || ms === undefined) return "–";
  const date = new Date(ms);
  return h("time", { datetime: date.toISOString(), title: date.toISOString() }, WHEN.format(date));
}

export const number = (value) => new Intl.NumberFormat().format(value);

/** An amount in minor units of a currency: 499 of eur is 4.99 €. */
export function money(minor, currency) {
  const format = new Intl.NumberFormat(undefined, { style: "currency", currency });
  return format.format(minor / 10 ** format.resolvedOptions().maximumFractionDigits);
}

export const badge = (text, tone) => h("span", { class: "badge", "data-tone": tone }, text);

/** A panel with a title, and what is at the end of its line. */
export function panel(title, end, ...children) {
  return h("section", { class: "panel" }, h("header", {}, h("h2", {}, title), end && h("span", { class: "end" }, end)), ...children);
}

/** A table, or a sentence where there is nothing. A column is [title, class]; a row is a list of cells. */
export function table(columns, rows, nothing) {
  if (rows.length === 0) return h("p", { class: "empty" }, nothing);
  const head = h("tr", {}, columns.map(([title, kind]) => h("th", { class: kind, scope: "col" }, title)));
  const body = rows.map((cells) => h("tr", {}, cells.map((cell, index) => h("td", { class: columns[index][1] }, cell))));
  return h("div", { class: "wide" }, h("table", {}, h("thead", {}, head), h("tbody", {}, body)));
}

/** A labelled field of a form. */
export function field(label, input, grow) {
  return h("label", { class: grow && "grow" }, label, input);
}

export function choice(name, options) {
  return h("select", { name }, options.map(([value, text]) => h("option", { value }, text)));
}

/** Asks for a reason (and what else is asked); resolves to the fields, or null. */
export function ask(title, text, fields, verb, tone) {
  return new Promise((resolve) => {
    const form = h("form", { method: "dialog" }, h("h2", {}, title), h("p", { class: "soft" }, text), fields,
      h("div", { class: "ends" }, h("button", { type: "button", onclick: () => dialog.close("") }, "Cancel"),
        h("button", { class: tone || "main", value: "ok" }, verb)));
    const dialog = h("dialog", {}, form);
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "ok" ? Object.fromEntries(new FormData(form)) : null);
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
