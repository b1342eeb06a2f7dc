// How much of what is shown is true now: the line at the top, the banner below it, and the tab's title.

import { clock, put } from "/format.js";

const WARNING = "⚠ ";
let newestAt = null;

const since = (at) => (at ? ` since ${clock(at)}` : "");

/** The parts of a page whose figures are old; the others are not. */
function mark(stale) {
  document.querySelectorAll("[data-from]").forEach((part) => {
    part.classList.toggle("stale", stale === true || (stale !== false && stale.includes(part.dataset.from)));
  });
}

/** Says how the connection is: "live", "partial" or "away". Speaks only when that changes. */
export function status(state, text, banner = "") {
  const line = document.getElementById("status");
  if (line.dataset.state !== state) line.dataset.state = state;
  put(document.getElementById("status-text"), text);
  const place = document.getElementById("banner");
  put(place, banner);
  place.classList.toggle("hidden", banner === "");
  place.dataset.tone = state === "away" ? "bad" : "warn";
  title(document.title.startsWith(WARNING) ? document.title.slice(WARNING.length) : document.title);
}

/** The tab's title, with a sign where something is wrong. */
export function title(text) {
  const state = document.getElementById("status").dataset.state;
  const wanted = state === "partial" || state === "away" ? WARNING + text : text;
  if (document.title !== wanted) document.title = wanted;
}

/** The console answered at `at`; `away` are the services that did not answer it. */
export function answered(at, away) {
  newestAt = at;
  mark(away.map((service) => service.name));
  if (away.length === 0) return status("live", "Live");
  const names = away.map((service) => service.name);
  const each = away.map((service) => `The ${service.name} does not answer${since(service.seen_at_ms)}.`);
  status("partial", `Away: ${names.join(", ")}`, `${each.join(" ")} What it told before is shown dimmed. The log of muster says why.`);
}

/** The console does not answer. */
export function disconnected() {
  mark(true);
  status("away", "Disconnected", `The console does not answer${since(newestAt)}. Everything below is from before. Is muster still running? Trying again.`);
}
