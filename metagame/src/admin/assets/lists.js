// Players that are looked for, open appeals, the audit log.

import { order, read } from "/ui/api.js";
import { ask, badge, field, h, panel, table, when } from "/ui/dom.js";
import { act } from "/ui/page.js";

export const playerLink = (id, text) => h("a", { href: `#/players/${id}` }, text || h("span", { class: "mono" }, id));

export function standing(found) {
  if (found.erased_at_ms) return badge("erased");
  if (!found.barred_until_ms) return badge("free", "good");
  return badge("banned", "bad");
}

export async function players(query) {
  document.title = "Players · Muster";
  const search = query.get("search") || "";
  const input = h("input", { name: "search", value: search, autofocus: true, placeholder: "Ada, ada@example.org, or an id" });
  const form = h("form", { class: "tall", role: "search", onsubmit: (event) => {
    event.preventDefault();
    location.hash = `#/players?search=${encodeURIComponent(input.value)}`;
  } }, field("Begin of a name, a whole e-mail address, or an id", input, true), h("button", { class: "main" }, "Search"));
  if (!search.trim()) return [panel("Players", null, form)];
  const found = await read(`/players?search=${encodeURIComponent(search)}`);
  const rows = found.map((one) => [playerLink(one.player_id, one.name), h("span", { class: "mono" }, one.player_id), standing(one),
    one.created_at_ms ? when(one.created_at_ms) : "–"]);
  const shown = found.length === 50 ? "The first 50: say more of the name" : `${found.length} found`;
  return [panel("Players", null, form), panel("Found", h("span", { class: "soft" }, shown),
    table([["Name"], ["Id"], ["State", "tight"], ["Since", "tight"]], rows, "Nobody: names are found by how they begin."))];
}

/** What can be said to a sanction that holds. */
export async function decide(verb, one) {
  const title = verb === "lift" ? `Lift this ${one.kind}?` : `Leave this ${one.kind} as it is?`;
  const said = await ask(title, "The code is in the audit log for ever; words about the player go into the note, which is erased with it.",
    [field("Reason (a code)", h("input", { name: "reason", required: true, pattern: "[a-z0-9-]{1,64}", value: verb === "lift" ? "mistake" : "evidence-stands" })),
      field("Note", h("textarea", { name: "note", rows: "3", maxlength: "2000" }))], verb === "lift" ? "Lift" : "Uphold");
  if (said) await act(() => order(`/sanctions/${one.sanction_id}/${verb}`, { reason: said.reason, note: said.note || null }), verb === "lift" ? "It is lifted." : "It stands.");
}

export async function appeals() {
  document.title = "Appeals · Muster";
  const open = await read("/appeals");
  const rows = open.map((one) => [playerLink(one.player_id), [badge(one.kind, one.kind === "ban" ? "bad" : "warn"), " ", one.reason,
    one.note && h("span", { class: "under" }, one.note)], h("span", { class: "say" }, one.appeal || "–"), when(one.appealed_at_ms),
    [h("button", { onclick: () => decide("lift", one) }, "Lift"), " ", h("button", { onclick: () => decide("uphold", one) }, "Uphold")]]);
  return [panel("Appeals that nobody has answered", h("span", { class: "soft" }, String(open.length)),
    table([["Player"], ["Against"], ["What the player says"], ["Since", "tight"], ["", "tight"]], rows, "None."))];
}

/** Rows of the audit log. */
export function actsTable(all, withSubject) {
  const columns = [["No.", "number"], ["When", "tight"], ["Who", "tight"], ["What", "tight"], ...(withSubject ? [["To"]] : []), ["Why"]];
  const rows = all.map((one) => {
    const id = one.subject.startsWith("player:") ? one.subject.slice(7) : null;
    const to = id ? playerLink(id) : h("span", { class: "mono" }, one.subject);
    const detail = one.detail && Object.entries(one.detail).filter(([, value]) => value !== null);
    const why = [one.reason || "–", one.note && h("span", { class: "under" }, one.note),
      detail?.length > 0 && h("span", { class: "under mono" }, detail.map(([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", "))];
    return [String(one.number), when(one.at_ms), one.actor.replace(/^operator:/, ""), badge(one.act), ...(withSubject ? [to] : []), why];
  });
  return table(columns, rows, "Nothing was done.");
}

export async function acts(query) {
  document.title = "Audit log · Muster";
  const before = query.get("before");
  const page = await read(`/acts?limit=50${before ? `&before=${encodeURIComponent(before)}` : ""}`);
  const older = page.next_before && h("a", { href: `#/acts?before=${page.next_before}` }, "Older");
  const newest = before && h("a", { href: "#/acts" }, "Newest");
  return [panel("Audit log", [newest, " ", older], actsTable(page.acts, true),
    h("p", { class: "empty soft" }, h("br"), "A chain of hashes: ", h("span", { class: "mono" }, "muster audit verify"), " checks it."))];
}
