// The lists of matches, which two pages share.

import { ago, badge, element, kb, ms, number, percent, put, short, span, withUnit } from "/format.js";
import { Table } from "/table.js";

const link = (row) => element("a", { href: `/matches/${row.match_id}`, class: "mono", title: row.match_id, "aria-label": `Match ${short(row.match_id)}` }, short(row.match_id));

/** The list of running matches never shrinks below what it had, up to this height. */
const HEIGHT_KEPT_MAX_PX = 400;

/** Matches that run, newest first. */
export function running(target) {
  const columns = [
    { name: "Match", cell: link },
    { name: "State", cell: (row) => badge(row.state) },
    { name: "Server", cell: (row) => row.server },
    { name: "Players", number: true, cell: (row) => `${number(row.connected)} / ${number(row.players)}` },
    { name: "Running for", number: true, cell: (row) => span((row.now - row.began_at_ms) / 1000) },
    { name: "Tick p99", number: true, cell: (row) => withUnit(ms(row.tick_p99_ms), "ms") },
    { name: "RTT p50", number: true, cell: (row) => withUnit(ms(row.rtt_p50_ms), "ms") },
    { name: "Loss", number: true, cell: (row) => withUnit(percent(row.loss), "%") },
    { name: "Per client", number: true, cell: (row) => withUnit(kb(row.bytes_per_client_s), "kB/s") },
  ];
  const table = new Table(target, columns, (row) => row.match_id, "No match is running.");
  return (rows, now, api) => {
    put(table.empty, ["No match is running. Send bots: ", element("code", {}, `muster bots --players 8 --url ${api}`)]);
    const newest = [...rows].sort((a, b) => b.match_id.localeCompare(a.match_id));
    table.show(newest.map((row) => ({ ...row, now })));
    // Matches end and begin all the time: what is below must not jump each time.
    const height = Math.min(HEIGHT_KEPT_MAX_PX, target.offsetHeight);
    if (height > (parseFloat(target.style.minHeight) || 0)) target.style.minHeight = `${height}px`;
  };
}

/** Matches that are over, newest first. */
export function over(target) {
  const length = (row) => (row.ended_at_ms && row.began_at_ms ? (row.ended_at_ms - row.began_at_ms) / 1000 : null);
  const columns = [
    { name: "Match", cell: link },
    { name: "How", cell: (row) => badge(row.state === "ended" ? row.reason || "ended" : row.state) },
    { name: "Server", cell: (row) => row.server },
    { name: "Players", number: true, cell: (row) => number(row.players) },
    { name: "Lasted", number: true, cell: (row) => span(length(row) ?? NaN) },
    { name: "Ended", number: true, cell: (row) => ago((row.now - row.ended_at_ms) / 1000) },
    { name: "Tick p99", number: true, cell: (row) => withUnit(ms(row.stats?.tick_p99_ms), "ms") },
    { name: "Overruns", number: true, cell: (row) => number(row.stats?.tick_overruns) },
    { name: "Per client", number: true, cell: (row) => withUnit(kb(row.stats?.bytes_per_client_s), "kB/s") },
  ];
  const table = new Table(target, columns, (row) => row.match_id, "No match has ended yet.");
  return (rows, now) => table.show(rows.map((row) => ({ ...row, now })));
}
