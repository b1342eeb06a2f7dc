// One player: what holds against it, where it is logged in, what it has, and what was done to it.

import { download, order, read } from "/ui/api.js";
import { ask, badge, choice, field, h, money, number, panel, table, when } from "/ui/dom.js";
import { actsTable, decide, standing } from "/ui/lists.js";
import { act } from "/ui/page.js";

const TERMS = [["3600", "an hour"], ["86400", "a day"], ["259200", "three days"], ["604800", "a week"], ["2592000", "30 days"], ["ever", "ever"]];
const REASONS = ["cheating", "insults", "spam", "fraud", "account-sharing", "stolen-account"];

export async function player(id) {
  const path = `/players/${encodeURIComponent(id)}`;
  const [one, log] = await Promise.all([read(path), read(`/acts?limit=20&subject=${encodeURIComponent(`player:${id}`)}`)]);
  document.title = `${one.name} · Muster`;
  const parts = [head(one, path)];
  if (!one.erased_at_ms) {
    parts.push(sanctions(one, path), h("div", { class: "columns" }, sessions(one, path), wallet(one)), orders(one), movements(one), items(one));
  } else {
    parts.push(orders(one), movements(one));
  }
  parts.push(panel("Audit log of this player", log.next_before && h("span", { class: "soft" }, "the newest 20"), actsTable(log.acts, false)));
  return parts;
}

function head(one, path) {
  const facts = [["Since", one.created_at_ms ? when(one.created_at_ms) : "–"], ["XP", number(one.xp)], ["Matches", number(one.matches)],
    ["Wins", number(one.wins)], ["Ways in", one.identities.map((way) => way.provider).join(", ") || "–"]];
  const until = one.barred_until_ms && one.barred_until_ms < 9e15 && !one.erased_at_ms && h("span", { class: "soft" }, "until ", when(one.barred_until_ms));
  const actions = h("div", { class: "actions" }, h("button", { onclick: () => exported(one, path) }, "Export…"),
    !one.erased_at_ms && h("button", { class: "bad", onclick: () => erase(one, path) }, "Erase…"));
  return h("section", { class: "panel" },
    h("div", { class: "head" }, h("h1", {}, one.name), standing(one), until, actions),
    h("dl", { class: "facts" }, h("div", {}, h("dt", {}, "Id"), h("dd", { class: "mono" }, one.player_id)),
      facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
}

const reasonField = (value) => field("Reason (a code)", h("input", { name: "reason", required: true, pattern: "[a-z0-9-]{1,64}", list: "reasons", value, title: "lower-case letters, digits and dashes" }));

function sanctions(one, path) {
  const rows = one.sanctions.map((it) => [badge(it.kind, it.holds ? (it.kind === "ban" ? "bad" : "warn") : undefined),
    [it.reason, it.note && h("span", { class: "under" }, it.note), it.appeal && h("span", { class: "under" }, `Appeal: ${it.appeal}`)],
    [when(it.imposed_at_ms), h("span", { class: "under" }, it.imposed_by.replace(/^operator:/, "by "))],
    it.until_ms ? when(it.until_ms) : "for ever",
    it.lifted_by ? [badge("lifted"), h("span", { class: "under" }, `${it.lift_reason}, ${it.lifted_by.replace(/^operator:/, "by ")}`)]
      : it.holds ? h("button", { onclick: () => decide("lift", it) }, "Lift") : badge("over")]);
  const form = h("form", { class: "tall", onsubmit: (event) => {
    event.preventDefault();
    const { kind, reason, term, note } = Object.fromEntries(new FormData(form));
    const long = term === "ever" ? { for_ever: true } : { for_s: Number(term) };
    const told = kind === "ban" ? "Banned; all sessions have ended." : "Muted.";
    act(() => order(`${path}/sanctions`, { kind, reason, note: note || null, ...long }), told);
  } }, field("Impose", choice("kind", [["ban", "Ban"], ["mute", "Mute"]])), field("for", choice("term", TERMS)), reasonField(),
    field("Note, for operators alone", h("input", { name: "note", maxlength: "2000" }), true), h("button", { class: "bad" }, "Impose"),
    h("datalist", { id: "reasons" }, REASONS.map((value) => h("option", { value }))));
  return panel("Bans and mutes", null, table([["Kind", "tight"], ["Why"], ["Since", "tight"], ["Until", "tight"], ["", "tight"]], rows, "Never."), form);
}

function sessions(one, path) {
  const rows = one.sessions.map((it) => [it.method, when(it.created_at_ms), when(it.refreshed_at_ms)]);
  const end = async () => {
    const said = await ask("End all sessions?", "The player can log in again at once.", [reasonField("stolen-account")], "End them", "bad");
    if (said) await act(() => order(`${path}/sessions/end`, { reason: said.reason }), "All sessions have ended.");
  };
  return panel("Sessions", rows.length > 0 && h("button", { onclick: end }, "End all…"),
    table([["Began by"], ["At", "tight"], ["Last seen", "tight"]], rows, "Logged in nowhere."));
}

function wallet(one) {
  return panel("Wallet", null, table([["Currency"], ["Balance", "number"]], one.wallet.map((it) => [it.currency, number(it.balance)]), "Nothing yet."));
}

/** A cause without the player's own id, which is on the page already. */
const shortened = (cause, id) => cause.replace(`${id}:`, "").replace(`:${id}`, "");

function movements(one) {
  const rows = (all) => all.map((it) => [when(it.at_ms), [badge(it.cause.split(":")[0]), h("span", { class: "under mono" }, shortened(it.cause, one.player_id))],
    it.actor.replace(`player:${one.player_id}`, "the player").replace(/^operator:/, ""), `${it.amount > 0 ? "+" : ""}${number(it.amount)} ${it.currency}`, number(it.balance)]);
  const columns = [["When", "tight"], ["What"], ["Who"], ["Amount", "number"], ["Afterwards", "number"]];
  const holder = h("div");
  const fill = (kind) => holder.replaceChildren(table(columns, rows(one.movements.filter((it) => !kind || it.cause.startsWith(kind))), "Nothing."));
  const filter = choice("kind", [["", "Everything"], ["purchase:", "Purchases"], ["payment:", "Payments"], ["operator:", "By operators"], ["trade:", "Trades"]]);
  filter.setAttribute("aria-label", "Which movements");
  filter.addEventListener("change", () => fill(filter.value));
  fill("");
  return panel("Ledger", filter, holder);
}

const TONES = { paid: "good", disputed: "bad", lost: "bad", mismatched: "bad", partly_refunded: "warn", refunded: "warn", pending: "warn" };

/** What is out of the ordinary with an order's money, in words. */
function peculiarities(it) {
  const parts = [it.paid > 0 && it.paid !== it.amount && `${money(it.paid, it.money)} paid`, it.taken > 0 && `${money(it.taken, it.money)} gone again`,
    it.held > 0 && `${money(it.held, it.money)} held by a bank`, it.items_owed > 0 && `${number(it.items_owed)} items owed`];
  return parts.filter(Boolean).join(", ");
}

function orders(one) {
  const rows = one.orders.map((it) => [when(it.made_at_ms), [`${number(it.quantity)} × ${it.offer}`, h("span", { class: "under mono" }, it.order_id)],
    [badge(it.state.replace("_", " "), TONES[it.state]), h("span", { class: "under" }, peculiarities(it))],
    h("span", { class: "mono soft" }, it.payment || it.session || "–"), money(it.amount, it.money)]);
  const shown = one.orders.length === 100 && h("span", { class: "soft" }, "the newest 100");
  return panel("Orders", shown, table([["When", "tight"], ["What"], ["State"], ["At Stripe"], ["Price", "number"]], rows, "None."));
}

function items(one) {
  const rows = one.items.map((it) => [it.definition, h("span", { class: "mono soft" }, it.item_id), number(it.quantity), it.expires_at_ms ? when(it.expires_at_ms) : "–"]);
  const shown = one.items.length === 100 && h("span", { class: "soft" }, "the first 100");
  return panel("Inventory", shown, table([["Item"], ["Id"], ["Quantity", "number"], ["Until", "tight"]], rows, "Nothing."));
}

async function exported(one, path) {
  const said = await ask("Export everything about this player?", "One JSON file with a signed receipt. It holds addresses: handle it as such.",
    [reasonField("player-request")], "Export");
  if (said) await act(() => download(`${path}/export`, { reason: said.reason }, `player-${one.player_id}.json`), "The export is in your downloads.");
}

async function erase(one, path) {
  const said = await ask(`Erase ${one.name}?`, "At once and for good: nobody can bring the person back. Amounts stay in the books under the id. Write the id to confirm.",
    [reasonField("player-request"), field("Id", h("input", { name: "confirm", required: true, placeholder: one.player_id, autocomplete: "off", class: "mono" }))], "Erase for ever", "bad");
  if (said) await act(() => order(`${path}/erase`, { reason: said.reason, confirm: said.confirm.trim() }), "Erased. The receipt is kept under the player's id.");
}
