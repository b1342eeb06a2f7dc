// Which page is shown, and whether somebody is signed in.

import { forgetToken, keepToken, operatorName, token } from "/ui/api.js";
import { field, h } from "/ui/dom.js";
import { acts, appeals, players } from "/ui/lists.js";
import { player } from "/ui/player.js";

const main = document.getElementById("main");
const banner = document.getElementById("banner");

/** Says something above the page. */
export function say(text, tone) {
  banner.textContent = text;
  banner.dataset.tone = tone || "good";
  banner.classList.toggle("hidden", !text);
}

function signIn() {
  const input = h("input", { name: "token", type: "password", autocomplete: "off", required: true, spellcheck: "false" });
  const form = h("form", { onsubmit: (event) => {
    event.preventDefault();
    keepToken(input.value);
    show();
  } }, field("Operator's token", input, true), h("button", { class: "main" }, "Sign in"));
  document.title = "Sign in · Muster";
  return h("section", { class: "panel sign-in" }, h("header", {}, h("h1", {}, "Operators")), h("div", { class: "inner" }, form,
    h("p", { class: "soft" }, h("br"), "On the machine of the installation: ", h("span", { class: "mono" }, "muster operator-token YOUR-NAME"),
      ". Everything that you do here is in the audit log, under your name.")));
}

function frame() {
  const who = document.getElementById("who");
  const out = () => { forgetToken(); show(); };
  who.replaceChildren(...(token() ? [operatorName(), h("button", { onclick: out }, "Sign out")] : []));
  const here = location.hash.split("/")[1]?.split("?")[0] || "players";
  for (const link of document.querySelectorAll("#nav a")) {
    const is = link.getAttribute("href") === `#/${here}`;
    if (is) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  document.getElementById("nav").classList.toggle("hidden", !token());
}

let turn = 0;

/** Shows the page that the address names. A slower one that was asked for before does not come in its way. */
export async function show() {
  const mine = ++turn;
  frame();
  if (!token()) return main.replaceChildren(signIn());
  const [, name = "players", rest] = location.hash.split("?")[0].split("/");
  const query = new URLSearchParams(location.hash.split("?")[1] || "");
  const pages = { players: () => (rest ? player(decodeURIComponent(rest)) : players(query)), appeals, acts: () => acts(query) };
  try {
    const page = await (pages[name] || pages.players)();
    if (mine === turn) main.replaceChildren(...page);
  } catch (refused) {
    if (mine !== turn) return;
    if (refused.status === 401) {
      forgetToken();
      say(`Sign in again: ${refused.message}`, "bad");
      return show();
    }
    say(refused.message, "bad");
    main.replaceChildren(h("section", { class: "panel" }, h("p", { class: "empty" }, h("br"), "There is nothing to show.")));
  }
}

/** Does something, says how it went, and shows the page anew. */
export async function act(doing, done) {
  try {
    await doing();
    say(done);
  } catch (refused) {
    say(refused.message, "bad");
  }
  await show();
}

window.addEventListener("hashchange", () => { say(""); show(); });
show();
