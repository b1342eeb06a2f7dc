// One match: the live view while it runs, its events, its figures and its result.

import { badge, element, kb, label, moment, ms, number, percent, put, short, span, withUnit } from "/format.js";
import { Field } from "/field.js";
import { Plot } from "/plot.js";
import { answered, disconnected, status, title } from "/status.js";
import { follow } from "/stream.js";
import { Table } from "/table.js";

const $ = (id) => document.getElementById(id);
const id = location.pathname.split("/").pop();
const field = new Field($("field"));
const KEPT = 600;
/** A match that says nothing for so long is not live: its server tells the players' paths each second. */
const SILENT_MS = 3000;
/** A player's figures that have a place of their own. */
const PLACED = new Set(["x", "y", "vx", "vy", "aim", "angle", "seat", "side", "health", "weapon", "protected", "dash_left"]);

let about = null;
let paths = [];
let seats = new Map();
let columns = "";
let players = null;
let samples = [];
let before = null;
let stop = null;
let heardAt = 0;

const team = (n) => [element("span", { class: `swatch team${n % 4}`, "aria-hidden": "true" }), element("span", { class: "visually-hidden" }, `Team ${n + 1} `)];
const named = (row) => [element("span", { title: `Team ${row.team + 1}` }, ...team(row.team), element("span", { class: "player-name" }, row.name))];

function showScores(entities) {
  const match = entities.find((thing) => !("x" in thing.fields));
  if (!match) return;
  const teams = [...new Set(about.players.map((player) => player.team))].sort((a, b) => a - b).slice(0, 4);
  const score = (n) => match.fields[`score_${n}`];
  const shown = teams.filter((n) => score(n) !== undefined).map((n) => element("span", { class: `team team${n % 4}` }, `Team ${n + 1}`, element("strong", {}, number(score(n)))));
  const left = match.fields.seconds_left;
  const time = element("span", { class: "clock", title: "left" }, left === undefined ? "" : span(left));
  if (teams.length <= 2) shown.splice(1, 0, time);
  else shown.push(time);
  const text = shown.map((node) => node.textContent).join("|");
  if ($("scores").dataset.text !== text) {
    $("scores").dataset.text = text;
    $("scores").replaceChildren(...shown);
  }
}

/** The table of players, whose columns come from the schema. */
function playersTable(figures) {
  const wanted = figures.join();
  if (players && wanted === columns) return;
  columns = wanted;
  players = new Table($("players"), [
    { name: "Player", cell: named },
    ...figures.map((name) => ({ name: label(name), number: true, cell: (row) => number(row.fields[name]) })),
    { name: "RTT", number: true, cell: (row) => withUnit(ms(row.path?.connected ? row.path.rtt_ms : null), "ms") },
    { name: "Loss", number: true, cell: (row) => withUnit(percent(row.path?.connected ? row.path.loss : null), "%") },
    { name: "Connection", cell: (row) => badge(row.path ? (row.path.connected ? "linked" : "lost") : "–") },
  ], (row) => row.seat, "Nobody is on the roster.");
}

function showPlayers() {
  const owned = [...seats.values()];
  const figures = owned.length > 0 ? Object.keys(owned[0]).filter((name) => !PLACED.has(name)).slice(0, 4) : [];
  if (owned[0] && "health" in owned[0]) figures.push("health");
  playersTable(figures);
  const rows = about.players.map((player, n) => ({
    ...player, fields: seats.get(player.seat) ?? {}, path: paths[n],
    rowClass: paths[n] && !paths[n].connected ? "gone" : "",
  }));
  const main = figures[0];
  rows.sort((a, b) => a.team - b.team || (b.fields[main] ?? 0) - (a.fields[main] ?? 0) || a.seat - b.seat);
  players.show(rows);
  put($("players-count"), `${number(paths.filter((path) => path.connected).length)} of ${number(about.players.length)} connected`);
}

const plots = [
  new Plot({ title: "Round-trip time", unit: "ms", series: [{ name: "median", of: (s) => s.rtt }, { name: "worst", of: (s) => s.worst }] }),
  new Plot({ title: "Traffic per client", unit: "kB/s", series: [{ name: "to client", of: (s) => s.out }, { name: "from client", of: (s) => s.in }] }),
];
$("match-plots").append(...plots.map((plot) => plot.figure));

/** One more second of the players' paths. */
function measure() {
  const at = Date.now();
  const connected = paths.filter((path) => path.connected);
  const rtts = connected.map((path) => path.rtt_ms).filter((rtt) => rtt > 0).sort((a, b) => a - b);
  const rate = (name) => {
    if (!before || connected.length === 0) return null;
    const more = paths.reduce((sum, path, n) => sum + Math.max(0, path[name] - (before.paths[n]?.[name] ?? path[name])), 0);
    return more / ((at - before.at) / 1000) / connected.length / 1000;
  };
  samples.push({ at, rtt: rtts[Math.floor((rtts.length - 1) / 2)] ?? null, worst: rtts[rtts.length - 1] ?? null, out: rate("bytes_out"), in: rate("bytes_in") });
  samples = samples.slice(-KEPT);
  before = { at, paths };
  $("match-plots").classList.remove("hidden");
  plots.forEach((plot) => plot.show(samples));
}

function caption(text, isStale) {
  put($("field-caption"), text);
  $("live-part").classList.toggle("stale", isStale);
}

function watch() {
  heardAt = Date.now();
  const heard = (handle) => (event) => {
    heardAt = Date.now();
    handle(JSON.parse(event.data));
  };
  stop = follow(`/api/matches/${id}/live`, {
    match: heard((told) => {
      about = told;
      field.begin(about);
      caption("Waiting for the first tick", false);
      showPlayers();
    }),
    frame: heard((frame) => {
      field.frame(frame);
      showScores(frame.entities);
      const playing = (thing) => "x" in thing.fields && (thing.owner !== null || "health" in thing.fields);
      seats = new Map(frame.entities.filter(playing).map((thing) => [thing.owner ?? thing.fields.seat, thing.fields]));
      caption(`Live · tick ${number(frame.tick)} · ${number(frame.entities.length)} entities`, false);
    }),
    players: heard((told) => {
      paths = told;
      showPlayers();
      measure();
    }),
    end: () => {
      unwatch("The match is over: this was its last state");
      look();
    },
    error: () => caption("The live view is interrupted. Trying again.", true),
  });
}

function unwatch(text) {
  stop?.();
  stop = null;
  caption(text, true);
}

setInterval(() => {
  const silent = Date.now() - heardAt;
  if (stop && silent > SILENT_MS) caption(`Nothing heard from the game server for ${span(silent / 1000)}: it hangs, or it is gone. This was the last state.`, true);
}, 1000);

function events(page) {
  const list = page.events ?? [];
  const texts = { joinable: "Joinable", playing: "First tick", ended: "Ended", lost: "Lost", closed: "Closed" };
  const lines = list.map((event) => element("li", {},
    moment(event.at_ms),
    element("span", {}, texts[event.kind] ?? event.kind),
    element("span", { class: "why" }, event.reason)));
  const record = page.record;
  if (record?.result) {
    lines.push(element("li", {}, moment(record.result.ended_at_ms), element("span", {}, "Result booked"), element("span", { class: "why" }, record.reason)));
  }
  put($("events"), lines.length > 0 ? lines : [element("li", {}, element("time", {}, ""), element("span", { class: "soft" }, "The allocator's log no longer holds this match."))]);
}

function facts(page) {
  const s = page.stats ?? {};
  const figures = [
    ["Queue", page.record?.queue || "–"],
    ["Placed in", withUnit(ms(page.allocation_ms), "ms")],
    ["Ticks", number(s.ticks)],
    ["Tick p50", withUnit(ms(s.tick_p50_ms), "ms")],
    ["Tick p99", withUnit(ms(s.tick_p99_ms), "ms")],
    ["Over budget", number(s.tick_overruns)],
    ["Skipped", number(s.ticks_skipped)],
    ["Snapshots per client", withUnit(kb(s.bytes_per_client_s), "kB/s")],
    ["Joins", number(s.joins)],
    ["Disconnects", number(s.disconnects)],
    ["Reconnects", number(s.reconnects)],
    ["Carriers", s.joins === undefined ? "–" : `UDP ${number(s.udp_clients)} · QUIC ${number(s.quic_clients)}`],
  ];
  const texts = [["Match", page.match_id], ["Trace", page.trace_id], ["State hash", page.record?.result?.state_hash]];
  const line = ([name, value], broad) => element("div", { class: broad ? "broad" : null }, element("dt", {}, name), element("dd", { class: broad ? "mono" : null }, ...[value].flat()));
  // The game server tells them with the end of the match.
  const known = figures.filter(([, value]) => value !== "–");
  put($("facts-note"), page.is_live ? "more come when the match ends" : "");
  const shown = [...known.map((fact) => line(fact, false)), ...texts.filter(([, value]) => value).map((fact) => line(fact, true))];
  const text = shown.map((node) => node.textContent).join("|");
  if ($("facts").dataset.text !== text) {
    $("facts").dataset.text = text;
    $("facts").replaceChildren(...shown);
  }
}

/** Who won, in a few words. */
function winners(booked, names) {
  const first = booked.players.filter((player) => player.place === 1);
  if (first.length === 0) return "Nobody won";
  if (first.length === booked.players.length && first.length > 1) return "A draw";
  if (first.length === 1) return `${names.get(first[0].player_id) || short(first[0].player_id)} won`;
  const teams = [...new Set(first.map((player) => player.team))];
  return teams.length === 1 ? `Team ${teams[0] + 1} won` : `${number(first.length)} players share the first place`;
}

let resultShown = false;
function result(page) {
  const record = page.record;
  const booked = record?.result;
  if (!booked || resultShown) return;
  resultShown = true;
  $("result-part").classList.remove("hidden");
  const names = new Map((record.roster ?? []).map((player) => [player.player_id, player.name]));
  put($("result-note"), `${winners(booked, names)} · ${booked.reason} after ${span((booked.ended_at_ms - booked.started_at_ms) / 1000)} · ${number(booked.ticks)} ticks`);
  const stats = [...new Set(booked.players.flatMap((player) => Object.keys(player.stats)))];
  // Those that people look for come first.
  const first = ["kills", "deaths"].filter((name) => stats.includes(name));
  const rest = stats.filter((name) => !first.includes(name));
  const table = new Table($("result"), [
    { name: "Player", cell: (row) => named({ ...row, name: names.get(row.player_id) || short(row.player_id) }) },
    { name: "Place", number: true, cell: (row) => number(row.place) },
    { name: "Score", number: true, cell: (row) => number(row.score) },
    ...[...first, ...rest].map((name) => ({ name: label(name), number: true, cell: (row) => number(row.stats[name]) })),
    { name: "Presence", cell: (row) => badge(row.participation) },
  ], (row) => row.player_id, "The result names no player.");
  table.show([...booked.players].sort((a, b) => a.place - b.place || b.score - a.score));
}

/** Where and when it was. */
function where(page) {
  const began = page.began_at_ms ?? page.record?.started_at_ms;
  const ended = page.ended_at_ms ?? page.record?.result?.ended_at_ms;
  const parts = [page.server && `on ${page.server}`, began && [ended ? "" : "since ", moment(began)]].filter(Boolean).flat();
  if (page.server && began) parts.splice(1, 0, " · ");
  if (began && ended) parts.push(" to ", moment(ended));
  put($("where"), parts);
}

async function look() {
  let page;
  try {
    const answer = await fetch(`/api/matches/${id}`, { signal: AbortSignal.timeout(5000) });
    if (answer.status === 404) return missing();
    if (!answer.ok) throw new Error(answer.statusText);
    page = await answer.json();
    answered(page.at_ms, page.away);
  } catch {
    disconnected();
    return setTimeout(look, 2000);
  }
  const state = page.is_live ? page.phase ?? page.state : page.record?.state ?? page.state;
  put($("title"), `Match ${short(page.match_id)}`);
  title(`Match ${short(page.match_id)} · ${state} · Muster`);
  const tag = badge(state);
  tag.id = "state";
  $("state").replaceWith(tag);
  where(page);
  events(page);
  facts(page);
  result(page);
  if (page.is_live && !stop) watch();
  if (!page.is_live && stop) unwatch(state === "lost" ? "The match is lost: this was its last state" : "The match is over: this was its last state");
  // What is over and was never watched here has no last state to show.
  if (!page.is_live && !about) $("live-part").classList.add("hidden");
  if (page.is_live || !resultShown) setTimeout(look, 2000);
}

function missing() {
  $("missing").classList.remove("hidden");
  for (const part of ["live-part", "state"]) $(part).classList.add("hidden");
  document.querySelectorAll("main > .panel").forEach((panel) => panel.classList.add("hidden"));
  status("live", "Live");
}

look();
