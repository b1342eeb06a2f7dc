// The overview: totals, matches, plots, queues, fleet. One stream brings it once a second.

import { badge, element, ms, number, percent, put, svg, withUnit } from "/format.js";
import { Plot } from "/plot.js";
import { QueuePlots } from "/queueplots.js";
import { over, running } from "/rows.js";
import { answered, disconnected } from "/status.js";
import { follow } from "/stream.js";
import { Table } from "/table.js";

const KEPT_MS = 600_000;
/** The console tells something each second; silence for so long is a fault. */
const SILENT_MS = 5000;
const $ = (id) => document.getElementById(id);

const showRunning = running($("running"));
const showRecent = over($("recent"));

function load(value) {
  if (value === null) return "–";
  const picture = svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
  picture.append(
    svg("rect", { class: "rail", width: 100, height: 10, rx: 5 }),
    svg("rect", { class: value > 0.8 ? "fill high" : "fill", width: Math.max(2, Math.min(100, value * 100)), height: 10, rx: 5 }),
  );
  return [element("span", { class: "load" }, picture, element("span", {}, percent(value, 0), element("span", { class: "unit" }, "%")))];
}

const fleet = new Table($("fleet"), [
  { name: "Server", cell: (row) => row.name },
  { name: "State", cell: (row) => badge(row.state) },
  { name: "Link", cell: (row) => badge(row.link) },
  { name: "Matches", number: true, cell: (row) => `${number(row.matches)} / ${number(row.capacity)}` },
  { name: "Players", number: true, cell: (row) => number(row.players) },
  { name: "Tick load", number: true, cell: (row) => load(row.load) },
  { name: "Tick p99", number: true, cell: (row) => (row.is_silent ? badge("no answer") : withUnit(ms(row.tick_p99_ms), "ms")) },
  { name: "Region", cell: (row) => row.region },
  { name: "Build", cell: (row) => row.build },
  { name: "Address", whole: true, cell: (row) => element("span", { class: "mono" }, row.address) },
], (row) => row.server_id, "No game server has registered. The log of muster says what each one that starts is doing.");

const queues = new Table($("queues"), [
  { name: "Queue", cell: (row) => row.name },
  { name: "Format", cell: (row) => row.format },
  { name: "Players waiting", number: true, cell: (row) => number(row.waiting_players) },
  { name: "Tickets", number: true, cell: (row) => number(row.waiting_tickets) },
  { name: "Placing", number: true, cell: (row) => number(row.placing_matches) },
  { name: "Wait p50", number: true, cell: (row) => withUnit(number(row.wait_p50_s, 1), "s") },
  { name: "Wait p95", number: true, cell: (row) => withUnit(number(row.wait_p95_s, 1), "s") },
  { name: "Matches made", number: true, cell: (row) => number(row.matches_made) },
  { name: "Fleet", cell: (row) => row.fleet },
  { name: "Regions", cell: (row) => row.regions.join(", ") || "any" },
], (row) => row.name, "There is no queue.");

const of = (name, scale = 1) => (sample) => (sample[name] === null || sample[name] === undefined ? null : sample[name] * scale);
const plots = [
  new Plot({ title: "Players", unit: "players", floor: 4, series: [{ name: "in matches", of: of("players") }, { name: "waiting", of: of("waiting") }] }),
  new Plot({ title: "Tick time", unit: "ms", limit: of("tick_budget_ms"), limitName: "budget",
    series: [{ name: "p50", of: of("tick_p50_ms") }, { name: "p99", of: of("tick_p99_ms") }] }),
  new Plot({ title: "Tick phases", unit: "µs per tick, mean", stacked: true, floor: 10,
    series: ["take", "events", "inputs", "step", "record", "messages", "snapshots", "send"].map((name) => ({ name, of: of(`phase_${name}_us`) })) }),
  new Plot({ title: "Traffic per client", unit: "kB/s",
    series: [{ name: "to client", of: of("bytes_out_per_client", 0.001) }, { name: "from client", of: of("bytes_in_per_client", 0.001) }] }),
  new Plot({ title: "Round-trip time", unit: "ms", series: [{ name: "p50", of: of("rtt_p50_ms") }, { name: "p95", of: of("rtt_p95_ms") }] }),
  new Plot({ title: "Packet loss", unit: "% of packets", series: [{ name: "mean", of: of("loss_mean", 100) }, { name: "p95", of: of("loss_p95", 100) }] }),
];
$("plots").append(...plots.map((plot) => plot.figure));
const queuePlots = new QueuePlots($("queue-plots"), KEPT_MS);

let names = [];
let samples = [];

function sample(row) {
  const made = { at: row[0] };
  names.forEach((name, n) => { made[name] = row[n + 1]; });
  return made;
}

function totals({ totals: t, epoch }) {
  put($("t-players"), number(t.players));
  put($("t-players-under"), t.accounts === null ? "metagame is away" : `${number(t.accounts)} accounts`);
  put($("t-waiting"), number(t.waiting));
  put($("t-matches"), number(t.matches));
  put($("t-matches-under"), `room for ${number(t.capacity)}`);
  put($("t-servers"), number(t.servers));
  put($("t-servers-under"), t.servers === null ? "allocator is away" : t.servers_linked === t.servers ? "all linked" : `${number(t.servers_linked)} linked`);
  put($("t-tick"), withUnit(ms(t.tick_p99_ms), "ms"));
  put($("t-tick-under"), t.tick_budget_ms ? `of ${ms(t.tick_budget_ms)} ms budget` : "no match is measured");
  put($("t-results"), number(t.results));
  put($("t-results-under"), t.lost === null ? "metagame is away" : `${number(t.lost)} lost`);
  $("t-servers-under").title = `allocator epoch ${epoch}`;
}

function show(overview) {
  answered(overview.at_ms, overview.away);
  totals(overview);
  const wait = overview.queues.map((queue) => queue.wait_p95_s).filter((s) => s !== null);
  put($("t-waiting-under"), overview.totals.waiting === null ? "matchmaker is away" : wait.length > 0 ? `p95 ${number(Math.max(...wait), 1)} s` : "no waits measured");
  showRunning(overview.running, overview.at_ms, overview.api);
  put($("running-count"), overview.running.length > 0 ? number(overview.running.length) : "");
  showRecent(overview.recent, overview.at_ms);
  fleet.show(overview.servers);
  put($("fleet-count"), overview.servers.length > 0 ? number(overview.servers.length) : "");
  queues.show(overview.queues);
  const newest = sample(overview.sample);
  if (samples.length === 0 || newest.at > samples[samples.length - 1].at) samples.push(newest);
  samples = samples.filter((one) => one.at >= newest.at - KEPT_MS);
  if (overview.totals.waiting !== null) queuePlots.add(overview.at_ms, overview.queues);
  if (document.hidden) return;
  plots.forEach((plot) => plot.show(samples));
  queuePlots.show();
}

/** Reads what was before this page was loaded. */
async function past() {
  const answer = await fetch("/api/history", { signal: AbortSignal.timeout(SILENT_MS) });
  if (!answer.ok) throw new Error(answer.statusText);
  const history = await answer.json();
  names = history.names;
  samples = history.samples.map(sample);
  queuePlots.past(history.queues);
}

let known = false;
let heardAt = Date.now();
follow("/api/overview/events", {
  // After an interruption too: the past is read again, so that no second is missing.
  open: () => past().then(() => { known = true; }, disconnected),
  overview: (event) => {
    const overview = JSON.parse(event.data);
    heardAt = Date.now();
    if (overview && known) show(overview);
  },
  error: disconnected,
});
// A program that hangs keeps its connections.
setInterval(() => { if (Date.now() - heardAt > SILENT_MS) disconnected(); }, 1000);
