// Numbers and times as people read them, and elements made of nodes, never of markup.

const NONE = "–";

/** A number with at most `digits` after the point, grouped; a dash where there is none. */
export function number(value, digits = 0) {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Milliseconds with digits that fit their size. */
export function ms(value) {
  if (value === null || value === undefined) return NONE;
  return number(value, value < 10 ? 2 : value < 100 ? 1 : 0);
}

/** Bytes per second in kB. */
export const kb = (value) => (value === null || value === undefined ? NONE : number(value / 1000, value < 9950 ? 1 : 0));

/** A share as per cent. */
export const percent = (value, digits = 1) => (value === null || value === undefined ? NONE : number(value * 100, digits));

/** A span in seconds as 7 s, 3:05 or 1:02:03. */
export function span(seconds) {
  if (!(seconds >= 0)) return NONE;
  const s = Math.floor(seconds);
  const two = (n) => String(n).padStart(2, "0");
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)}:${two(s % 60)}`;
  return `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

/** How long ago, in a word or two. */
export function ago(seconds) {
  if (!(seconds >= 0)) return NONE;
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

/** The time of day in the visitor's zone; with its day, unless that is today. */
export function clock(at) {
  const then = new Date(at);
  const time = then.toLocaleTimeString("en-GB");
  return then.toDateString() === new Date().toDateString() ? time : `${then.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${time}`;
}

/** The visitor's time zone, as Europe/Berlin (GMT+1). */
export function zone() {
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const part = new Intl.DateTimeFormat("en", { timeZoneName: "shortOffset" }).formatToParts(new Date()).find((one) => one.type === "timeZoneName");
  return !part || part.value === name ? name : `${name} (${part.value})`;
}

/** The end of an id that tells matches apart: their beginning is the time. */
export const short = (id) => (id ? id.slice(-8) : NONE);

/** A field's name as a label. */
export const label = (name) => (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");

/** An element with attributes and children. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== undefined) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** An element of SVG with attributes. */
export function svg(name, attributes = {}, text = null) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  return made;
}

/** A moment, with UTC as its title: logs are in UTC. */
export const moment = (at) => element("time", { datetime: new Date(at).toISOString(), title: new Date(at).toISOString() }, clock(at));

/** A number with its unit. */
export const withUnit = (text, unit) => (text === NONE ? text : [document.createTextNode(text), element("span", { class: "unit" }, unit)]);

const hasPicture = (node) => node instanceof Element && node.querySelector("svg") !== null;

/** Puts text or nodes into an element, only if that changes something. */
export function put(target, content) {
  const nodes = Array.isArray(content) ? content : [content];
  const text = nodes.map((node) => (node instanceof Node ? node.textContent : String(node))).join("");
  if (target.textContent === text && target.childNodes.length > 0 && !nodes.some(hasPicture)) return;
  target.replaceChildren(...nodes);
}

const here = zone();
const times = here.startsWith("UTC") ? "Times are in UTC, as logs are." : `Times are in ${here}; point at one for UTC, which logs are in.`;
put(document.getElementById("foot"), `${times} Figures are read once a second.`);

const TONES = { linked: "good", playing: "good", suspect: "warn", lost: "bad", leaving: "warn", joinable: "info", placed: "info", Allocated: "info", Reserved: "good", Unhealthy: "bad", Shutdown: "warn", "no answer": "warn" };

/** A state as a badge. */
export const badge = (state) => element("span", { class: "badge", "data-tone": TONES[state] ?? null }, state || NONE);
